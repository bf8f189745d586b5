package auth_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/auth/login"
)

// A handler that isn't there is found where it is registered, not by the first
// request that is let in.
func TestWhatIsMissingIsNamed(t *testing.T) {
	v, err := auth.NewVerifier(nil, "http://127.0.0.1:1", "https://orders.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close(t.Context()) }()
	for want, register := range map[string]func(){
		"auth: Verifier.Middleware: the handler is nil":         func() { v.Middleware(nil) },
		`auth: Mux.Handle: the handler of "GET /orders" is nil`: func() { v.Mux().Handle("GET /orders", auth.Public, nil) },
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("panic %v, want %s", got, want)
				}
			}()
			register()
		}()
	}
	v.Mux().Handle("GET /health", auth.Public, http.NotFoundHandler())
	if _, err := login.New(nil, &login.Options{}); err == nil || !strings.Contains(err.Error(), "login: the store is nil") {
		t.Errorf("login.New without a store: %v", err)
	}
}
