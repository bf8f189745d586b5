package natsdiscovery_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/discoverytest"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/natsdiscovery"
)

func open(t *testing.T, url string) *discovery.Registry {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := natsdiscovery.Open(ctx, url, &natsdiscovery.Options{
		Heartbeat: 300 * time.Millisecond,
		Discovery: discovery.Options{Backoff: discovery.Backoff{Max: 200 * time.Millisecond}, CallTimeout: 10 * time.Second, Grace: patience},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = r.Shutdown(ctx) // the server may be gone
	})
	return r
}

// watcher keeps the views of the service restaurants.
func watcher(t *testing.T, r *discovery.Registry) <-chan discovery.View {
	t.Helper()
	views := make(chan discovery.View, 10_000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Watch(ctx, "restaurants", func(v discovery.View) { views <- v })
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return views
}

// until waits for a view; always must hold of every view on the way.
func until(t *testing.T, views <-chan discovery.View, rule string, always, holds func(discovery.View) bool) {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case v := <-views:
			if !always(v) {
				t.Fatalf("%s: %d instances, live %v, %v", rule, len(v.Instances), v.Live, v.Err)
			}
			if holds(v) {
				return
			}
		case <-late:
			t.Fatalf("%s: it didn't happen", rule)
		}
	}
}

func anything(discovery.View) bool    { return true }
func three(v discovery.View) bool     { return len(v.Instances) == 3 }
func lost(v discovery.View) bool      { return !v.Live && v.Err != nil && v.Staleness() >= 0 }
func liveAgain(v discovery.View) bool { return v.Live }
func registerThree(t *testing.T, r *discovery.Registry) []*discovery.Registration {
	t.Helper()
	var all []*discovery.Registration
	for i := range 3 {
		g, err := r.Register(t.Context(), discovery.Instance{
			Service: "restaurants", ID: fmt.Sprint("i", i), Endpoints: []discovery.Endpoint{{Scheme: "http", Address: "10.0.0.7:80"}},
		}, &discovery.RegisterOptions{TTL: 10 * time.Second, Renew: 500 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, g)
	}
	return all
}

func TestServerRestart(t *testing.T) {
	dir, port := t.TempDir(), discoverytest.FreePorts(t, 1)[0]
	s := startServer(t, dir, port)
	here, there := open(t, s.ClientURL()), open(t, s.ClientURL())
	registerThree(t, here)
	views := watcher(t, there)
	until(t, views, "the instances are there", anything, three)
	stop(s)
	until(t, views, "a view whose server has gone says so, and keeps the instances", three, lost)
	startServer(t, dir, port)
	until(t, views, "it is live again, and never was empty", three, liveAgain)
}

func TestServerLosesItsFiles(t *testing.T) {
	port := discoverytest.FreePorts(t, 1)[0]
	s := startServer(t, t.TempDir(), port)
	here, there := open(t, s.ClientURL()), open(t, s.ClientURL())
	members := registerThree(t, here)
	views := watcher(t, there)
	until(t, views, "the instances are there", anything, three)
	stop(s)
	until(t, views, "a view whose server has gone says so", three, lost)
	startServer(t, t.TempDir(), port)
	until(t, views, "a server that has forgotten everything empties nobody's view", three, liveAgain)
	late := time.After(patience)
	for _, g := range members {
		for g.State().Again == 0 || !g.State().Registered {
			select {
			case <-late:
				t.Fatalf("the instances register again: %+v", g.State())
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	all, err := there.List(t.Context(), "restaurants")
	if err != nil || len(all) != 3 {
		t.Errorf("the server knows them again: %d, %v", len(all), err)
	}
}

// TestPermissions uses a server whose users are confined to their services.
func TestPermissions(t *testing.T) {
	inbox, api := "_INBOX.>", "$JS.API.>"
	user := func(name string, publish ...string) *server.User {
		return &server.User{Username: name, Password: "pw", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: append(publish, api)},
			Subscribe: &server.SubjectPermission{Allow: []string{inbox, "$KV.swale-discovery.>"}},
		}}
	}
	s := startServer(t, t.TempDir(), 0, user("orders", "$KV.swale-discovery.instances.orders.>"))
	r, err := natsdiscovery.Open(t.Context(), s.ClientURL(), &natsdiscovery.Options{
		Conn: []nats.Option{nats.UserInfo("orders", "pw")}, Discovery: discovery.Options{CallTimeout: 10 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Shutdown(t.Context()) }()
	register := func(service string) error {
		_, err := r.Register(t.Context(), discovery.Instance{Service: service, Endpoints: []discovery.Endpoint{{Scheme: "http", Address: "10.0.0.7:80"}}}, nil)
		return err
	}
	if err := register("orders"); err != nil {
		t.Errorf("a service registers itself: %v", err)
	}
	if err := register("restaurants"); !errors.Is(err, driver.ErrDenied) {
		t.Errorf("and nobody else: %v", err)
	}
}

// A process that starts while the server is away knows those who were known last,
// and everybody else as soon as the server is back.
func TestStartsWhileTheServerIsAway(t *testing.T) {
	dir, port, last := t.TempDir(), discoverytest.FreePorts(t, 1)[0], t.TempDir()
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	s, err := serve(dir, port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(s) }) // whichever is the last one
	opts := &natsdiscovery.Options{
		Heartbeat: 300 * time.Millisecond,
		Discovery: discovery.Options{LastKnown: last, Backoff: discovery.Backoff{Max: 200 * time.Millisecond}, CallTimeout: time.Second},
	}
	start := func(ctx context.Context) *discovery.Registry {
		t.Helper()
		r, err := natsdiscovery.Open(ctx, url, opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			end, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := r.Shutdown(end); err != nil {
				t.Error(err)
			}
		})
		return r
	}
	instance := discovery.Instance{Service: "restaurants", ID: "a", Endpoints: []discovery.Endpoint{{Scheme: "http", Address: "a.example:80"}}}
	first := start(t.Context())
	if _, err := first.Register(t.Context(), instance, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_ = first.Watch(ctx, "restaurants", func(v discovery.View) {
			if len(v.Instances) == 1 {
				cancel()
			}
		})
	}()
	<-watched
	stop(s)

	second := start(t.Context())
	views := watcher(t, second)
	registered := make(chan error, 1)
	go func() {
		other := instance
		other.ID = "b"
		_, err := second.Register(t.Context(), other, nil)
		registered <- err
	}()
	begin := time.After(patience)
	for known := false; !known; {
		select {
		case v := <-views:
			if v.Live || !v.FromDisk || len(v.Instances) != 1 || v.Staleness() <= 0 {
				t.Fatalf("the server is away, and the view is %+v", v)
			}
			known = true
		case <-begin:
			t.Fatal("a process that starts while the server is away knows nobody")
		}
	}
	if s, err = serve(dir, port); err != nil {
		t.Fatal(err)
	}
	if err := <-registered; err != nil {
		t.Fatalf("a registration waits for the server: %v", err)
	}
	back := time.After(patience)
	for {
		select {
		case v := <-views:
			if v.Live && !v.FromDisk && len(v.Instances) == 2 {
				return
			}
		case <-back:
			t.Fatal("the view doesn't catch up")
		}
	}
}

// Without a place for last known views an unreachable server is an error, and a
// wrong option always is.
func TestOpenSaysWhatIsWrong(t *testing.T) {
	url := fmt.Sprintf("nats://127.0.0.1:%d", discoverytest.FreePorts(t, 1)[0])
	if _, err := natsdiscovery.Open(t.Context(), url, nil); !errors.Is(err, nats.ErrNoServers) {
		t.Errorf("%v", err)
	}
	s := startServer(t, t.TempDir(), 0)
	if _, err := natsdiscovery.Open(t.Context(), s.ClientURL(), &natsdiscovery.Options{
		Bucket: "a b", Discovery: discovery.Options{LastKnown: t.TempDir()},
	}); err == nil {
		t.Error("a bucket's name that can't be is accepted")
	}
}
