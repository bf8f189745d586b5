package configsvc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/server/servertest"
)

// world is what Try asks: which pools work, and which may later.
type world struct {
	mu    sync.Mutex
	wrong map[int]error
	tried []int
}

func (w *world) set(pool int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong[pool] = err
}

func (w *world) try(_ context.Context, next *settings) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tried = append(w.tried, next.Pool)
	if next.Pool == 13 {
		panic("unlucky")
	}
	return w.wrong[next.Pool]
}

func tried(t *testing.T, c *configsvc.Client, try func(context.Context, *settings) error) *configsvc.Watcher[settings] {
	t.Helper()
	w, err := configsvc.WatchWith(t.Context(), c, []string{"base"}, &configsvc.WatchOptions[settings]{Try: try})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWhatDoesNotWorkIsRejected(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":5}`)
	around := &world{wrong: map[int]error{6: errors.New("no database there")}}
	w := tried(t, s.Client("x", func(o *configsvc.ClientOptions) { o.Service, o.Instance = "orders", "orders-1" }), around.try)
	for pool, why := range map[int]string{6: "no database there", 13: "unlucky"} {
		s.Write("base", fmt.Sprintf(`{"pool":%d}`, pool))
		if err := w.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("what Try says no to is rejected: %v", err)
		}
		if w.Get().Pool != 5 || w.Status().Rejected == "" {
			t.Errorf("the good one stays: %+v %+v", w.Get(), w.Status())
		}
		eventually(t, "the service to be told", func() bool {
			_, running := s.Request("GET", "/instances", "")
			return strings.Contains(running, why)
		})
	}
	around.set(6, nil)
	s.Write("base", `{"pool":6}`) // the same again is another version of the service, but Try said no for good
	s.Write("base", `{"pool":7}`)
	eventually(t, "a version that works", func() bool { return w.Get().Pool == 7 })
}

func TestWhatDoesNotWorkYetIsTriedAgain(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":5}`)
	notYet := fmt.Errorf("%w: the database starts", configsvc.ErrNotYet)
	around := &world{wrong: map[int]error{6: notYet}}
	w := tried(t, s.Client("x", nil), around.try)
	s.Write("base", `{"pool":6}`)
	if err := w.Refresh(t.Context()); !errors.Is(err, configsvc.ErrNotYet) || w.Get().Pool != 5 {
		t.Errorf("for now it is rejected: %v, %+v", err, w.Get())
	}
	if err := w.Recheck(t.Context()); !errors.Is(err, configsvc.ErrNotYet) {
		t.Errorf("and still is: %v", err)
	}
	around.set(6, nil)
	if err := w.Recheck(t.Context()); err != nil || w.Get().Pool != 6 || w.Status().Rejected != "" {
		t.Errorf("nobody wrote anything, and it works: %v, %+v", err, w.Status())
	}
	around.set(8, notYet)
	s.Write("base", `{"pool":8}`)
	if err := w.Refresh(t.Context()); err == nil {
		t.Error("rejected for now")
	}
	s.Write("base", `{"pool":6}`)
	if err := w.Refresh(t.Context()); err != nil || w.Status().Rejected != "" {
		t.Errorf("taken back, all is well: %v, %+v", err, w.Status())
	}
}

func TestWhatDoesNotWorkAtTheStart(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":5}`)
	var asked atomic.Int32
	later := func(context.Context, *settings) error {
		if asked.Add(1) < 3 {
			return configsvc.ErrNotYet
		}
		return nil
	}
	if w := tried(t, s.Client("x", nil), later); w.Get().Pool != 5 || asked.Load() != 3 {
		t.Errorf("a start waits for what doesn't work yet: %+v after %d", w.Get(), asked.Load())
	}
	dir := t.TempDir()
	withCopy := func(o *configsvc.ClientOptions) { o.Dir = dir }
	tried(t, s.Client("x", withCopy), nil).Close() // or it takes a copy of what comes next
	s.Write("base", `{"pool":6}`)
	around := &world{wrong: map[int]error{5: errors.New("gone"), 6: errors.New("wrong")}}
	w := tried(t, s.Client("x", withCopy), around.try)
	if w.Get().Pool != 5 || !w.Snapshot().FromCopy || fmt.Sprint(around.tried) != "[6]" {
		t.Errorf("what doesn't work has a start go back to the copy, which isn't tried: %+v, tried %v", w.Get(), around.tried)
	}
	if _, err := configsvc.WatchWith(t.Context(), s.Client("x", nil), []string{"base"}, &configsvc.WatchOptions[settings]{Try: around.try}); err == nil || !strings.Contains(err.Error(), "wrong") {
		t.Errorf("without a copy the start fails and says why: %v", err)
	}
}

func TestRechecksShareOneQuestion(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":5}`)
	w := watch[settings](t, s.Client("x", nil), "base")
	before, began := s.Asked.Load(), time.Now()
	var callers sync.WaitGroup
	for range 200 {
		callers.Go(func() {
			if err := w.Recheck(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	// One at the beginning, one for each second that has begun since, and that of the
	// watcher's start.
	seconds := int64(time.Since(began)/time.Second) + 1
	if asked := s.Asked.Load() - before; asked > seconds+2 {
		t.Errorf("200 callers had the service asked %d times in less than %d s", asked, seconds)
	}
	s.Write("base", `{"pool":6}`)
	if err := w.Recheck(t.Context()); err != nil || w.Get().Pool != 6 {
		t.Errorf("whoever calls afterwards gets what is new: %v, %+v", err, w.Get())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Recheck(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits longer than they want to: %v", err)
	}
	w.Close()
	if err := w.Recheck(t.Context()); !errors.Is(err, configsvc.ErrClosed) {
		t.Errorf("after Close there is nobody to ask: %v", err)
	}
}

func TestASecretTextShowsItselfToNobody(t *testing.T) {
	type config struct {
		Password configsvc.SecretText `json:"password" check:"pattern=^hunter"`
	}
	const password = "hunter2/ä:%"
	c := config{Password: password}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "c", c, "p", c.Password)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "c", c, "p", c.Password)
	marshalled, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(marshalled) + fmt.Sprint(c, &c, c.Password)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
		shown += fmt.Sprintf(verb+verb, c, c.Password)
	}
	if strings.Contains(shown, "unter") || strings.Contains(shown, fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("it shows: %s", shown)
	}
	if c.Password.Reveal() != password || configsvc.SecretText("").String() != "" {
		t.Error("whoever asks for it has it, and none is none")
	}
	plain := errors.New("refused")
	if got := c.Password.Hide(plain); got != plain { //nolint:errorlint // the same one
		t.Errorf("an error that doesn't tell it stays: %v", got)
	}
	for _, text := range []string{password, url.QueryEscape(password), url.PathEscape(password), url.UserPassword("u", password).String()} {
		if got := c.Password.Hide(fmt.Errorf("dial %s: %w", text, plain)).Error(); strings.Contains(got, "unter2") || !strings.HasPrefix(got, "dial ") {
			t.Errorf("an error that does is made not to: %s", got)
		}
	}
	s := servertest.Start(t)
	s.Write("base", `{"password":"`+password+`"}`)
	if got := watch[config](t, s.Client("x", nil), "base").Get(); got.Password != password {
		t.Error("it is decoded and checked like any text")
	}
}
