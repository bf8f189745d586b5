package resn_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

const href = "http://owner.example/restaurants/203"

// owner owns one resource, in memory.
type owner struct {
	mu       sync.Mutex
	version  int
	requests int
	asked    []string        // If-None-Match of each request
	hold     chan struct{}   // if not nil, answers wait for it once made
	took     chan<- struct{} // hears of each answer made while held
}

func (o *owner) RoundTrip(req *http.Request) (*http.Response, error) {
	o.mu.Lock()
	o.requests++
	o.asked = append(o.asked, req.Header.Get("If-None-Match"))
	if req.Method == http.MethodPut {
		o.version++
	}
	version, hold, took := o.version, o.hold, o.took
	o.mu.Unlock()
	if hold != nil && req.Method == http.MethodGet {
		took <- struct{}{}
		select {
		case <-hold:
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	body := "version " + strconv.Itoa(version)
	h := http.Header{}
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Cache-Control", `max-age=5, `+resn.Directive("restaurants"))
	h.Set("Etag", etag(version))
	resp := &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Proto: "HTTP/1.1",
		Header: h, Request: req, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}
	if req.Header.Get("If-None-Match") == etag(version) {
		resp.StatusCode, resp.ContentLength, resp.Body = http.StatusNotModified, 0, http.NoBody
	}
	return resp, nil
}

func etag(version int) string { return fmt.Sprintf(`"v%d"`, version) }

// change makes a new version, for Publisher.Change.
func (o *owner) change(context.Context) (string, string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.version++
	return resn.Update, etag(o.version), nil
}

func (o *owner) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.requests
}

// system is an owner that announces over a bus, and a reader.
type system struct {
	owner  *owner
	bus    *bus.Bus
	pub    *resn.Publisher
	client *resn.Client
}

// start returns a system whose topic is live. The test runs in a synctest
// bubble.
func start(t *testing.T) *system {
	t.Helper()
	return startBehind(t, func(o *owner) http.RoundTripper { return o })
}

// startBehind is start with something between the reader and the owner.
func startBehind(t *testing.T, wrap func(*owner) http.RoundTripper) *system {
	t.Helper()
	s := &system{owner: &owner{version: 1}, bus: membus.New(nil)}
	var err error
	if s.client, err = resn.NewClient(s.bus, &resn.ClientOptions{Transport: wrap(s.owner)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	if err = s.client.Listen(t.Context(), "restaurants"); err != nil {
		t.Fatal(err)
	}
	if s.pub, err = resn.NewPublisher(s.bus, "restaurants", &resn.PublisherOptions{Unowned: true}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if state := s.client.Topics()[0]; !state.Live {
		t.Fatalf("the topic isn't live after its first watermark: %+v", state)
	}
	return s
}

func (s *system) stop() {
	ctx := context.Background() // the test's has ended
	if s.pub != nil {
		_ = s.pub.Close(ctx)
	}
	_ = s.client.Close(ctx)
	_ = s.bus.Shutdown(ctx)
}

// read reads the resource and returns its body and the Cache-Status.
func (s *system) read(ctx context.Context, t *testing.T) (body, status string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // of the bubble's time
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, href, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.client.HTTP().Do(req)
	if err != nil {
		t.Error(err)
		return "", ""
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b), resp.Header.Get("Cache-Status")
}

func (s *system) want(t *testing.T, body string, requests int, rule string) {
	t.Helper()
	got, status := s.read(t.Context(), t)
	if got != body {
		t.Errorf("%s: read %q, want %q (Cache-Status %q)", rule, got, body, status)
	}
	if n := s.owner.count(); n != requests {
		t.Errorf("%s: the owner was asked %d times, want %d (Cache-Status %q)", rule, n, requests, status)
	}
}

func TestG1NoStaleHitAfterANotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		s.want(t, "version 1", 1, "the first read asks")
		time.Sleep(time.Minute)
		s.want(t, "version 1", 1, "while the topic is live an entry is reused beyond its max-age")
		if err := s.pub.Change(t.Context(), href, s.owner.change); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.want(t, "version 2", 2, "after the notice no read returns the old version")
		s.want(t, "version 2", 2, "the new version is vouched for")
	})
}

func TestG2AFillNeverOutlivesANotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		hold, took := make(chan struct{}), make(chan struct{})
		s.owner.hold, s.owner.took = hold, took
		var first sync.WaitGroup
		first.Go(func() {
			if body, _ := s.read(t.Context(), t); body != "version 1" {
				t.Errorf("the reader from before the change got %q", body)
			}
		})
		<-took // version 1 is on its way
		s.owner.mu.Lock()
		s.owner.hold = nil
		s.owner.mu.Unlock()
		if err := s.pub.Change(t.Context(), href, s.owner.change); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.want(t, "version 2", 2, "a reader that starts after the notice doesn't join the older fill")
		close(hold)
		first.Wait()
		s.want(t, "version 2", 2, "the older fill, arriving late, doesn't replace the newer")
	})
}

func TestG3SilenceEndsTheVouching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		s.want(t, "version 1", 1, "the first read asks")
		time.Sleep(10 * time.Second)
		if err := s.pub.Close(t.Context()); err != nil { // no more watermarks, no word of goodbye
			t.Fatal(err)
		}
		time.Sleep(resn.DefaultLease)
		s.want(t, "version 1", 2, "without a watermark for the lease an entry past its max-age is revalidated")
		if inm := s.owner.asked[1]; inm != `"v1"` {
			t.Errorf("it was fetched again instead of revalidated: If-None-Match %q", inm)
		}
		if state := s.client.Topics()[0]; state.Live || state.Reason != "no watermark within the lease" {
			t.Errorf("the topic doesn't say that and why it isn't live: %+v", state)
		}
	})
}

func TestG3AHoleEndsTheVouchingAtOnceWithoutAFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		s.want(t, "version 1", 1, "the first read asks")
		time.Sleep(10*time.Second + 100*time.Millisecond) // between two watermarks
		state := s.client.Topics()[0]
		// The notice of version 2, number seq+1, was lost. Another follows.
		s.owner.version = 2
		other := resn.Event{
			Topic: "restaurants", Type: resn.Update, Href: "http://owner.example/restaurants/7",
			Epoch: state.Epoch, Seq: state.Sequence + 2, Time: time.Now(),
		}
		if err := s.bus.Publish(t.Context(), "restaurants", other.CloudEvent("/test")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.want(t, "version 2", 2, "a missing number ends the vouching of everything, also of what no notice named")
		if inm := s.owner.asked[1]; inm != `"v1"` {
			t.Errorf("after a loss entries are revalidated, not flushed: If-None-Match %q", inm)
		}
	})
}

func TestG3VouchingComesBackByRevalidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		s.want(t, "version 1", 1, "the first read asks")
		if err := s.pub.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		again, err := resn.NewPublisher(s.bus, "restaurants", &resn.PublisherOptions{Unowned: true}) // another epoch
		if err != nil {
			t.Fatal(err)
		}
		s.pub = again
		synctest.Wait()
		s.want(t, "version 1", 2, "in a new epoch an entry is revalidated before it is vouched for")
		time.Sleep(time.Minute)
		s.want(t, "version 1", 2, "a 304 restores the vouching")
	})
}

func TestG5OneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		hold, took := make(chan struct{}), make(chan struct{}, 100)
		s.owner.hold, s.owner.took = hold, took
		ctx, cancel := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		readers.Go(func() {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, href, nil)
			resp, err := s.client.HTTP().Do(req)
			if err == nil {
				_ = resp.Body.Close()
				t.Error("a cancelled reader got an answer")
			}
		})
		<-took
		for range 99 {
			readers.Go(func() {
				if body, status := s.read(t.Context(), t); body != "version 1" {
					t.Errorf("a reader got %q (Cache-Status %q)", body, status)
				}
			})
		}
		synctest.Wait()
		cancel() // the first one, whose request it was
		synctest.Wait()
		close(hold)
		readers.Wait()
		if n := s.owner.count(); n != 1 {
			t.Errorf("100 concurrent readers, one of whom gave up, caused %d requests; want 1", n)
		}
	})
}

func TestG6OwnWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		s.want(t, "version 1", 1, "the first read asks")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, href, strings.NewReader("new"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.client.HTTP().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		s.want(t, "version 2", 3, "after an own write the next read asks, without waiting for a notice")
	})
}

// Who writes something that it never read sees lists without it no more, although
// no notice came.
func TestG6ListsAfterAnOwnWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var items atomic.Int64
		mux := http.NewServeMux()
		mux.HandleFunc("GET /restaurants", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Groups", `"restaurants"`)
			_, _ = fmt.Fprintf(w, "%d restaurants", items.Load())
		})
		mux.HandleFunc("PUT /restaurants/{id}", func(w http.ResponseWriter, _ *http.Request) {
			items.Add(1)
			w.WriteHeader(http.StatusCreated)
		})
		stamped := resn.Stamp("restaurants")(mux)
		s := startBehind(t, func(*owner) http.RoundTripper {
			return roundTrip(func(req *http.Request) (*http.Response, error) {
				w := httptest.NewRecorder()
				stamped.ServeHTTP(w, req)
				resp := w.Result()
				resp.Request = req
				return resp, nil
			})
		})
		send := func(method, path string) string {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), method, "http://owner.example"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.client.HTTP().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(body) + mark(strings.Contains(resp.Header.Get("Cache-Status"), "hit"))
		}
		for i, want := range []string{"0 restaurants", "0 restaurants, a hit"} {
			if got := send("GET", "/restaurants"); got != want {
				t.Fatalf("read %d: got %q, want %q", i+1, got, want)
			}
		}
		send("PUT", "/restaurants/204")
		if got := send("GET", "/restaurants"); got != "1 restaurants" {
			t.Errorf("G6: the list after an own write: got %q", got)
		}
	})
}

func mark(hit bool) string {
	if hit {
		return ", a hit"
	}
	return ""
}

func TestTopicsAreSubscribedToByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{owner: &owner{version: 1}, bus: membus.New(nil)}
		var err error
		s.client, err = resn.NewClient(s.bus, &resn.ClientOptions{Transport: s.owner})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.stop)
		s.pub, err = resn.NewPublisher(s.bus, "restaurants", &resn.PublisherOptions{Unowned: true})
		if err != nil {
			t.Fatal(err)
		}
		s.want(t, "version 1", 1, "the first read asks")
		time.Sleep(time.Second)
		states := s.client.Topics()
		if len(states) != 1 || !states[0].Live {
			t.Fatalf("a topic that a response names isn't live a second later: %+v", states)
		}
		time.Sleep(10 * time.Second)
		s.want(t, "version 1", 2, "what was fetched before the topic was live is asked about once more")
		time.Sleep(time.Minute)
		s.want(t, "version 1", 2, "and is vouched for from then on")
	})
}

// roundTrip is a RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip calls it.
func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
