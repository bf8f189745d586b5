package configsvc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/server"
	"github.com/goswale/swale/configsvc/store"
)

func TestWhatIsMissingIsNamed(t *testing.T) {
	type config struct{}
	client, err := configsvc.NewClient("http://127.0.0.1:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := configsvc.Watch[config](t.Context(), nil, "orders"); err == nil || err.Error() != "configsvc: the *Client is nil; NewClient makes one" {
		t.Errorf("Watch without a client: %v", err)
	}
	if _, err := configsvc.Follow[config](t.Context(), client, []string{"orders"}, nil, nil); err == nil || !strings.Contains(err.Error(), "Follow has no function") {
		t.Errorf("Follow without a function: %v", err)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := configsvc.Watch[config](t.Context(), client, "orders"); !errors.Is(err, configsvc.ErrClosed) {
		t.Errorf("Watch after Close asks nobody, and says so: %v", err)
	}
	for want, construct := range map[string]func(){
		"store: New: the driver is nil; memconfig.New makes one":    func() { store.New(nil, nil) },
		"server: New: the *store.Store is nil; store.New makes one": func() { server.New(nil, nil) },
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("panic %v, want %s", got, want)
				}
			}()
			construct()
		}()
	}
}

// What is wrong with a URL is said without its password.
func TestNewClientShowsNoPassword(t *testing.T) {
	for _, base := range []string{"ftp://me:secret@config.example", "https://me:secret %zz@config.example"} {
		_, err := configsvc.NewClient(base, nil)
		if err == nil || !strings.Contains(err.Error(), `"…@config.example" is not the absolute`) || strings.Contains(err.Error(), "secret") {
			t.Errorf("NewClient(%q): %v", base, err)
		}
	}
}
