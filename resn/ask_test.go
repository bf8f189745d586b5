package resn_test

import (
	"errors"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/resn"
)

// Somebody else's question is under way when Ask is called, and brings what was
// there before.
func TestAskIsNotAnsweredByAnOlderQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		hold, took := make(chan struct{}), make(chan struct{}, 10)
		s.owner.mu.Lock()
		s.owner.hold, s.owner.took = hold, took
		s.owner.mu.Unlock()
		var readers sync.WaitGroup
		readers.Go(func() { _, _ = s.client.Ask(t.Context(), href, nil) })
		<-took // version 1 is on its way
		s.owner.mu.Lock()
		s.owner.version, s.owner.hold = 2, nil
		s.owner.mu.Unlock()
		readers.Go(func() {
			a, err := s.client.Ask(t.Context(), href, nil)
			if err != nil || string(a.Body) != "version 2" {
				t.Errorf("an answer was sent after Ask was called: %q, %v", a.Body, err)
			}
		})
		synctest.Wait()
		close(hold)
		readers.Wait()
	})
}

// redirecting leads from one resource to another origin.
type redirecting struct{ *owner }

func (r redirecting) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path == "/moved" {
		h := http.Header{"Location": {"http://elsewhere.example/"}}
		return &http.Response{StatusCode: http.StatusFound, Status: "302 Found", Header: h, Request: req, Body: http.NoBody}, nil
	}
	return r.owner.RoundTrip(req)
}

func TestAskFollowsNoForbiddenRedirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startBehind(t, func(o *owner) http.RoundTripper { return redirecting{o} })
		forbidden := errors.New("not there")
		_, err := s.client.Ask(t.Context(), "http://owner.example/moved", &resn.AskOptions{Redirect: func(to *url.URL) error {
			if to.Host != "owner.example" {
				return forbidden
			}
			return nil
		}})
		if !errors.Is(err, forbidden) || !bus.Rejected(err) || s.owner.count() != 0 {
			t.Errorf("a redirect that may not be followed isn't, and trying again is no use: %v", err)
		}
		_, err = s.client.Ask(t.Context(), href, &resn.AskOptions{MaxBytes: 5})
		if !bus.Rejected(err) {
			t.Errorf("a body that is too long is refused: %v", err)
		}
	})
}
