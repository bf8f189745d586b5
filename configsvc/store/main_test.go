package store_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/ageseal"
	"github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/memconfig"
	"github.com/goswale/swale/configsvc/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// fixture is a store whose clock goes on by a minute with each commit.
type fixture struct {
	*store.Store
	t      *testing.T
	driver driver.Driver

	mu  sync.Mutex
	now time.Time
}

func open(t *testing.T, opts *store.Options) *fixture {
	t.Helper()
	if opts == nil {
		opts = &store.Options{}
	}
	f := &fixture{t: t, driver: memconfig.New(), now: noon}
	key, err := ageseal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	if opts.Sealer, err = ageseal.New(key); err != nil {
		t.Fatal(err)
	}
	opts.Clock = func() time.Time {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.now = f.now.Add(time.Minute)
		return f.now
	}
	f.Store = store.New(f.driver, opts)
	return f
}

func parse(t *testing.T, text string) configsvc.Value {
	t.Helper()
	if text == "" {
		return configsvc.Value{}
	}
	v, err := configsvc.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// edits returns edits of key, text, key, text…; an empty text deletes.
func edits(t *testing.T, pairs ...string) []store.Edit {
	t.Helper()
	var out []store.Edit
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, store.Edit{Key: pairs[i], Value: parse(t, pairs[i+1]), Expect: store.Any})
	}
	return out
}

func (f *fixture) write(pairs ...string) *store.Commit {
	f.t.Helper()
	c, err := f.Write(f.t.Context(), store.Write{Author: "ada", Message: "because", Edits: edits(f.t, pairs...)})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// refused expects a write to be refused with all of these texts in the error,
// which it returns as text.
func (f *fixture) refused(want []string, pairs ...string) string {
	f.t.Helper()
	_, err := f.Write(f.t.Context(), store.Write{Author: "ada", Edits: edits(f.t, pairs...)})
	if !errors.Is(err, store.ErrInvalid) {
		f.t.Fatalf("%v must be refused: %v", pairs, err)
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			f.t.Errorf("the refusal must say %q: %v", text, err)
		}
	}
	return err.Error()
}

// value returns the text of a document, empty if it isn't there.
func (f *fixture) value(key string) string {
	f.t.Helper()
	d, err := f.Get(f.t.Context(), key, 0)
	if err != nil {
		return ""
	}
	return d.Value.String()
}

func (f *fixture) compile(opts *store.CompileOptions, keys ...string) *store.Compilation {
	f.t.Helper()
	c, err := f.Compile(f.t.Context(), keys, opts)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func ctx(t *testing.T) context.Context { t.Helper(); return t.Context() }
