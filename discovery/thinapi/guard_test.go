package thinapi_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/discovery/thinapi"
)

// serve runs a handler on a port of its own.
func serve(t *testing.T, h http.Handler) (string, *http.Client) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c := s.Client()
	t.Cleanup(c.CloseIdleConnections)
	return s.URL, c
}

// raw sends texts one after another, and after each reads what comes, at least
// something, until the other side ends or falls silent.
func raw(t *testing.T, url string, texts ...string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var got []byte
	for _, text := range texts {
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		patience := 2 * time.Minute // an answer comes
		for {
			if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			part := make([]byte, 4096)
			n, err := conn.Read(part)
			got = append(got, part[:n]...)
			if err != nil {
				break
			}
			patience = 200 * time.Millisecond // and perhaps another one
		}
	}
	return string(got)
}

// What a backend may read in another way than the rules did never gets there.
func TestRefusesWhatIsReadTwoWays(t *testing.T) {
	b := &backend{}
	url, _ := serve(t, open(t, b, everything, nil))
	for name, text := range map[string]string{
		"dot segments":         "GET /a/../admin HTTP/1.1\r\nHost: x\r\n\r\n",
		"escaped dot segments": "GET /a/%2e%2E/admin HTTP/1.1\r\nHost: x\r\n\r\n",
		"single dot":           "GET /./admin HTTP/1.1\r\nHost: x\r\n\r\n",
		"empty segment":        "GET //admin HTTP/1.1\r\nHost: x\r\n\r\n",
		"backslash":            "GET /a\\admin HTTP/1.1\r\nHost: x\r\n\r\n",
		"escaped backslash":    "GET /a%5cadmin HTTP/1.1\r\nHost: x\r\n\r\n",
		"escaped slash":        "GET /a%2Fadmin HTTP/1.1\r\nHost: x\r\n\r\n",
		"escaped NUL":          "GET /a%00admin HTTP/1.1\r\nHost: x\r\n\r\n",
		"escaped newline":      "GET /a%0d%0aX:%20y HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT":              "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n",
		"TRACE":                "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
		"body of GET":          "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"chunked GET":          "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"Connection names":     "GET / HTTP/1.1\r\nHost: x\r\nConnection: X-Forwarded-For, close\r\n\r\n",
		"Connection names id":  "GET / HTTP/1.1\r\nHost: x\r\nConnection: Authorization\r\n\r\n",
		"two lengths":          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
		"signed length":        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
		"unknown coding":       "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"two codings":          "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"space before colon":   "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
		"two hosts":            "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"no host":              "GET / HTTP/1.1\r\n\r\n",
		"bad chunk size":       "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			before := len(b.all())
			got := raw(t, url, text)
			if !strings.HasPrefix(got, "HTTP/1.1 4") && !strings.HasPrefix(got, "HTTP/1.0 4") && !strings.HasPrefix(got, "HTTP/1.1 5") && !strings.HasPrefix(got, "HTTP/1.0 5") {
				t.Errorf("it must be refused, and was answered %q", got)
			}
			if now := b.all(); len(now) != before {
				t.Errorf("a backend got %+v", now[before:])
			}
		})
	}
}

// A request hidden in the framing of another never becomes one of its own at
// a backend that has the connection to itself.
func TestSmuggledRequestNeverArrives(t *testing.T) {
	var paths = make(chan string, 100)
	real := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		paths <- fmt.Sprintf("%s %s cl=%d te=%v", r.Method, r.URL.Path, r.ContentLength, r.TransferEncoding)
		if len(r.Trailer) > 0 {
			paths <- fmt.Sprintf("a trailer %v instead of /admin", r.Trailer)
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(real.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	url, _ := serve(t, open(t, transport, fmt.Sprintf(`{"rules": [{"id": "all", "route": {"url": %q}},
		{"id": "admin", "match": {"path": "/admin"}, "respond": {"status": 403}}]}`, real.URL), nil))
	const hidden = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, text := range map[string]string{
		"length against chunks": fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s", 5+len(hidden), hidden),
		"chunks against length": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n22\r\n" + hidden + "\r\n0\r\n\r\n",
		"coding of HTTP/1.0":    "POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"trailer":               "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\nContent-Length: 50\r\n\r\n",
		"header in the trailer": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Forwarded-For\r\n\r\n0\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n",
		"h2c":                   "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			raw(t, url, text)
			for {
				select {
				case p := <-paths:
					if strings.Contains(p, "/admin") {
						t.Errorf("the backend got %s", p)
					}
					continue
				default:
				}
				break
			}
		})
	}
}

func TestUpgrades(t *testing.T) {
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			w.WriteHeader(http.StatusUpgradeRequired)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := rw.ReadString('\n')
		fmt.Fprint(conn, "echo "+line)
	}))
	t.Cleanup(echo.Close)
	for _, allowed := range []bool{false, true} {
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		url, _ := serve(t, open(t, transport, fmt.Sprintf(`{"rules": [{"id": "all", "route": {"url": %q}}]}`, echo.URL), &thinapi.Options{WebSocket: allowed}))
		got := raw(t, url, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "hello\n")
		if passed := strings.HasPrefix(got, "HTTP/1.1 101") && strings.HasSuffix(got, "echo hello\n"); passed != allowed {
			t.Errorf("allowed: %v, but the answer is %q", allowed, got)
		}
		if got := raw(t, url, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 426") {
			t.Errorf("another upgrade must not reach the backend: %q", got)
		}
	}
}
