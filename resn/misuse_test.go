package resn_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// What is missing is said where it was left out, not by a crash later.
func TestWhatIsMissingIsNamed(t *testing.T) {
	b := membus.New(nil)
	defer func() { _ = b.Shutdown(context.Background()) }()
	client, err := resn.NewClient(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close(context.Background()) }()
	plain, err := resn.NewClient(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	run := func(context.Context) error { return nil }
	handle := func(context.Context, *resn.Change) error { return nil }
	owner := &resn.OwnershipOptions{Owner: "books"}
	_, publisher := resn.NewPublisher(nil, "books", nil)
	_, nobody := resn.NewConsumer(nil, "books", "search", handle, nil)
	_, busless := resn.NewConsumer(plain, "books", "search", handle, nil)
	_, idle := resn.NewConsumer(client, "books", "search", nil, nil)
	_, group := resn.NewConsumer(client, "books", "my search", handle, nil)
	_, lease := resn.Own(ctx, resn.NewBusLease(nil), "books", nil)
	for _, c := range []struct {
		err  error
		want string
	}{
		{publisher, `publisher of topic "books": there is no bus`},
		{nobody, `consumer of topic "books": the client has no bus`},
		{busless, `consumer of topic "books": the client has no bus`},
		{idle, `consumer of topic "books": there is no handler`},
		{group, `consumer of topic "books": group: invalid name: "my search": character ' ' at 2`},
		{lease, `claim topic "books": the lease has no bus`},
		{resn.RunOwned(ctx, resn.NewBusLease(b), nil, run, owner), "no topics are named"},
		{plain.Listen(ctx, "books"), "the client has no bus"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%v, want %q", c.err, c.want)
		}
	}
}

// An open circuit hides what opened it from everybody but the first.
func TestAnOpenCircuitSaysWhatOpenedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := resn.NewGuard(roundTrip(func(req *http.Request) (*http.Response, error) {
			return &http.Response{Status: "503 Service Unavailable", StatusCode: 503, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
		}), &resn.GuardOptions{Retries: -1})
		var err error
		for range 6 {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/books", nil)
			var resp *http.Response
			if resp, err = guard.RoundTrip(req); err == nil {
				_ = resp.Body.Close()
			}
		}
		if err == nil || !strings.Contains(err.Error(), "resn: api.example is left alone for a while, because it kept failing (503 Service Unavailable)") {
			t.Errorf("it doesn't say why it was opened: %v", err)
		}
	})
}
