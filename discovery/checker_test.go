package discovery_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/memdiscovery"
)

// patients answer probes unless they are silent.
type patients struct {
	mu     sync.Mutex
	silent map[string]bool
}

func (p *patients) set(silent bool, ids ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent == nil {
		p.silent = make(map[string]bool)
	}
	for _, id := range ids {
		p.silent[id] = silent
	}
}

func (p *patients) probe(ctx context.Context, i *discovery.Instance) error {
	p.mu.Lock()
	silent := p.silent[i.ID]
	p.mu.Unlock()
	if silent {
		<-ctx.Done()
		return errors.New("silence")
	}
	return nil
}

// check runs a checker until the returned function is called or the test ends.
func check(t *testing.T, store *memdiscovery.Store, p *patients) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	c := discovery.NewChecker(open(t, store, nil), &discovery.CheckerOptions{Probe: p.probe})
	go func() {
		defer close(ended)
		if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run ends with its context's error: %v", err)
		}
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

// health lists the instances with what is known of their health.
func health(t *testing.T, r *discovery.Registry) map[string]discovery.Health {
	t.Helper()
	all, err := r.List(t.Context(), "restaurants")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]discovery.Health)
	for _, i := range all {
		got[i.ID] = i.Health
	}
	return got
}

const serving, failing = discovery.Serving, discovery.Failing

func TestSilentInstanceIsMarkedThenRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, restaurant("a"), restaurant("b"), restaurant("c"))
		var p patients
		check(t, f.store, &p)
		time.Sleep(15 * time.Second)
		p.set(true, "b") // it hangs, and renews
		time.Sleep(10 * time.Second)
		expect(t, "one missed heartbeat says nothing", health(t, f.registry), map[string]discovery.Health{"a": serving, "b": serving, "c": serving})
		time.Sleep(10 * time.Second)
		expect(t, "two do", health(t, f.registry), map[string]discovery.Health{"a": serving, "b": failing, "c": serving})
		if got := f.pick(t, 1000, nil, byID); got["b"] != 0 {
			t.Errorf("a marked instance gets nothing: %v", got)
		}
		time.Sleep(40 * time.Second)
		expect(t, "after a while it is removed", health(t, f.registry), map[string]discovery.Health{"a": serving, "c": serving})
		time.Sleep(time.Minute)
		if n := f.members["b"].State().Again; n == 0 {
			t.Fatal("the process still renews, so it registers again")
		}
		expect(t, "but it stays hidden for as long as it doesn't answer", health(t, f.registry), map[string]discovery.Health{"a": serving, "c": serving})
		p.set(false, "b")
		time.Sleep(15 * time.Second)
		expect(t, "when it answers it is back", health(t, f.registry), map[string]discovery.Health{"a": serving, "b": serving, "c": serving})
	})
}

func TestMarksEndWithTheirChecker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, restaurant("a"), restaurant("b"), restaurant("c"))
		var p patients
		p.set(true, "b")
		stop := check(t, f.store, &p)
		time.Sleep(25 * time.Second)
		expect(t, "a checker marks", health(t, f.registry)["b"], failing)
		stop()
		time.Sleep(31 * time.Second)
		expect(t, "what a dead checker said is forgotten", health(t, f.registry)["b"], serving)
	})
}

func TestSeveralCheckers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, restaurant("a"), restaurant("b"), restaurant("c"))
		var p patients
		p.set(true, "b")
		stop := check(t, f.store, &p)
		check(t, f.store, &p)
		time.Sleep(25 * time.Second)
		expect(t, "several checkers agree", health(t, f.registry)["b"], failing)
		stop()
		time.Sleep(45 * time.Second) // three intervals until its word is forgotten, and one
		if h := health(t, f.registry)["b"]; h == serving {
			t.Error("when one of them dies the other one's word stands from the next round on")
		}
	})
}

func TestCheckerDoubtsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(10, "i", "", "")...)
		var p patients
		for i := range f.members {
			p.set(true, i)
		}
		stop := check(t, f.store, &p)
		time.Sleep(10 * time.Minute)
		for id, h := range health(t, f.registry) {
			if h != serving {
				t.Errorf("a checker that reaches nobody is cut off itself, and marks nobody: %s is %s", id, h)
			}
		}
		if len(health(t, f.registry)) != 10 {
			t.Error("and removes nobody")
		}
		stop()
	})
}

func TestDrainingInstanceIsNotChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, restaurant("a"), restaurant("b"), restaurant("c"))
		var p patients
		p.set(true, "b")
		check(t, f.store, &p)
		if err := f.members["b"].SetHealth(t.Context(), discovery.Draining, "deploy"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		expect(t, "who drains on purpose is left alone", health(t, f.registry)["b"], discovery.Draining)
	})
}

func TestProbeHTTP(t *testing.T) {
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/live" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(status)
	}))
	defer s.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	probe := discovery.ProbeHTTP(map[string]http.RoundTripper{"http": transport})
	i := restaurant("a")
	i.Endpoints[0].Address = s.Listener.Addr().String()
	if err := probe(t.Context(), &i); err != nil {
		t.Errorf("an instance without a health page is there all the same: %v", err)
	}
	i.Attributes = map[string]string{discovery.HealthPath: "/live"}
	status = http.StatusServiceUnavailable
	if err := probe(t.Context(), &i); err == nil {
		t.Error("an instance that says that it isn't well isn't")
	}
	s.Close()
	if err := probe(t.Context(), &i); err == nil {
		t.Error("who isn't there doesn't answer")
	}
}
