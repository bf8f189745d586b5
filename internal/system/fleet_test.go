package system

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/httpbus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/memdiscovery"
)

// Discovery's transport carries requests to instances over the bus as it does
// over TCP: in the proportions of their versions, whole bodies both ways, and to
// another instance when one isn't there.
func TestInstancesAreCalledOverTheBus(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		b := membus.New(nil)
		closed(t, b)
		checkFleet(t, b)
	})
	for i := range products {
		p := &products[i]
		t.Run(p.name, func(t *testing.T) {
			server := p.server(t)
			b, err := p.open(t.Context(), server, p.prefix(t, server))
			if err != nil {
				t.Fatal(err)
			}
			closed(t, b)
			checkFleet(t, b)
		})
	}
}

// closed shuts the bus down at the test's end.
func closed(t *testing.T, b *bus.Bus) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
}

// fleet is instances of one service, and who called them by which way.
type fleet struct {
	t        *testing.T
	bus      *bus.Bus
	registry *discovery.Registry

	mu    sync.Mutex
	calls map[string]int // "v1 over bus"
}

// always is one split for all requests.
type always discovery.Split

func (a always) Split(*http.Request, string) (*discovery.Split, string) {
	return (*discovery.Split)(&a), ""
}

// serve has an instance answer on the bus under a name of its own, so that
// callers choose between instances and not the bus.
func (f *fleet) serve(version, id string) *httpbus.Server {
	f.t.Helper()
	name := "restaurants-" + id
	s, err := httpbus.Serve(f.t.Context(), f.bus, name, f.handler(version, "bus"), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	f.register(version, id, discovery.Endpoint{Scheme: "bus", Address: name})
	return s
}

func (f *fleet) register(version, id string, endpoints ...discovery.Endpoint) {
	f.t.Helper()
	if _, err := f.registry.Register(f.t.Context(), discovery.Instance{
		Service: "restaurants", Version: version, ID: id, Endpoints: endpoints,
	}, nil); err != nil {
		f.t.Fatal(err)
	}
}

// handler answers with the body's hash and length, and echoes the body.
func (f *fleet) handler(version, way string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.mu.Lock()
		f.calls[version+" over "+way]++
		f.mu.Unlock()
		w.Header().Set("Got", fmt.Sprintf("%s %s %x", r.Method, r.Host+r.URL.RequestURI(), sha256.Sum256(body)))
		_, _ = w.Write(body)
	})
}

// seen returns the counts since it was called last.
func (f *fleet) seen() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = map[string]int{}
	return calls
}

// transport calls by these schemes, the preferred one first.
func (f *fleet) transport(split discovery.Splitter, schemes ...string) *http.Client {
	r := discovery.NewResolver(f.registry, &discovery.ResolverOptions{Schemes: schemes, SlowStart: -1})
	f.t.Cleanup(func() { _ = r.Shutdown(context.WithoutCancel(f.t.Context())) })
	return &http.Client{Transport: discovery.NewTransport(nil, r, &discovery.TransportOptions{
		Splitter: split,
		Schemes:  map[string]http.RoundTripper{"bus": httpbus.NewTransport(f.bus, nil)},
		NotSent:  func(err error) bool { return errors.Is(err, bus.ErrNoResponders) },
	})}
}

// post sends a body, and reports what is wrong with the answer.
func post(ctx context.Context, c *http.Client, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://restaurants/echo?a=b%2Fc", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	want := fmt.Sprintf("POST restaurants/echo?a=b%%2Fc %x", sha256.Sum256(body))
	if resp.StatusCode != http.StatusOK || !bytes.Equal(got, body) || resp.Header.Get("Got") != want {
		return fmt.Errorf("%s, %d bytes, the instance got %q; want %d bytes, %q", resp.Status, len(got), resp.Header.Get("Got"), len(body), want)
	}
	return nil
}

func checkFleet(t *testing.T, b *bus.Bus) {
	t.Helper()
	registry := memdiscovery.New(nil)
	t.Cleanup(func() { _ = registry.Shutdown(context.WithoutCancel(t.Context())) })
	f := &fleet{t: t, bus: b, registry: registry, calls: map[string]int{}}
	var servers []*httpbus.Server
	for i, version := range []string{"v1", "v1", "v1", "v2"} {
		servers = append(servers, f.serve(version, fmt.Sprint(i)))
	}
	c := f.transport(always{Versions: []discovery.VersionWeight{{Version: "v1", Weight: 60}, {Version: "v2", Weight: 40}}}, "bus", "http")

	large := []byte(strings.Repeat("0123456789abcdef", 64<<10/2)) // several messages
	if err := post(t.Context(), c, large); err != nil {
		t.Fatalf("a body of %d bytes over the bus: %v", len(large), err)
	}
	f.seen()
	const n = 1000
	for i := range n {
		if err := post(t.Context(), c, []byte(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	seen := f.seen()
	if share := 100 * float64(seen["v2 over bus"]) / n; math.Abs(share-40) > 7 || seen["v1 over bus"]+seen["v2 over bus"] != n {
		t.Errorf("of %d requests %v; 40%% are for v2, which has one instance of four, and all go over the bus", n, seen)
	}

	// One is gone and nobody says so: what the bus couldn't deliver goes elsewhere,
	// also what mustn't be sent twice.
	if err := servers[0].Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if err := post(t.Context(), c, []byte(fmt.Sprint(i))); err != nil {
			t.Fatalf("a POST after one of three instances has gone: %v", err)
		}
	}
	if seen := f.seen(); seen["v1 over bus"]+seen["v2 over bus"] != 200 {
		t.Errorf("200 requests were served %v times", seen)
	}

	// TCP beside the bus: who can be reached by it alone is called by it, and who
	// calls by it alone reaches nobody else.
	hs := httptest.NewServer(f.handler("v3", "http"))
	defer hs.Close()
	f.register("v3", "tcp", discovery.Endpoint{Scheme: "http", Address: strings.TrimPrefix(hs.URL, "http://")})
	both, tcp := f.transport(nil, "bus", "http"), f.transport(nil, "http")
	for range 200 {
		if err := errors.Join(post(t.Context(), both, []byte("x")), post(t.Context(), tcp, []byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	if seen := f.seen(); seen["v3 over http"] <= 200 || seen["v1 over bus"] == 0 || seen["v2 over bus"] == 0 {
		t.Errorf("200 requests by either way and 200 by TCP alone were served %v", seen)
	}
	for _, s := range servers[1:] {
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := post(t.Context(), f.transport(nil, "bus"), []byte("x")); !errors.Is(err, bus.ErrNoResponders) {
		t.Errorf("when nobody answers on the bus the error says so: %v", err)
	}
}
