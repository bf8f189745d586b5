package httpbus_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/httpbus"
	"github.com/goswale/swale/bus/membus"
)

func TestNobodyServes(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			err := failure(client(connect(), nil), request(t, "GET", "http://svc/", nil))
			if !errors.Is(err, bus.ErrNoResponders) {
				t.Errorf("without a server the error must be ErrNoResponders, at once: %v", err)
			}
		})
	}
}

func TestServerSeesCancel(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			for name, flush := range map[string]bool{"before the head": false, "in the body": true} {
				t.Run(name, func(t *testing.T) {
					entered, ended := make(chan struct{}), make(chan error, 1)
					// What notices a silent client takes twice as long as this test waits.
					c := client(connect(), &httpbus.TransportOptions{Silence: time.Minute})
					s := serve(t, connect(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if flush {
							w.(http.Flusher).Flush()
						}
						close(entered)
						<-r.Context().Done()
						ended <- r.Context().Err()
					}), nil)
					ctx, cancel := context.WithCancel(t.Context())
					go func() {
						<-entered
						cancel()
					}()
					resp, err := c.Do(request(t, "GET", "http://svc/", nil).WithContext(ctx))
					if err == nil {
						_, err = io.ReadAll(resp.Body)
						_ = resp.Body.Close()
					}
					if !errors.Is(err, context.Canceled) {
						t.Errorf("the client must see its own cancel: %v", err)
					}
					select {
					case err := <-ended:
						if !errors.Is(err, context.Canceled) {
							t.Errorf("the handler must see the cancel: %v", err)
						}
					case <-time.After(time.Minute):
						t.Fatal("the handler must see the cancel at once, not when the client's lease ends")
					}
					if err := s.Shutdown(soon(t)); err != nil {
						t.Errorf("a cancelled request must not hold Shutdown up: %v", err)
					}
				})
			}
		})
	}
}

func TestClosingTheBodyCancels(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			ended := make(chan struct{})
			c := pair(t, connect, func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				for {
					if _, err := w.Write(make([]byte, 10<<10)); err != nil {
						return
					}
				}
			})
			resp := do(t, c, request(t, "GET", "http://svc/", nil))
			if _, err := io.ReadFull(resp.Body, make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Fatal(err)
			}
			<-ended
			if _, err := resp.Body.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("reading a closed body gives %v", err)
			}
		})
	}
}

func TestDeadlineTravels(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			left := make(chan time.Duration, 10)
			c := pair(t, connect, func(_ http.ResponseWriter, r *http.Request) {
				d, ok := r.Context().Deadline()
				if !ok {
					t.Error("the handler has no deadline")
				}
				left <- time.Until(d)
				<-r.Context().Done()
			})
			// On a busy machine a short time may end before the handler is called.
			for patience := 300 * time.Millisecond; ; patience *= 3 {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				err := failure(c, request(t, "GET", "http://svc/", nil).WithContext(ctx))
				cancel()
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("want the deadline's error, got %v", err)
				}
				select {
				case d := <-left:
					if d > patience+10*time.Millisecond {
						t.Errorf("the handler's deadline is %v away, the client's was %v", d, patience)
					}
					return
				default:
				}
				if patience > time.Minute {
					t.Fatal("the handler was never called")
				}
			}
		})
	}
}

func TestBrokenResponsesAreErrors(t *testing.T) {
	handlers := map[string]http.HandlerFunc{
		"abort before the head": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"abort in the body": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 100<<10))
			panic(http.ErrAbortHandler)
		},
		"panic after a flush": func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			panic("oops")
		},
		"less than Content-Length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "short")
		},
		"much less than Content-Length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(make([]byte, 500_000))
		},
	}
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			for name, h := range handlers {
				t.Run(name, func(t *testing.T) {
					s := serve(t, connect(), h, nil)
					resp, err := client(connect(), nil).Do(request(t, "GET", "http://svc/", nil))
					n := 0
					if err == nil {
						var body []byte
						body, err = io.ReadAll(resp.Body)
						n = len(body)
						_ = resp.Body.Close()
					}
					if !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("a response that isn't whole must end in io.ErrUnexpectedEOF, got %d bytes and %v", n, err)
					}
					if err := s.Shutdown(soon(t)); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

func TestServerDyingInTheMiddleIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		faults := new(membus.Faults)
		b, dying := broker.Connect(nil), broker.Connect(&membus.Options{Faults: faults})
		s, err := httpbus.Serve(t.Context(), dying, "svc", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(make([]byte, 50<<10))
			<-r.Context().Done()
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client(b, nil).Do(request(t, "GET", "http://svc/", nil))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_ = s.Shutdown(ctx) // as abrupt as it gets: the handler is cancelled, the subscriptions are gone
		body, err := io.ReadAll(resp.Body)
		if !errors.Is(err, io.ErrUnexpectedEOF) || len(body) > 50<<10 {
			t.Errorf("a server that is gone in the middle of a body must be an error: %d bytes, %v", len(body), err)
		}
		_ = resp.Body.Close()
		_ = b.Shutdown(soon(t))
		_ = dying.Shutdown(soon(t))
	})
}

func TestSilentClientIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		b, there := broker.Connect(nil), broker.Connect(nil)
		ended := make(chan error, 1)
		s, err := httpbus.Serve(t.Context(), there, "svc", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			ended <- context.Cause(r.Context())
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client(b, nil).Do(request(t, "GET", "http://svc/", nil))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_ = b.Shutdown(soon(t)) // the client's process is gone without a word
		if err := <-ended; err == nil {
			t.Error("no cause")
		}
		if d := time.Since(began); d > 25*time.Second {
			t.Errorf("a client silent for %v must have been cancelled after twice its Silence of 10 s", d)
		}
		_ = resp.Body.Close()
		if err := s.Shutdown(soon(t)); err != nil {
			t.Error(err)
		}
		_ = there.Shutdown(soon(t))
	})
}

func TestSlowReaderAndSlowHandlerAreNotDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		b, there := broker.Connect(nil), broker.Connect(nil)
		s, err := httpbus.Serve(t.Context(), there, "svc", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(5 * time.Minute)
			_, _ = w.Write(make([]byte, 3<<20))
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client(b, nil).Do(request(t, "GET", "http://svc/", nil))
		if err != nil {
			t.Fatalf("a handler that thinks for 5 min is alive: %v", err)
		}
		n := 0
		buf := make([]byte, 256<<10)
		for {
			time.Sleep(10 * time.Minute)
			m, err := resp.Body.Read(buf)
			n += m
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("a reader that rests for 10 min is alive: %d bytes, %v", n, err)
			}
		}
		if n != 3<<20 {
			t.Errorf("%d bytes", n)
		}
		for _, err := range []error{resp.Body.Close(), s.Shutdown(soon(t)), b.Shutdown(soon(t)), there.Shutdown(soon(t))} {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

func TestBackPressureBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		b, there := broker.Connect(nil), broker.Connect(nil)
		const window = 1 << 20
		var written, read atomic.Int64
		release := make(chan struct{})
		s, err := httpbus.Serve(t.Context(), there, "svc", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				<-release
				_, _ = io.Copy(io.Discard, r.Body)
				return
			}
			for range 1000 {
				n, _ := w.Write(make([]byte, 10<<10))
				written.Add(int64(n))
			}
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
		c := client(b, nil)
		resp, err := c.Do(request(t, "GET", "http://svc/", nil))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := written.Load(); n > 2*window {
			t.Errorf("the handler wrote %d bytes that nobody read; the window is %d", n, window)
		}
		_ = resp.Body.Close()

		done := make(chan error, 1)
		go func() {
			resp, err := c.Do(request(t, "POST", "http://svc/", func(r *http.Request) {
				r.Body = io.NopCloser(&counter{n: &read, left: 10 << 20})
				r.ContentLength = 10 << 20
			}))
			if err == nil {
				err = resp.Body.Close()
			}
			done <- err
		}()
		synctest.Wait()
		if n := read.Load(); n > 4*window {
			t.Errorf("%d bytes of the request were taken that the handler didn't read; the windows are %d on either side", n, window)
		}
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := read.Load(); n != 10<<20 {
			t.Errorf("%d bytes were sent after the handler read on", n)
		}
		for _, err := range []error{s.Shutdown(soon(t)), b.Shutdown(soon(t)), there.Shutdown(soon(t))} {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

// counter is a body of zeros that counts what was taken.
type counter struct {
	n    *atomic.Int64
	left int
}

func (c *counter) Read(p []byte) (int, error) {
	n := min(len(p), c.left)
	if n == 0 {
		return 0, io.EOF
	}
	c.left -= n
	c.n.Add(int64(n))
	return n, nil
}

func TestLimits(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			serve(t, connect(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "GET" {
					_, _ = w.Write(make([]byte, 20<<10))
					w.(http.Flusher).Flush()
					_, _ = w.Write(make([]byte, 200<<10))
					return
				}
				_, err := io.Copy(io.Discard, r.Body)
				if _, over := errors.AsType[*http.MaxBytesError](err); over {
					http.Error(w, "too large", http.StatusRequestEntityTooLarge)
				}
			}), &httpbus.ServeOptions{MaxRequestBytes: 500 << 10})
			c := client(connect(), &httpbus.TransportOptions{MaxResponseBytes: 100 << 10})
			for _, known := range []bool{true, false} {
				resp := do(t, c, request(t, "POST", "http://svc/", func(r *http.Request) {
					r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("x", 600<<10))), -1
					if known {
						r.ContentLength = 600 << 10
					}
				}))
				if resp.StatusCode != http.StatusRequestEntityTooLarge {
					t.Errorf("600 KiB where 500 are allowed (length known: %t): status %d", known, resp.StatusCode)
				}
			}
			resp := do(t, c, request(t, "GET", "http://svc/", nil))
			n, err := io.Copy(io.Discard, resp.Body)
			var tooLarge *http.MaxBytesError
			if !errors.As(err, &tooLarge) || n > 100<<10 {
				t.Errorf("220 KiB where 100 are allowed: read %d bytes, %v", n, err)
			}
			if err := failure(c, request(t, "GET", "http://svc/", func(r *http.Request) {
				r.Header.Set("X-Big", strings.Repeat("x", 100<<10))
			})); err == nil {
				t.Error("a request header over MaxHeaderBytes must not be sent")
			}
		})
	}
}

func TestLimitCountsForWholeBodiesToo(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			serve(t, connect(), http.NotFoundHandler(), &httpbus.ServeOptions{MaxRequestBytes: 1 << 10})
			for size, want := range map[int]int{1 << 10: http.StatusNotFound, 1<<10 + 1: http.StatusRequestEntityTooLarge} {
				resp := do(t, client(connect(), nil), request(t, "POST", "http://svc/", func(r *http.Request) {
					r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("x", size))), int64(size)
				}))
				if resp.StatusCode != want {
					t.Errorf("a body of %d bytes where 1024 are allowed: status %d, not %d", size, resp.StatusCode, want)
				}
			}
		})
	}
}

func TestUploadThatFailsFailsTheRequest(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			seen := make(chan error, 1)
			c := pair(t, connect, func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				seen <- err
			})
			broken := errors.New("disk on fire")
			err := failure(c, request(t, "POST", "http://svc/", func(r *http.Request) {
				r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader("beginning"), failing{broken})), -1
			}))
			if !errors.Is(err, broken) {
				t.Errorf("the client must see why its body failed: %v", err)
			}
			if err := <-seen; err == nil {
				t.Error("the handler must not take half a body for a whole one")
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestHandlerThatIgnoresTheBody(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			c := pair(t, connect, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) })
			resp := do(t, c, request(t, "POST", "http://svc/", func(r *http.Request) {
				r.Body, r.ContentLength = io.NopCloser(&counter{n: new(atomic.Int64), left: 50 << 20}), 50<<20
			}))
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("status %d", resp.StatusCode)
			}
		})
	}
}

func TestShutdownWaitsForRequests(t *testing.T) {
	for _, n := range networks() {
		t.Run(n.name, func(t *testing.T) {
			connect := n.start(t)
			entered, release := make(chan struct{}), make(chan struct{})
			s := serve(t, connect(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.(http.Flusher).Flush()
				close(entered)
				<-release
				_, _ = w.Write(make([]byte, 1<<20))
			}), nil)
			resp := do(t, client(connect(), nil), request(t, "GET", "http://svc/", nil))
			<-entered
			down := make(chan error, 1)
			go func() { down <- s.Shutdown(soon(t)) }()
			close(release)
			n, err := io.Copy(io.Discard, resp.Body)
			if err != nil || n != 1<<20 {
				t.Errorf("a request under way must be answered whole during Shutdown: %d bytes, %v", n, err)
			}
			if err := <-down; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if err := s.Shutdown(soon(t)); err != nil {
				t.Errorf("a second Shutdown: %v", err)
			}
		})
	}
}
