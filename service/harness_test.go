package service_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/service"
)

func answer(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
}

// environment is one that disturbs nobody.
func environment() *service.Environment {
	return &service.Environment{
		Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Instance: "i1", Zone: "z1",
		LogFormat: "text", DrainDelay: time.Millisecond, DrainTimeout: 30 * time.Second,
	}
}

// running is a service that runs.
type running struct {
	*service.Service
	t     *testing.T
	url   string
	admin string
	stop  func()
	done  chan error
	log   *lines
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// find waits for a line that holds mark, and returns what follows it up to the
// next space.
func (l *lines) find(t *testing.T, mark string) string {
	t.Helper()
	var found string
	eventually(t, "the log says "+mark, func() bool {
		_, after, ok := strings.Cut(l.String(), mark)
		if !ok {
			return false
		}
		found, _, ok = strings.Cut(after, "\n")
		found, _, _ = strings.Cut(found, " ")
		return ok
	})
	return found
}

// start runs a service and waits until it is ready.
func start(t *testing.T, opts service.Options) *running {
	t.Helper()
	r := launch(t, opts)
	r.log.find(t, "msg=ready ")
	r.url = "http://" + r.Addr().String()
	return r
}

// launch runs a service.
func launch(t *testing.T, opts service.Options) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	return launchUntil(ctx, t, stop, opts)
}

// launchUntil runs a service that stop ends by ctx.
func launchUntil(ctx context.Context, t *testing.T, stop func(), opts service.Options) *running {
	t.Helper()
	r := &running{t: t, stop: stop, done: make(chan error, 1), log: new(lines)}
	if opts.Name == "" {
		opts.Name = "orders"
	}
	opts.Version = "1.2"
	if opts.Environment == nil {
		opts.Environment = environment()
	}
	opts.Logger = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	inner, got := opts.Setup, make(chan *service.Service, 1)
	opts.Setup = func(ctx context.Context, s *service.Service) error {
		got <- s
		if inner == nil {
			return nil
		}
		return inner(ctx, s)
	}
	go func() {
		r.done <- service.Run(ctx, opts)
		close(r.done)
	}()
	t.Cleanup(func() {
		stop()
		for range r.done {
		}
		http.DefaultClient.CloseIdleConnections()
	})
	select {
	case r.Service = <-got:
	case err := <-r.done:
		t.Fatalf("it didn't start: %v", err)
	}
	r.admin = "http://" + r.log.find(t, `msg="admin port" service=orders version=1.2 instance=i1 address=`)
	return r
}

// end stops the service and returns what Run returned.
func (r *running) end() error {
	r.t.Helper()
	r.stop()
	return r.wait()
}

func (r *running) wait() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(2 * time.Minute):
		r.t.Fatalf("it doesn't end\n%s", r.log)
		return nil
	}
}

// get returns the status and the body.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	return do(t, http.MethodGet, url, "", nil)
}

func do(t *testing.T, method, url, body string, header map[string]string) (int, string) {
	t.Helper()
	got, err := try(t, http.DefaultClient, method, url, body, header)
	if err != nil {
		t.Fatal(err)
	}
	return got.status, got.text
}

// reply is a response that was read.
type reply struct {
	status int
	text   string
	last   bool // of its connection
}

func try(t *testing.T, client *http.Client, method, url, body string, header map[string]string) (reply, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, string(b), resp.Close}, err
}

// eventually waits for something that takes a moment.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	patience := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-look.C:
		case <-patience:
			t.Fatalf("never: %s", what)
		}
	}
}

// journal is what happened, in order.
type journal struct {
	mu     sync.Mutex
	events []string
}

func (j *journal) add(event string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, event)
}

func (j *journal) is(t *testing.T, want ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.events, want) {
		t.Errorf("happened:\n %s\nwant:\n %s", strings.Join(j.events, "\n "), strings.Join(want, "\n "))
	}
}
