package configsvc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Snapshot is a configuration at a moment. It never changes.
type Snapshot[T any] struct {
	// Value is shared by everybody: it must not be changed.
	Value *T
	// Hash identifies it, without what the environment overrides.
	Hash string
	// Revision is that of the service when it was compiled, Layers the versions
	// that it was compiled from.
	Revision int64
	Layers   []LayerRef
	// Rollouts are the ids of those that this instance is part of.
	Rollouts []string
	// FromCopy says that it comes from the copy on disk.
	FromCopy bool
	// Time is when it came into force here.
	Time time.Time
}

// Watcher holds a configuration and keeps it current. It is safe for concurrent
// use.
type Watcher[T any] struct {
	current atomic.Pointer[Snapshot[T]]
	feed    *feed
	opts    WatchOptions[T]
	env     environment

	mu        sync.Mutex
	callbacks []*func(old, new *T)
}

// WatchOptions are the options of WatchWith. The zero value and nil are useful.
type WatchOptions[T any] struct {
	// Try is asked about each new version that the service gives, once it has
	// passed T's own checks: does it work, is there a database at this address? An
	// error rejects the version. One that wraps [ErrNotYet] rejects it for now: it is
	// tried again with the next poll and the next [Watcher.Recheck], and while the
	// watcher starts. The copy on disk isn't tried, for it was. Try bounds its time
	// itself; until it returns nothing newer comes. Default: everything works.
	Try func(ctx context.Context, next *T) error
}

// Watch is WatchWith without options.
func Watch[T any](ctx context.Context, client *Client, keys ...string) (*Watcher[T], error) {
	return WatchWith[T](ctx, client, keys, nil)
}

// WatchWith returns a watcher of the configuration that is compiled from the keys,
// the weakest layer first, and decoded into T. It returns when there is a first
// one: from the service, or, where that doesn't answer within
// ClientOptions.StartTimeout or has nothing that can be used, from the last good
// copy on disk. ctx bounds only that.
//
// A T is made anew for each version: first from its default tags, then by its
// method SetDefaults, if *T has one, then from the configuration. It is rejected
// when the JSON doesn't fit, when a check tag says so, when the method
// Validate() error of T or *T does, or WatchOptions.Try. A version that is rejected leaves the last
// good one in force, and the service is told.
//
//	type Config struct {
//		Pool    int                `json:"pool" default:"10" check:"min=1,max=100"`
//		Timeout configsvc.Duration `json:"timeout" default:"1s" check:"min=10ms"`
//		Log     string             `json:"log" default:"info" check:"oneof=debug|info|warn"`
//	}
func WatchWith[T any](ctx context.Context, client *Client, keys []string, opts *WatchOptions[T]) (*Watcher[T], error) {
	if client == nil {
		return nil, errors.New("configsvc: the *Client is nil; NewClient makes one")
	}
	if client.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if err := CheckKeys(keys); err != nil {
		return nil, err
	}
	if err := checkTags[T](); err != nil {
		return nil, err
	}
	env, err := environmentOf[T](client.opts.EnvPrefix, client.opts.Environ)
	if err != nil {
		return nil, err
	}
	w := &Watcher[T]{env: env}
	if opts != nil {
		w.opts = *opts
	}
	f := &feed{
		client: client, keys: slices.Clone(keys), url: client.compileURL(keys), overrides: env.paths,
		wakeups: make(chan struct{}, 1), checks: make(chan chan error), rechecks: make(chan chan error), done: make(chan struct{}), apply: w.apply,
	}
	f.ctx, f.cancel = context.WithCancel(client.ctx)
	w.feed = f
	err = f.start(ctx)
	if err == nil {
		err = client.add(f)
	}
	if err != nil {
		f.cancel()
		return nil, err
	}
	f.tell() // again, now that the feed is among those that are reported
	f.poke() // what changed while it started is not missed
	return w, nil
}

// Get returns the current configuration, which must not be changed. It takes a
// few nanoseconds, so ask anew rather than keep it.
func (w *Watcher[T]) Get() *T { return w.current.Load().Value }

// Snapshot returns the current configuration with where it comes from.
func (w *Watcher[T]) Snapshot() *Snapshot[T] { return w.current.Load() }

// Status says how the watcher fares.
func (w *Watcher[T]) Status() Status {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	return w.feed.status
}

// OnChange has f called with the old and the new configuration after each
// change, one after the other, in the order of changes, until stop is called.
// Readers see the new one already. A panic of f is logged and ends nothing.
func (w *Watcher[T]) OnChange(f func(old, new *T)) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	entry := &f
	w.callbacks = append(slices.Clone(w.callbacks), entry)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.callbacks = slices.DeleteFunc(slices.Clone(w.callbacks), func(e *func(old, new *T)) bool { return e == entry })
	}
}

// Refresh asks the service now. When it returns nil, the configuration is what
// the service had when Refresh was called, or newer.
func (w *Watcher[T]) Refresh(ctx context.Context) error { return w.ask(ctx, w.feed.checks) }

// Recheck is Refresh for those who find that what they were told doesn't work,
// perhaps because it has changed: it asks the service at most once a second,
// whoever calls, and those who wait share the answer. So it may be called for every
// request that fails, and takes up to a second then.
func (w *Watcher[T]) Recheck(ctx context.Context) error { return w.ask(ctx, w.feed.rechecks) }

func (w *Watcher[T]) ask(ctx context.Context, by chan<- chan error) error {
	answer := make(chan error, 1)
	select {
	case by <- answer:
	case <-w.feed.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-w.feed.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the watcher, which keeps the value that it has. It must not be
// called by a callback.
func (w *Watcher[T]) Close() {
	w.feed.cancel()
	<-w.feed.done
}

// apply decodes a configuration and puts it into force.
func (w *Watcher[T]) apply(ctx context.Context, got *fetched) error {
	value, err := w.build(got)
	if err != nil {
		return err
	}
	last := w.current.Load()
	same := last != nil && last.Hash == got.Hash
	if !same && !got.fromCopy {
		if err := w.try(ctx, value); err != nil {
			return err
		}
	}
	next := &Snapshot[T]{
		Value: value, Hash: got.Hash, Revision: got.Revision, Layers: got.Layers, Rollouts: got.Rollouts,
		FromCopy: got.fromCopy, Time: w.feed.client.opts.Clock(),
	}
	if same {
		next.Value = last.Value // nothing changed but versions
	}
	w.current.Store(next)
	if last == nil || same {
		return nil
	}
	w.mu.Lock()
	callbacks := w.callbacks
	w.mu.Unlock()
	for _, f := range callbacks {
		w.call(*f, last.Value, next.Value)
	}
	return nil
}

// try asks whether a version works. A panic is a no.
func (w *Watcher[T]) try(ctx context.Context, value *T) (err error) {
	if w.opts.Try == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("trying it panicked: %v", p)
		}
	}()
	return w.opts.Try(ctx, value)
}

func (w *Watcher[T]) call(f func(old, new *T), old, new *T) {
	defer func() {
		if p := recover(); p != nil {
			w.feed.log(slog.LevelError, "a callback panicked", fmt.Errorf("%v", p))
		}
	}()
	f(old, new)
}

// build makes a T. Whatever T's own methods do, a panic is a rejection.
func (w *Watcher[T]) build(got *fetched) (value *T, err error) {
	defer func() {
		if p := recover(); p != nil {
			value, err = nil, fmt.Errorf("a method of %T panicked: %v", value, p)
		}
	}()
	merged := got.Value
	if !w.env.value.IsZero() {
		c, err := Compile(Layer{Name: strings.Join(w.feed.keys, ", "), Value: got.Value}, Layer{Name: environmentLayer, Value: w.env.value})
		if err != nil {
			return nil, err
		}
		merged = c.Value
	}
	value = new(T)
	if err := setDefaults(value); err != nil {
		return nil, err
	}
	clearLists(value, merged)
	d := json.NewDecoder(bytes.NewReader(merged.JSON()))
	if w.feed.client.opts.Strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(value); err != nil {
		return nil, explained(err, merged)
	}
	if err := checkValue(value); err != nil {
		return nil, err
	}
	if v, ok := any(value).(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return nil, err
		}
	}
	return value, nil
}

// explained says more about a secret that was to become a string.
func explained(err error, v Value) error {
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) && mismatch.Value == "object" {
		path := ""
		for name := range strings.SplitSeq(mismatch.Field, ".") {
			path = below(path, name)
		}
		if form, _ := SecretForm(v.At(path)); form != "" {
			return fmt.Errorf("%s is a secret, which this client has not asked for (ClientOptions.Secrets): %w", path, err)
		}
	}
	return err
}

// Explain asks the service which layer sets each value, and adds the
// environment's overrides as the strongest layer. Secrets are redacted.
func (w *Watcher[T]) Explain(ctx context.Context) ([]Setting, error) {
	var got struct{ Settings []Setting }
	if err := w.feed.client.get(ctx, "/explain?"+w.feed.client.query(w.feed.keys).Encode(), &got); err != nil {
		return nil, err
	}
	return w.env.over(got.Settings), nil
}
