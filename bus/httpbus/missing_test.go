package httpbus_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/goswale/swale/bus/httpbus"
	"github.com/goswale/swale/bus/membus"
)

func TestWhatIsMissingIsNamed(t *testing.T) {
	b := membus.New(nil)
	defer func() { _ = b.Shutdown(t.Context()) }()
	if _, err := httpbus.Serve(t.Context(), nil, "orders", http.NotFoundHandler(), nil); err == nil || !strings.Contains(err.Error(), "serve orders: the *bus.Bus is nil") {
		t.Errorf("Serve without a bus: %v", err)
	}
	if _, err := httpbus.Serve(t.Context(), b, "orders", nil, nil); err == nil || !strings.Contains(err.Error(), "serve orders: the handler is nil") {
		t.Errorf("Serve without a handler: %v", err)
	}
	defer func() {
		if got, want := recover(), "httpbus: NewTransport: the *bus.Bus is nil"; got != want {
			t.Errorf("panic %v, want %s", got, want)
		}
	}()
	httpbus.NewTransport(nil, nil)
}
