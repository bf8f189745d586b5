package service_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/service"
	"github.com/goswale/swale/service/idempotencytest"
)

func TestRequests(t *testing.T) {
	var mu sync.Mutex
	var seen []service.Exchange
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, service.RequestID(r.Context())) })
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("boom") })
	mux.HandleFunc("GET /half", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic("boom")
	})
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	s := start(t, service.Options{Handler: mux, MaxBody: 10, Observe: func(_ context.Context, x service.Exchange) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, x)
	}, Wrap: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if who := r.Header.Get("Who"); who != "" {
				r = r.WithContext(auth.WithClaims(r.Context(), &auth.Claims{Application: "shop", Subject: who}))
			}
			next.ServeHTTP(w, r)
		})
	}}})
	last := func() service.Exchange {
		var x service.Exchange
		eventually(t, "the request is told of", func() bool {
			mu.Lock()
			defer mu.Unlock()
			if len(seen) == 0 {
				return false
			}
			x, seen = seen[0], seen[1:]
			return true
		})
		return x
	}
	if _, id := do(t, http.MethodGet, s.url+"/orders/7", "", map[string]string{"X-Request-Id": "abc-1", "Who": "kate"}); id != "abc-1" {
		t.Errorf("the request's id is kept: %q", id)
	}
	if x := last(); x.Pattern != "GET /orders/{id}" || x.Status != 200 || x.Bytes != 5 || x.ID != "abc-1" || x.Caller != "account shop/kate" || x.Took <= 0 {
		t.Errorf("%+v", x)
	}
	if _, id := do(t, http.MethodGet, s.url+"/orders/7", "", map[string]string{"X-Request-Id": `"; drop`}); len(id) < 20 || strings.Contains(id, "drop") {
		t.Errorf("an id that can't be logged is replaced: %q", id)
	}
	if x := last(); x.Caller != "address 127.0.0.1" {
		t.Errorf("%+v", x)
	}
	code, body := get(t, s.url+"/panic")
	if x := last(); code != 500 || !strings.Contains(body, x.ID) || x.Panic != "boom" || x.Status != 500 || strings.Contains(body, "boom") {
		t.Errorf("a panic: %d %s %+v", code, body, x)
	}
	if !strings.Contains(s.log.String(), "request_test.go") {
		t.Error("a panic is logged with its stack")
	}
	if got, err := try(t, http.DefaultClient, http.MethodGet, s.url+"/half", "", nil); err == nil {
		t.Errorf("an answer that broke off must not look whole: %q", got.text)
	}
	if x := last(); x.Panic == nil {
		t.Errorf("%+v", x)
	}
	if code, body := do(t, http.MethodPost, s.url+"/orders", strings.Repeat("x", 11), nil); code != 413 || !strings.Contains(body, "11 bytes; 10") {
		t.Errorf("%d %s", code, body)
	}
	last()
	resp, err := http.Post(s.url+"/orders", "", io.MultiReader(strings.NewReader(strings.Repeat("x", 11))))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusTeapot {
		t.Errorf("a long body of unknown length is an error when read: %d", resp.StatusCode)
	}
	last()
	do(t, "BREW", s.url+"/orders", "", nil)
	if x := last(); x.Method != "OTHER" || x.Status != 405 {
		t.Errorf("an unknown method makes no metrics: %+v", x)
	}
}

func TestStreamsHearOfTheDrain(t *testing.T) {
	mux := http.NewServeMux()
	type tenant struct{}
	mux.Handle("GET /events", with(tenant{}, "kate", service.Stream(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, limited := r.Context().Deadline(); limited {
			t.Error("a stream has no deadline")
		}
		fmt.Fprintln(w, service.RequestID(r.Context()), r.Context().Value(tenant{}))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		select {
		case <-service.Draining(r.Context()):
			fmt.Fprintln(w, "bye")
		default:
		}
	}))))
	s := start(t, service.Options{Handler: mux, RequestTimeout: time.Minute})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Request-Id", "id1")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() || lines.Text() != "id1 kate" {
		t.Errorf("a stream keeps the values of its context: %q", lines.Text())
	}
	s.stop()
	if !lines.Scan() || lines.Text() != "bye" {
		t.Errorf("a stream hears of the drain: %q, %v", lines.Text(), lines.Err())
	}
	if err := s.wait(); err != nil {
		t.Error(err)
	}
}

// with puts a value into the context.
func with(key, value any, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key, value)))
	})
}

func TestDeadline(t *testing.T) {
	var left time.Duration
	h := service.Deadline(time.Minute)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		end, _ := r.Context().Deadline()
		left = time.Until(end)
	}))
	synctest.Test(t, func(t *testing.T) {
		for header, want := range map[string]time.Duration{"": time.Minute, "1500": 1500 * time.Millisecond, "70000": time.Minute, "-3": time.Minute, "9999999999999999999": time.Minute, "soon": time.Minute} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			r.Header.Set(service.DeadlineHeader, header)
			h.ServeHTTP(httptest.NewRecorder(), r)
			if left != want {
				t.Errorf("%q: %s, want %s", header, left, want)
			}
		}
		// From service to service what is left becomes less.
		pass := service.PassDeadline(roundTripper(func(r *http.Request) { h.ServeHTTP(httptest.NewRecorder(), r) }))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		time.Sleep(3 * time.Second)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://orders/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := pass.RoundTrip(r)
		if err != nil || left != 7*time.Second || len(r.Header) != 0 {
			t.Errorf("%s is left at the callee, want 7s; the caller's request has %v; %v", left, r.Header, err)
		}
		_ = resp.Body.Close()
	})
}

type roundTripper func(*http.Request)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	f(r.WithContext(context.WithoutCancel(r.Context())))
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

func TestSlowBodiesEnd(t *testing.T) {
	ended := make(chan error, 1)
	s := start(t, service.Options{RequestTimeout: time.Millisecond, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		ended <- err
	})})
	in, out := io.Pipe()
	defer func() { _ = out.Close() }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url, in)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	_, _ = out.Write([]byte("a"))
	if err := <-ended; err == nil {
		t.Error("a body that never comes must not hold a handler")
	}
}

func TestCallersDontTakeFromEachOther(t *testing.T) {
	release, busy := make(chan struct{}), make(chan struct{}, 10)
	h := service.LimitCallers(service.CallerLimit{Max: 2, Key: func(r *http.Request) string { return r.Header.Get("Who") }})(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			busy <- struct{}{}
			<-release
		}))
	ask := func(who string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set("Who", who)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { ask("greedy") })
		<-busy
	}
	if w := ask("greedy"); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("a third one: %d", w.Code)
	}
	for _, who := range []string{"modest", "", "", ""} {
		wg.Go(func() {
			if w := ask(who); w.Code != 200 {
				t.Errorf("%q: %d", who, w.Code)
			}
		})
		<-busy
	}
	close(release)
	wg.Wait()
	if w := ask("greedy"); w.Code != 200 {
		t.Errorf("when they are done: %d", w.Code)
	}
}

func TestIdempotent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64
		store := service.NewMemoryIdempotency(3)
		h := service.Idempotent(store, &service.IdempotencyOptions{Keep: time.Hour, Lease: time.Minute, MaxBytes: 100, MaxRequest: 1000})(
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				switch string(b) {
				case "slow":
					time.Sleep(10 * time.Second)
				case "broken":
					w.WriteHeader(http.StatusBadGateway)
				case "panic":
					runs.Add(1)
					panic("boom")
				case "large":
					_, _ = w.Write(make([]byte, 101))
				}
				w.Header().Set("Location", fmt.Sprintf("/orders/%d", runs.Add(1)))
				w.Header().Set("Set-Cookie", "a=b")
				w.WriteHeader(http.StatusCreated)
				fmt.Fprintf(w, "order of %s", b)
			}))
		send := func(method, key, body string) (w *httptest.ResponseRecorder) {
			r := httptest.NewRequestWithContext(t.Context(), method, "/orders", strings.NewReader(body))
			if key != "" {
				r.Header.Set("Idempotency-Key", key)
			}
			w = httptest.NewRecorder()
			defer func() { _ = recover() }()
			h.ServeHTTP(w, r)
			return w
		}
		first, again := send("POST", "k1", "tea"), send("POST", "k1", "tea")
		if first.Code != 201 || again.Code != 201 || again.Body.String() != "order of tea" || again.Header().Get("Location") != "/orders/1" || runs.Load() != 1 {
			t.Errorf("the second one is answered as the first: %d %s %v, ran %d times", again.Code, again.Body, again.Header(), runs.Load())
		}
		if again.Header().Get("Idempotent-Replayed") != "true" || first.Header().Get("Idempotent-Replayed") != "" || again.Header().Get("Set-Cookie") != "" {
			t.Errorf("a repetition says so: %v", again.Header())
		}
		if w := send("POST", "k1", "coffee"); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "make up a new one") {
			t.Errorf("another request: %d %s", w.Code, w.Body)
		}
		if w := send("PATCH", "k1", "tea"); w.Header().Get("Location") != "/orders/2" {
			t.Errorf("another method has keys of its own: %v", w.Header())
		}
		send("GET", "k1", "")
		send("POST", "", "tea")
		if runs.Load() != 4 {
			t.Errorf("without a key, or where none is needed, everything runs: %d", runs.Load())
		}
		time.Sleep(time.Hour)
		if w := send("POST", "k1", "coffee"); w.Code != 201 {
			t.Errorf("what was kept long enough is forgotten: %d", w.Code)
		}

		slow := make(chan *httptest.ResponseRecorder)
		go func() { slow <- send("POST", "k2", "slow") }()
		synctest.Wait()
		if w := send("POST", "k2", "slow"); w.Code != http.StatusConflict || w.Header().Get("Retry-After") == "" {
			t.Errorf("while the first is under way: %d", w.Code)
		}
		<-slow

		before := runs.Load()
		send("POST", "k3", "broken")
		send("POST", "k3", "broken")
		if runs.Load() != before+2 {
			t.Error("what failed may be tried again")
		}
		before = runs.Load()
		send("POST", "k3", "panic")
		send("POST", "k3", "panic")
		if runs.Load() != before+2 {
			t.Error("what panicked may be tried again")
		}
		send("POST", "k3", "large")
		before = runs.Load()
		if w := send("POST", "k3", "large"); w.Code != http.StatusConflict || runs.Load() != before || !strings.Contains(w.Body.String(), "too large") {
			t.Errorf("an answer that couldn't be kept: %d %s", w.Code, w.Body)
		}
		if w := send("POST", "k4", "tea"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "Nothing was done") {
			t.Errorf("a full store: %d %s", w.Code, w.Body)
		}
		if w := send("POST", "k3", strings.Repeat("x", 1001)); w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("a long body: %d", w.Code)
		}
		if w := send("POST", strings.Repeat("k", 256), "tea"); w.Code != http.StatusBadRequest {
			t.Errorf("a long key: %d", w.Code)
		}
		time.Sleep(time.Hour + time.Minute)
		if w := send("POST", "k4", "tea"); w.Code != 201 {
			t.Errorf("room comes back: %d %s", w.Code, w.Body)
		}
	})
}

func TestMemoryIdempotency(t *testing.T) {
	idempotencytest.Run(t, func(*testing.T) *idempotencytest.Subject {
		now := time.Now()
		store := service.NewMemoryIdempotency(0)
		store.SetNow(func() time.Time { return now })
		return &idempotencytest.Subject{Store: store, Advance: func(d time.Duration) { now = now.Add(d) }}
	})
}

// dying is a store whose process dies between the work and the answer.
type dying struct{ service.IdempotencyStore }

func (dying) Finish(context.Context, service.Claim, service.Answer, time.Duration) error {
	return errors.New("gone")
}

func TestAClaimEndsWithItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		var left time.Duration
		h := service.Idempotent(dying{service.NewMemoryIdempotency(0)}, &service.IdempotencyOptions{Lease: time.Minute, Required: true})(
			http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				runs++
				end, _ := r.Context().Deadline()
				left = time.Until(end)
			}))
		send := func(key string) int {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
			if key != "" {
				r.Header.Set("Idempotency-Key", key)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		if code := send(""); code != http.StatusBadRequest {
			t.Errorf("a key is required: %d", code)
		}
		send("k")
		if code := send("k"); code != http.StatusConflict || runs != 1 || left != time.Minute {
			t.Errorf("%d, ran %d times with %s", code, runs, left)
		}
		time.Sleep(time.Minute)
		if send("k"); runs != 2 {
			t.Errorf("after the lease: ran %d times", runs)
		}
	})
}
