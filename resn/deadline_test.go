package resn_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/resn"
)

// silent never answers.
type silent struct{}

func (silent) RoundTrip(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// An owner that accepts a request and says nothing holds nobody up for ever.
func TestTimeoutEndsARequestThatNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, err := resn.NewClient(nil, &resn.ClientOptions{Transport: silent{}, Timeout: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Close(t.Context()) }()
		began := time.Now()
		resp, err := client.HTTP().Get(href)
		if err == nil {
			_ = resp.Body.Close()
		}
		if !isTimeout(err) {
			t.Errorf("the request ended with %v, want a timeout", err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("the request took %s of the bubble's time, want 3 s", took)
		}
	})
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
