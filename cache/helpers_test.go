package cache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeOrigin is the transport inside: it answers from memory and counts.
type fakeOrigin struct {
	mu       sync.Mutex
	requests []*http.Request
	handle   func(req *http.Request) *http.Response
	gate     chan struct{} // if set, every answer waits for a value or its closing
	fail     error
}

func newOrigin(handle func(req *http.Request) *http.Response) *fakeOrigin {
	return &fakeOrigin{handle: handle}
}

func (o *fakeOrigin) RoundTrip(req *http.Request) (*http.Response, error) {
	o.mu.Lock()
	o.requests = append(o.requests, req)
	gate, fail := o.gate, o.fail
	o.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	// The answer is what holds when the question arrives.
	resp := o.handle(req)
	if gate != nil {
		select {
		case <-gate:
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	resp.Request = req
	return resp, nil
}

func (o *fakeOrigin) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.requests)
}

func (o *fakeOrigin) last() *http.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.requests[len(o.requests)-1]
}

func (o *fakeOrigin) setGate(gate chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gate = gate
}

func (o *fakeOrigin) setFail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail = err
}

// reply makes a response; fields come as name, value, name, value.
func reply(status int, body string, fields ...string) *http.Response {
	h := http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}}
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	if h.Get("Date") == "-" {
		h.Del("Date")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	return &http.Response{
		StatusCode: status, Status: strconv.Itoa(status) + " " + http.StatusText(status),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// versioned serves one document that has a version, with ETags and
// conditional requests.
type versioned struct {
	mu      sync.Mutex
	version int
	fields  []string
}

func (d *versioned) set(v int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.version = v
}

func (d *versioned) handle(req *http.Request) *http.Response {
	d.mu.Lock()
	defer d.mu.Unlock()
	if req.Method == http.MethodPut {
		d.version++
		return reply(204, "")
	}
	v := strconv.Itoa(d.version)
	fields := append([]string{"ETag", `"v` + v + `"`}, d.fields...)
	if req.Header.Get("If-None-Match") == `"v`+v+`"` {
		return reply(304, "", fields...)
	}
	return reply(200, "version "+v, fields...)
}

const testURL = "https://api.example/restaurants/203"

func newRequest(t testing.TB, method, url string, fields ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	return req
}

// fetched is a response that was read.
type fetched struct {
	status int
	body   string
	header http.Header
	err    error
}

func (f fetched) how() string {
	lines := f.header["Cache-Status"]
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

func (f fetched) hit() bool { return strings.Contains(f.how(), "; hit") }

func fetch(rt http.RoundTripper, req *http.Request) fetched {
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return fetched{err: err}
	}
	body, err := io.ReadAll(resp.Body)
	err = errors.Join(err, resp.Body.Close())
	return fetched{resp.StatusCode, string(body), resp.Header, err}
}

func get(t testing.TB, rt http.RoundTripper, url string, fields ...string) fetched {
	t.Helper()
	f := fetch(rt, newRequest(t, http.MethodGet, url, fields...))
	if f.err != nil {
		t.Fatalf("GET %s: %v", url, f.err)
	}
	return f
}

// expect checks body and whether the origin was asked.
func (f fetched) expect(t testing.TB, body string, hit bool, rule string) {
	t.Helper()
	if f.body != body || f.hit() != hit {
		t.Errorf("%s: got %q (%s), want %q, hit %v", rule, f.body, f.how(), body, hit)
	}
}
