package thinapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/goswale/swale/discovery/thinapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is a transport that notes what it is asked and answers 200.
type backend struct {
	mu     sync.Mutex
	seen   []seen
	answer func(*http.Request) (*http.Response, error)
}

type seen struct {
	method, url, host, body string
	header                  http.Header
}

func (b *backend) RoundTrip(r *http.Request) (*http.Response, error) {
	s := seen{method: r.Method, url: r.URL.String(), host: r.Host, header: r.Header}
	if r.Body != nil {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		s.body = string(data)
	}
	b.mu.Lock()
	b.seen = append(b.seen, s)
	b.mu.Unlock()
	if b.answer != nil {
		return b.answer(r)
	}
	return ok(), nil
}

func ok() *http.Response {
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"text/plain"}}, Body: io.NopCloser(strings.NewReader("yes")), ContentLength: 3,
	}
}

func (b *backend) all() []seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]seen(nil), b.seen...)
}

func (b *backend) last(t *testing.T) seen {
	t.Helper()
	all := b.all()
	if len(all) == 0 {
		t.Fatal("the backend wasn't asked")
	}
	return all[len(all)-1]
}

// open returns a door with rules.
func open(t *testing.T, b http.RoundTripper, rulesText string, opts *thinapi.Options) *thinapi.Handler {
	t.Helper()
	h, err := thinapi.New(b, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	if err := h.Load([]byte(rulesText)); err != nil {
		t.Fatal(err)
	}
	return h
}

// everything is one rule that forwards all there is.
const everything = `{"rules": [{"id": "all", "route": {"service": "all"}}]}`

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends a request to a handler; pairs are names and values of header
// fields, and "from" is the remote address.
func ask(h http.Handler, method, target, body string, pairs ...string) reply {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r = httptest.NewRequest(method, target, nil)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == "from" {
			r.RemoteAddr = pairs[i+1]
			continue
		}
		r.Header.Add(pairs[i], pairs[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}

func proxies(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}
