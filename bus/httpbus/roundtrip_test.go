package httpbus_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus/httpbus"
)

func TestRequestAndResponseArriveWhole(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			type seen struct {
				Method, URI, Path, Query, Host string
				Header                         http.Header
				Body                           string
				Length                         int64
			}
			var got seen
			c := pair(t, connect, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Errorf("handler reads the body: %v", err)
				}
				got = seen{r.Method, r.RequestURI, r.URL.Path, r.URL.RawQuery, r.Host, r.Header, string(body), r.ContentLength}
				w.Header().Add("X-Two", "a")
				w.Header().Add("X-Two", "b\xff")
				w.Header().Set("Content-Type", "text/x")
				w.Header().Set("Date", "today")
				w.WriteHeader(http.StatusTeapot)
				_, _ = io.WriteString(w, "short and stout")
			})
			req := request(t, "PATCH", "http://svc:99/a%2Fb/c?x=1&y=%20", func(r *http.Request) {
				r.Header = http.Header{"Accept": {"*/*"}, "X-Bytes": {"\xe9"}, "Cookie": {"a=1", "b=2"}}
				r.Body = io.NopCloser(strings.NewReader("body"))
				r.ContentLength = 4
			})
			resp := do(t, c, req)
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			want := seen{"PATCH", "/a%2Fb/c?x=1&y=%20", "/a/b/c", "x=1&y=%20", "svc:99", req.Header, "body", 4}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the request must arrive as it was sent (-sent +arrived):\n%s", diff)
			}
			if resp.StatusCode != http.StatusTeapot || string(body) != "short and stout" || resp.ContentLength != 15 {
				t.Errorf("response: %d, %q, length %d", resp.StatusCode, body, resp.ContentLength)
			}
			wantHeader := http.Header{"X-Two": {"a", "b\xff"}, "Content-Type": {"text/x"}, "Date": {"today"}, "Content-Length": {"15"}}
			if diff := cmp.Diff(wantHeader, resp.Header); diff != "" {
				t.Errorf("response header (-sent +arrived):\n%s", diff)
			}
		})
	}
}

// noise is a body that no chunk can repeat unnoticed.
func noise(size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{7})
	_, _ = r.Read(b)
	return b
}

// unsized hides a reader's length, so that the body is streamed.
type unsized struct{ io.Reader }

func TestBodiesOfAnySizeBothWays(t *testing.T) {
	sizes := []int{0, 1, 1 << 10, 4<<10 - 1, 256 << 10, 256<<10 + 1, 3 << 20, largeBody}
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			c := pair(t, connect, func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(w, r.Body); err != nil {
					panic(http.ErrAbortHandler)
				}
			})
			for _, size := range sizes {
				if size > 16<<20 && testing.Short() {
					continue
				}
				for _, known := range []bool{true, false} {
					t.Run(fmt.Sprintf("%d known=%t", size, known), func(t *testing.T) {
						sent := noise(size)
						req := request(t, "POST", "http://svc/echo", func(r *http.Request) {
							r.Body, r.ContentLength = io.NopCloser(unsized{bytes.NewReader(sent)}), -1
							if known {
								r.ContentLength = int64(size)
							}
						})
						resp := do(t, c, req)
						hash := sha256.New()
						n, err := io.Copy(hash, resp.Body)
						if err != nil || n != int64(size) || !bytes.Equal(hash.Sum(nil), sum(sent)) {
							t.Fatalf("got %d of %d bytes back, %v; the same bytes: %t", n, size, err, bytes.Equal(hash.Sum(nil), sum(sent)))
						}
					})
				}
			}
		})
	}
}

func sum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}

func TestHeadersOfOneHopStayBehind(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			hop := http.Header{
				"Connection": {"X-Private, close", "X-Other"}, "X-Private": {"1"}, "X-Other": {"2"}, "Keep-Alive": {"timeout=5"},
				"Proxy-Connection": {"keep-alive"}, "Te": {"trailers"}, "Upgrade": {"websocket"}, "Transfer-Encoding": {"chunked"},
				"Proxy-Authorization": {"Basic x"}, "X-Kept": {"3"},
			}
			var got http.Header
			c := pair(t, connect, func(w http.ResponseWriter, r *http.Request) {
				got = r.Header
				maps.Copy(w.Header(), hop)
				w.Header().Set("Date", "x")
				w.WriteHeader(http.StatusNoContent)
			})
			resp := do(t, c, request(t, "GET", "http://svc/", func(r *http.Request) { r.Header = hop.Clone() }))
			want := http.Header{"X-Kept": {"3"}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("RFC 9110 section 7.6.1: fields of one hop must not reach the handler (-want +got):\n%s", diff)
			}
			resp.Header.Del("Date")
			if diff := cmp.Diff(want, resp.Header); diff != "" {
				t.Errorf("RFC 9110 section 7.6.1: fields of one hop must not reach the client (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTrailersBothWays(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			for _, size := range []int{10, 600 << 10} {
				t.Run(fmt.Sprint(size), func(t *testing.T) {
					got := make(chan http.Header, 1)
					c := client(connect(), nil)
					s := serve(t, connect(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						w.Header().Set("Trailer", "X-Sum, Content-Length")
						_, _ = io.Copy(w, r.Body)
						got <- r.Trailer.Clone()
						w.Header().Set("X-Sum", "abc")
						w.Header().Set(http.TrailerPrefix+"X-Late", "def")
					}), nil)
					req := request(t, "POST", "http://svc/", func(r *http.Request) {
						r.Trailer = http.Header{"X-Up": nil}
						r.ContentLength = -1
						r.Body = io.NopCloser(&atEOF{Reader: bytes.NewReader(noise(size)), do: func() { r.Trailer.Set("X-Up", "ghi") }})
					})
					resp := do(t, c, req)
					if _, announced := resp.Trailer["X-Sum"]; !announced {
						t.Errorf("the trailer X-Sum must be announced before the body, there is %v", resp.Trailer)
					}
					if _, err := io.Copy(io.Discard, resp.Body); err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(http.Header{"X-Sum": {"abc"}, "X-Late": {"def"}}, resp.Trailer); diff != "" {
						t.Errorf("response trailer after the body (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff(http.Header{"X-Up": {"ghi"}}, <-got); diff != "" {
						t.Errorf("request trailer after the body (-want +got):\n%s", diff)
					}
					if err := s.Shutdown(soon(t)); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

// atEOF calls do when its reader ends.
type atEOF struct {
	io.Reader
	do func()
}

func (r *atEOF) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		r.do()
	}
	return n, err
}

func TestServeContentWithRanges(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			content := noise(1 << 20)
			when := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
			c := pair(t, connect, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"v1"`)
				http.ServeContent(w, r, "x.bin", when, bytes.NewReader(content))
			})
			get := func(method string, header ...string) (reply, []byte) {
				resp := do(t, c, request(t, method, "http://svc/x.bin", func(r *http.Request) {
					for i := 0; i < len(header); i += 2 {
						r.Header.Set(header[i], header[i+1])
					}
				}))
				body, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				return resp, body
			}
			resp, body := get("GET", "Range", "bytes=1000-700999")
			if resp.StatusCode != 206 || !bytes.Equal(body, content[1000:701000]) || resp.Header.Get("Content-Range") != "bytes 1000-700999/1048576" {
				t.Errorf("range: %d, %d bytes, %q", resp.StatusCode, len(body), resp.Header.Get("Content-Range"))
			}
			resp, body = get("GET", "Range", "bytes=0-0,5-6")
			if resp.StatusCode != 206 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "multipart/byteranges") || len(body) == 0 {
				t.Errorf("two ranges: %d, %q", resp.StatusCode, resp.Header.Get("Content-Type"))
			}
			resp, body = get("GET", "Range", "bytes=9999999-")
			if resp.StatusCode != 416 || resp.Header.Get("Content-Range") != "bytes */1048576" {
				t.Errorf("range beyond the end: %d, %q, %q", resp.StatusCode, resp.Header.Get("Content-Range"), body)
			}
			resp, body = get("HEAD")
			if resp.StatusCode != 200 || len(body) != 0 || resp.ContentLength != 1<<20 {
				t.Errorf("HEAD: %d, %d bytes, length %d; it must tell the length and send no body", resp.StatusCode, len(body), resp.ContentLength)
			}
			resp, body = get("GET", "If-None-Match", `"v1"`)
			if resp.StatusCode != 304 || len(body) != 0 {
				t.Errorf("If-None-Match: %d, %d bytes", resp.StatusCode, len(body))
			}
			resp, body = get("GET")
			if resp.StatusCode != 200 || !bytes.Equal(body, content) {
				t.Errorf("whole: %d, %d bytes", resp.StatusCode, len(body))
			}
		})
	}
}

func TestReverseProxyIntoTheBusAndOut(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			// TCP client → proxy → bus → proxy → TCP server
			origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Trailer", "X-Sum")
				w.Header().Set("X-Edge", r.Header.Get("X-Edge"))
				body, _ := io.ReadAll(r.Body) // HTTP/1 over TCP doesn't do both at once
				n, _ := w.Write(body)
				http.NewResponseController(w).Flush() //nolint:errcheck // a trailer follows
				w.Header().Set("X-Sum", fmt.Sprint(n))
			}))
			defer origin.Close()
			to, err := url.Parse(origin.URL)
			if err != nil {
				t.Fatal(err)
			}
			backend := &http.Transport{}
			defer backend.CloseIdleConnections()
			serve(t, connect(), &httputil.ReverseProxy{Transport: backend, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}, nil)
			edge := httptest.NewServer(&httputil.ReverseProxy{
				Transport: httpbus.NewTransport(connect(), nil),
				Rewrite: func(r *httputil.ProxyRequest) {
					r.SetURL(&url.URL{Scheme: "http", Host: "svc"})
					r.Out.Header.Set("X-Edge", "1")
				},
			})
			defer edge.Close()
			for _, size := range []int{0, 1 << 10, 5 << 20} {
				sent := noise(size)
				resp := do(t, edge.Client(), request(t, "POST", edge.URL+"/up", func(r *http.Request) {
					r.Body, r.ContentLength = io.NopCloser(unsized{bytes.NewReader(sent)}), -1
				}))
				got, err := io.ReadAll(resp.Body)
				if err != nil || !bytes.Equal(got, sent) {
					t.Fatalf("%d bytes through two proxies and the bus came back as %d, %v", size, len(got), err)
				}
				if !cmp.Equal(resp.Trailer, http.Header{"X-Sum": {fmt.Sprint(size)}}) || resp.Header.Get("X-Edge") != "1" {
					t.Errorf("trailer %v, header %v", resp.Trailer, resp.Header)
				}
			}
		})
	}
}

func TestServerSentEventsArriveOneByOne(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			next := make(chan struct{})
			c := pair(t, connect, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				rc := http.NewResponseController(w)
				for i := 0; ; i++ {
					if err := rc.Flush(); err != nil {
						return
					}
					select {
					case <-next:
					case <-r.Context().Done():
						return
					}
					_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
				}
			})
			resp := do(t, c, request(t, "GET", "http://svc/events", nil))
			buf := make([]byte, 100)
			for i := range 20 {
				next <- struct{}{} // the handler has nothing to say before
				n, err := resp.Body.Read(buf)
				if want := fmt.Sprintf("data: %d\n\n", i); err != nil || string(buf[:n]) != want {
					t.Fatalf("event %d must arrive when it is flushed: %q, %v", i, buf[:n], err)
				}
			}
		})
	}
}

func TestThousandRequestsAtOnceOverThreeServers(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			var served [3]atomic.Int64
			for i := range served {
				serve(t, connect(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					served[i].Add(1)
					_, _ = io.WriteString(w, r.URL.Path)
				}), nil)
			}
			c := client(connect(), nil)
			var wg sync.WaitGroup
			errs := make(chan error, 1000)
			for i := range 1000 {
				wg.Go(func() { errs <- get(t.Context(), c, fmt.Sprintf("/%d", i)) })
			}
			wg.Wait()
			close(errs)
			for err := range errs {
				if err != nil {
					t.Fatal(err)
				}
			}
			total := int64(0)
			for i := range served {
				n := served[i].Load()
				if total += n; n == 0 {
					t.Errorf("server %d of 3 got none of 1000 requests: the group must share them out", i)
				}
			}
			if total != 1000 {
				t.Errorf("1000 requests were served %d times: each goes to one instance", total)
			}
		})
	}
}

// get asks for a path whose response is the path.
func get(ctx context.Context, c *http.Client, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://svc"+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && string(body) != path {
		err = fmt.Errorf("asked for %s, got %q", path, body)
	}
	return err
}
