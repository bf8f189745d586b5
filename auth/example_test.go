package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/auth/memauth"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// A login service, a service that verifies its tokens, and a session that is
// ended.
func Example() {
	ctx := context.Background()
	b := membus.New(nil)
	defer func() { _ = b.Shutdown(ctx) }()
	announcements, _ := resn.NewPublisher(b, "sessions", nil)
	defer func() { _ = announcements.Close(ctx) }()

	server := httptest.NewUnstartedServer(nil)
	issuer := "http://" + server.Listener.Addr().String()
	service, err := login.New(memauth.New(), &login.Options{
		Issuer: issuer, Publisher: announcements, KeyEncryption: [][]byte{make([]byte, 32)},
		Applications: map[string]login.Application{"customers": {
			Audiences: []string{"https://orders.example"},
			Scopes:    map[string][]string{"": {"orders:read"}},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server.Config.Handler = service.Handler(nil)
	server.Start()
	defer server.Close()

	verifier, _ := auth.NewVerifier(b, issuer, "https://orders.example", nil)
	defer func() { _ = verifier.Close(ctx) }()
	mux := verifier.Mux()
	mux.Handle("GET /orders", auth.Scope("orders:read"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "your orders")
	}))
	if err := verifier.Ready(ctx); err != nil {
		fmt.Println(err)
		return
	}

	_, _ = service.CreateAccount(ctx, "customers", "ada", "correct horse battery")
	session, _ := service.Login(ctx, login.Credentials{Application: "customers", Name: "ada", Password: "correct horse battery"}, login.Origin{})
	token, _ := service.Exchange(ctx, session.Token, "https://orders.example")
	get := func() int {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/orders", nil)
		r.Header.Set("Authorization", "Bearer "+token.Access)
		mux.ServeHTTP(w, r)
		return w.Code
	}
	fmt.Println(get())

	err = service.EndSession(ctx, "ada", session.Session.ID)
	for errors.Is(err, resn.ErrNotOwner) { // a process that stood still has to take the topic again first
		err = service.EndSession(ctx, "ada", session.Session.ID)
	}
	if err != nil {
		fmt.Println(err)
	}
	for end := time.Now().Add(time.Minute); get() == http.StatusOK && time.Now().Before(end); {
		<-time.After(time.Millisecond) // the notice is on its way
	}
	fmt.Println(get())
	// Output:
	// 200
	// 401
}
