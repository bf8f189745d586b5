package discovery_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/memdiscovery"
)

// watching collects the views that a registry hands on.
type watching struct {
	mu    sync.Mutex
	views []discovery.View
	stop  func()
}

func (w *watching) last() discovery.View {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.views) == 0 {
		return discovery.View{}
	}
	return w.views[len(w.views)-1]
}

func (w *watching) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.views)
}

func watch(t *testing.T, r *discovery.Registry, service string) *watching {
	t.Helper()
	w := &watching{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Watch(ctx, service, func(v discovery.View) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.views = append(w.views, v)
		})
	}()
	w.stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(w.stop)
	return w
}

func knowing(dir string, log *slog.Logger) *memdiscovery.Options {
	return &memdiscovery.Options{Discovery: discovery.Options{LastKnown: dir, Logger: log}}
}

// beginsWithin is how soon a store that can't be reached is given up at first.
const beginsWithin = 500 * time.Millisecond

// filesOf returns what is in a directory once nobody is writing it.
func filesOf(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	synctest.Wait()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		if files[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// A process that starts while the registry is away begins with those who were
// known last, says so, and catches up.
func TestStartsWithTheLastKnownViewWhenTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, store := t.TempDir(), memdiscovery.NewStore()
		for _, service := range []string{"restaurants", ""} {
			home := open(t, store, nil)
			for _, id := range []string{"a", "b"} {
				register(t, home, restaurant(id), nil)
			}
			w := watch(t, open(t, store, knowing(dir, nil)), service)
			time.Sleep(3 * time.Hour)
			killed := filesOf(t, dir) // as a process leaves them that has no time to say goodbye
			w.stop()
			for name, text := range killed {
				if err := os.WriteFile(name, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			store.SetDown(true)
			time.Sleep(time.Hour)

			again := watch(t, open(t, store, knowing(dir, nil)), service)
			time.Sleep(beginsWithin)
			v := again.last()
			expect(t, "those who were known last are known", idsOf(v.Instances), []string{"a", "b"})
			if old := v.Staleness(); v.Live || !v.FromDisk || v.Err == nil || old < time.Hour || old > time.Hour+11*time.Minute {
				t.Errorf("the view says what it is: live %v, from disk %v, %v old, %v", v.Live, v.FromDisk, old, v.Err)
			}
			store.SetDown(false)
			time.Sleep(time.Minute)
			if v := again.last(); !v.Live || v.FromDisk || v.Err != nil || len(v.Instances) != 2 {
				t.Errorf("when the store is back the view is the store's: %+v", v)
			}
			if err := home.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			expect(t, "and follows it", idsOf(again.last().Instances), []string{})
			again.stop()
		}
		expect(t, "a store that answers is believed, and not the disk", len(ids(t, open(t, store, knowing(dir, nil)))), 0)
	})
}

// A resolver sends requests to them.
func TestPicksFromTheLastKnownView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, store := t.TempDir(), memdiscovery.NewStore()
		register(t, open(t, store, nil), restaurant("a"), nil)
		w := watch(t, open(t, store, knowing(dir, nil)), "restaurants")
		time.Sleep(time.Minute)
		w.stop()
		store.SetDown(true)
		pick := func(opts *memdiscovery.Options) error {
			r := discovery.NewResolver(open(t, store, opts), nil)
			defer func() { _ = r.Shutdown(context.Background()) }()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://restaurants/", nil)
			if err != nil {
				return err
			}
			resp, err := discovery.NewTransport(says(200, "x"), r, nil).RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			return err
		}
		if err := pick(knowing(dir, nil)); err != nil {
			t.Errorf("with a copy on disk a request is sent though the store is away: %v", err)
		}
		if err := pick(nil); err == nil {
			t.Error("without one nobody is known")
		}
		store.SetDown(false)
	})
}

// What is on disk is private, whole, and not too old, or it isn't used.
func TestTheLastKnownViewIsPrivateAndChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, store := t.TempDir(), memdiscovery.NewStore()
		register(t, open(t, store, nil), restaurant("a"), nil)
		w := watch(t, open(t, store, knowing(filepath.Join(dir, "made"), nil)), "restaurants")
		time.Sleep(time.Minute)
		w.stop()
		dir = filepath.Join(dir, "made")
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(names) != 1 {
			t.Fatalf("one file is left: %v, %v", names, err)
		}
		file := names[0]
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("only its owner may read it: %v, %v", info.Mode(), err)
		}
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		store.SetDown(true)
		known := func() (discovery.View, string) {
			t.Helper()
			var log bytes.Buffer
			w := watch(t, open(t, store, knowing(dir, slog.New(slog.NewTextHandler(&log, nil)))), "restaurants")
			time.Sleep(5 * time.Second)
			w.stop()
			return w.last(), log.String()
		}
		if v, _ := known(); len(v.Instances) != 1 {
			t.Fatalf("the whole file is used: %+v", v)
		}
		for what, c := range map[string]struct {
			text []byte
			mode os.FileMode
			says string
		}{
			"changed":           {bytes.Replace(whole, []byte(`"asOf":"2`), []byte(`"asOf":"3`), 1), 0o600, "checksum"},
			"cut short":         {whole[:len(whole)-10], 0o600, "checksum"},
			"empty":             {nil, 0o600, "checksum"},
			"readable by all":   {whole, 0o644, "mode"},
			"of another format": {bytes.Replace(whole, []byte("-1 "), []byte("-2 "), 1), 0o600, "checksum"},
		} {
			if err := errors.Join(os.WriteFile(file, c.text, 0o600), os.Chmod(file, c.mode)); err != nil {
				t.Fatal(err)
			}
			if v, log := known(); len(v.Instances) != 0 || !strings.Contains(log, c.says) {
				t.Errorf("a file that is %s must not be used, and the log must say why: %v, %s", what, v.Instances, log)
			}
		}
		if err := errors.Join(os.WriteFile(file, whole, 0o600), os.Chmod(file, 0o600)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(25 * time.Hour)
		if v, log := known(); len(v.Instances) != 0 || !strings.Contains(log, "old") {
			t.Errorf("addresses of yesterday may be somebody else's: %v, %s", v.Instances, log)
		}
		store.SetDown(false)
	})
}

// hanging is a store whose watches never begin.
type hanging struct{ driver.Driver }

func (hanging) Watch(ctx context.Context, _ string, _ driver.Sink) error {
	<-ctx.Done()
	return ctx.Err()
}

// A store that answers late is waited for no longer than a second.
func TestASlowStoreIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, store := t.TempDir(), memdiscovery.NewStore()
		register(t, open(t, store, nil), restaurant("a"), nil)
		w := watch(t, open(t, store, knowing(dir, nil)), "restaurants")
		time.Sleep(time.Minute)
		w.stop()
		r := discovery.New(hanging{store.Driver(nil)}, &discovery.Options{LastKnown: dir})
		defer func() { _ = r.Shutdown(context.Background()) }()
		late := watch(t, r, "restaurants")
		time.Sleep(1500 * time.Millisecond)
		if v := late.last(); !v.FromDisk || len(v.Instances) != 1 {
			t.Errorf("%+v", v)
		}
		late.stop()
	})
}
