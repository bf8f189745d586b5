package discoverysvc_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/discoverysvc"
	"github.com/goswale/swale/discovery/memdiscovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a server on a port.
type service struct {
	*discoverysvc.Server
	url  string
	stop func()
}

// serve starts a server in front of a store. The handler is known before it
// is made, so that Base can name its port.
func serve(t *testing.T, store *memdiscovery.Store, opts discoverysvc.Options) *service {
	t.Helper()
	var s *discoverysvc.Server
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.StripPrefix("/discovery", s).ServeHTTP(w, r)
	}))
	if opts.Authorise == nil {
		opts.Authorise = discoverysvc.AllowAll
	}
	opts.Base = web.URL + "/discovery"
	d := store.Driver(nil)
	s, err := discoverysvc.New(d, &opts)
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	svc := &service{Server: s, url: opts.Base}
	svc.stop = func() {
		if stopped {
			return
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := errors.Join(s.Close(ctx), d.Close(ctx)); err != nil {
			t.Error(err)
		}
		web.CloseClientConnections()
		web.Close()
	}
	t.Cleanup(svc.stop)
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return svc
}

// registry returns a registry that speaks to servers.
func registry(t *testing.T, base string, others ...string) *discovery.Registry {
	t.Helper()
	r := discovery.New(discoverysvc.Dial(base, &discoverysvc.ClientOptions{Others: others}), &discovery.Options{
		Backoff: discovery.Backoff{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond},
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return r
}

func instance(service, id, version string) discovery.Instance {
	return discovery.Instance{Service: service, ID: id, Version: version, Endpoints: []discovery.Endpoint{{Scheme: "http", Address: "10.0.0.7:80"}}}
}

// until waits for what must happen soon.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("it never happened that %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// table returns a table of a server's bindings.
func table(t *testing.T, base string) *binding.Table {
	t.Helper()
	store := discoverysvc.DialBindings(base, nil)
	b := binding.NewTable(store, nil)
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
		store.Close()
	})
	if err := b.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}
