package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn/gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const root = "root-key-of-the-tests"

// rig is a gateway with what it stands on.
type rig struct {
	t      *testing.T
	bus    *bus.Bus
	broker *membus.Broker
	store  gateway.Store
	g      *gateway.Gateway
	calls  *callbacks
}

// newRig opens a gateway whose callbacks are functions. It works inside of a
// synctest bubble.
func newRig(t *testing.T, change func(*gateway.Options)) *rig {
	t.Helper()
	r := &rig{t: t, broker: membus.NewBroker(), store: &gateway.MemoryStore{}, calls: &callbacks{}}
	r.bus = r.broker.Connect(nil)
	opts := &gateway.Options{RootToken: root}
	opts.Callbacks.Transport = r.calls
	if change != nil {
		change(opts)
	}
	r.g = r.open(r.bus, opts)
	t.Cleanup(func() { _ = r.bus.Shutdown(context.Background()) })
	t.Cleanup(func() { r.shut(r.g) })
	return r
}

func (r *rig) open(b *bus.Bus, opts *gateway.Options) *gateway.Gateway {
	r.t.Helper()
	g, err := gateway.Open(r.t.Context(), b, r.store, opts)
	if err != nil {
		r.t.Fatal(err)
	}
	return g
}

func (r *rig) shut(g *gateway.Gateway) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := g.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		r.t.Errorf("Shutdown: %v", err)
	}
}

// answer is a response that needn't be closed.
type answer struct {
	status int
	header http.Header
	body   string
}

// call makes a request with the token as the Ruby client shows it.
func call(h http.Handler, token, method, path, body string, header ...string) answer {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	if token != "" {
		req.SetBasicAuth(token, "x")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return answer{rec.Code, rec.Header(), rec.Body.String()}
}

func (r *rig) call(token, method, path, body string, header ...string) answer {
	return call(r.g, token, method, path, body, header...)
}

// must is call that expects a status.
func (r *rig) must(status int, token, method, path, body string, header ...string) answer {
	r.t.Helper()
	a := r.call(token, method, path, body, header...)
	if a.status != status {
		r.t.Fatalf("%s %s answers %d %q; it should be %d", method, path, a.status, a.body, status)
	}
	return a
}

// token makes a client and returns its token.
func (r *rig) token(name string) string {
	r.t.Helper()
	a := r.must(201, root, "POST", "/api_tokens", `{"name":"`+name+`"}`)
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(a.body), &made); err != nil || made.Token == "" {
		r.t.Fatalf("no token in %q: %v", a.body, err)
	}
	return made.Token
}

// push publishes an update.
func (r *rig) push(token, topic, url string) {
	r.t.Helper()
	r.must(200, token, "POST", "/topics/"+topic, `{"type":"update","url":"`+url+`"}`)
}

// subscribe subscribes with further members in the form `,"max":5`.
func (r *rig) subscribe(token, topic, more string) {
	r.t.Helper()
	r.must(204, token, "POST", "/subscription", `{"topics":["`+topic+`"],"callback":"https://app.example/events","uuid":"hush"`+more+`}`)
}

// request is what a callback got.
type request struct {
	at     time.Time
	method string
	url    string
	header http.Header
	body   string
}

// urls returns the urls of a Routemaster batch.
func (q request) urls() []string {
	var batch []struct{ URL string }
	_ = json.Unmarshal([]byte(q.body), &batch)
	out := make([]string, len(batch))
	for i, e := range batch {
		out[i] = e.URL
	}
	return out
}

// callbacks is the other end of deliveries.
type callbacks struct {
	mu     sync.Mutex
	got    []request
	answer func(request) (reply, error) // nil: 204
}

// RoundTrip implements http.RoundTripper.
func (c *callbacks) RoundTrip(req *http.Request) (*http.Response, error) {
	q := request{at: time.Now(), method: req.Method, url: req.URL.String(), header: req.Header.Clone()}
	if req.Body != nil {
		data, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		q.body = string(data)
	}
	c.mu.Lock()
	c.got = append(c.got, q)
	answer := c.answer
	c.mu.Unlock()
	said, err := says(204), error(nil)
	if answer != nil {
		said, err = answer(q)
	}
	resp := &http.Response{StatusCode: said.status, Header: http.Header{}, Body: http.NoBody}
	for i := 0; i+1 < len(said.header); i += 2 {
		resp.Header.Set(said.header[i], said.header[i+1])
	}
	if err == nil {
		if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.WroteRequest != nil {
			trace.WroteRequest(httptrace.WroteRequestInfo{})
		}
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// set says how callbacks answer from now on.
func (c *callbacks) set(answer func(request) (reply, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = answer
}

// all returns the requests so far.
func (c *callbacks) all() []request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]request(nil), c.got...)
}

// urls returns the urls of all batches so far.
func (c *callbacks) urls() []string {
	var out []string
	for _, q := range c.all() {
		out = append(out, q.urls()...)
	}
	return out
}

// reply is how a callback answers.
type reply struct {
	status int
	header []string // names and values in turn
}

func says(status int, header ...string) reply { return reply{status, header} }

// always answers every request alike.
func always(status int, header ...string) func(request) (reply, error) {
	return func(request) (reply, error) { return says(status, header...), nil }
}

var errRefusedConnection = errors.New("connection refused")

// down is a callback that can't be reached.
func down(request) (reply, error) { return reply{}, errRefusedConnection }
