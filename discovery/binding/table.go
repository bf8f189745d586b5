package binding

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/rules"
)

// Options configure NewTable. The zero value and nil are useful.
type Options struct {
	// Attributes returns what is known about a request that no thin API has
	// seen, such as the claims of the token that its context carries. Default:
	// nothing.
	Attributes func(*http.Request) map[string]string
	// Retry is the longest pause before a lost watch is begun again; the first
	// is a hundredth of it. Default: 5 s.
	Retry time.Duration
	// OnChange is told of each revision once it is in use, and of those that
	// can't be used, with the reason. It must not block.
	OnChange func(r Revision, err error)
	// Logger gets lost watches and revisions that can't be used. Default: none
	// are logged.
	Logger *slog.Logger
}

// Table is the bindings of all services, kept current from a store. It is a
// discovery.Splitter, and safe for concurrent use.
type Table struct {
	store Store
	opts  Options

	plans atomic.Pointer[map[string]*entry] // swapped, never changed

	apply  sync.Mutex
	ready  chan struct{} // closed when the store has been read
	once   sync.Once
	cancel context.CancelFunc
	done   chan struct{}
}

// entry is what is in use for a service.
type entry struct {
	revision Revision
	plan     *plan // nil if there is no binding
	refused  error // why a newer revision isn't in use
	newest   uint64
}

// NewTable returns a table and begins to watch the store. Until the store has
// been read, all versions are alike; Ready waits for it. Call Close in the end. It
// panics without a store.
func NewTable(store Store, opts *Options) *Table {
	if store == nil {
		panic("binding: NewTable: the Store is nil; NewMemory makes one") //nolint:forbidigo // programmer error
	}
	t := &Table{store: store, ready: make(chan struct{}), done: make(chan struct{})}
	if opts != nil {
		t.opts = *opts
	}
	if t.opts.Retry <= 0 {
		t.opts.Retry = 5 * time.Second
	}
	if t.opts.Logger == nil {
		t.opts.Logger = slog.New(slog.DiscardHandler)
	}
	t.plans.Store(&map[string]*entry{})
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel = cancel
	go t.run(ctx)
	return t
}

// Ready waits until the store has been read once.
func (t *Table) Ready(ctx context.Context) error {
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("binding: the store was not read: %w", ctx.Err())
	}
}

// Close stops watching. What is known stays in use. It may be called twice.
func (t *Table) Close(ctx context.Context) error {
	t.cancel()
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run watches the store for as long as the table lives.
func (t *Table) run(ctx context.Context) {
	defer close(t.done)
	pause := t.opts.Retry / 100
	for {
		began := time.Now()
		err := t.store.Watch(ctx, t.take)
		if ctx.Err() != nil {
			return
		}
		t.opts.Logger.Warn("binding: the watch was lost, what is known stays", "error", err)
		if time.Since(began) > t.opts.Retry {
			pause = t.opts.Retry / 100
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, t.opts.Retry)
	}
}

// take brings revisions into use. One that can't be used leaves the one before
// in use.
func (t *Table) take(revs []Revision) {
	t.apply.Lock()
	defer t.apply.Unlock()
	next := maps.Clone(*t.plans.Load())
	var tell []func()
	for _, r := range revs {
		old := next[r.Service]
		if old != nil && old.newest >= r.Number {
			continue
		}
		e := &entry{revision: r, newest: r.Number}
		var err error
		if r.Binding != nil {
			e.plan, err = compile(r.Binding)
		}
		if err != nil {
			t.opts.Logger.Error("binding: a revision can't be used", "service", r.Service, "revision", r.Number, "error", err)
			kept := entry{}
			if old != nil {
				kept = *old
			}
			kept.refused, kept.newest = err, r.Number
			e = &kept
		}
		next[r.Service] = e
		if t.opts.OnChange != nil {
			tell = append(tell, func() { t.opts.OnChange(r, err) })
		}
	}
	t.plans.Store(&next)
	for _, f := range tell {
		f()
	}
	t.once.Do(func() { close(t.ready) })
}

// Split implements [discovery.Splitter].
func (t *Table) Split(r *http.Request, service string) (*discovery.Split, string) {
	e := (*t.plans.Load())[service]
	if e == nil || e.plan == nil {
		return nil, ""
	}
	asked := t.request(r)
	d := e.plan.engine.Decide(&asked)
	rule := d.Rule(rules.Answer)
	return e.plan.splits[rule], d.StickyKey(&asked)
}

// request is what the rules look at: what an edge found out, if one did. A
// request that none has seen was made by this process, whose own words are
// believed.
func (t *Table) request(r *http.Request) rules.Request {
	asked := rules.Request{
		Method: r.Method, Host: r.URL.Host, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: r.Header, FromProxy: true,
	}
	if edge := rules.FromContext(r.Context()); edge != nil {
		asked.Client, asked.FromProxy, asked.ID, asked.Attributes = edge.Client, edge.FromProxy, edge.ID, edge.Attributes
	} else if t.opts.Attributes != nil {
		asked.Attributes = t.opts.Attributes(r)
	}
	return asked
}

// Explain says which rule of a service's binding decides about a request and
// why; nil if the service isn't bound.
func (t *Table) Explain(r *http.Request, service string) *rules.Explanation {
	e := (*t.plans.Load())[service]
	if e == nil || e.plan == nil {
		return nil
	}
	asked := t.request(r)
	return e.plan.engine.Explain(&asked)
}

// InUse returns the revisions in use, by service. Refused says for a service
// why its newest revision isn't.
func (t *Table) InUse() (inUse []Revision, refused map[string]error) {
	refused = map[string]error{}
	for service, e := range *t.plans.Load() {
		if e.plan != nil {
			inUse = append(inUse, e.revision)
		}
		if e.refused != nil {
			refused[service] = e.refused
		}
	}
	slices.SortFunc(inUse, func(a, b Revision) int { return strings.Compare(a.Service, b.Service) })
	return inUse, refused
}

// Get returns a service's newest revision from the store. The error wraps
// fs.ErrNotExist if the service isn't bound; the revision then still has the
// number to expect.
func (t *Table) Get(ctx context.Context, service string) (Revision, error) {
	revs, err := t.store.History(ctx, service, 1)
	if err != nil {
		return Revision{}, err
	}
	if len(revs) == 0 {
		return Revision{Service: service}, fmt.Errorf("binding: service %q isn't bound: %w", service, fs.ErrNotExist)
	}
	if revs[0].Binding == nil {
		return revs[0], fmt.Errorf("binding: service %q isn't bound: %w", service, fs.ErrNotExist)
	}
	return revs[0], nil
}

// History returns a service's revisions, the newest first, at most limit.
func (t *Table) History(ctx context.Context, service string, limit int) ([]Revision, error) {
	return t.store.History(ctx, service, limit)
}

// Put writes a binding, if it is valid and nobody else has changed it since
// the writer looked (Change.Expect). It returns when the store has it; tables
// have it when their watch tells.
func (t *Table) Put(ctx context.Context, b Binding, c Change) (Revision, error) {
	if _, err := compile(&b); err != nil {
		return Revision{}, err
	}
	return t.put(ctx, Revision{Service: b.Service, Binding: &b}, c)
}

// Delete removes a service's binding: all versions are alike again. The
// history stays.
func (t *Table) Delete(ctx context.Context, service string, c Change) (Revision, error) {
	if _, err := t.Get(ctx, service); err != nil {
		return Revision{}, err
	}
	return t.put(ctx, Revision{Service: service}, c)
}

// Rollback brings back an earlier revision, as a new one. An empty message
// says which.
func (t *Table) Rollback(ctx context.Context, service string, to uint64, c Change) (Revision, error) {
	revs, err := t.store.History(ctx, service, int(^uint(0)>>1))
	if err != nil {
		return Revision{}, err
	}
	i := slices.IndexFunc(revs, func(r Revision) bool { return r.Number == to })
	if i < 0 {
		return Revision{}, fmt.Errorf("binding: service %q has no revision %d: %w", service, to, fs.ErrNotExist)
	}
	if c.Message == "" {
		c.Message = fmt.Sprintf("back to revision %d", to)
	}
	if revs[i].Binding == nil {
		return t.put(ctx, Revision{Service: service}, c)
	}
	if _, err := compile(revs[i].Binding); err != nil {
		return Revision{}, err
	}
	return t.put(ctx, Revision{Service: service, Binding: revs[i].Binding}, c)
}

var errNoAuthor = errors.New("binding: a change has no author; say who makes it")

func (t *Table) put(ctx context.Context, r Revision, c Change) (Revision, error) {
	if c.Author == "" {
		return Revision{}, errNoAuthor
	}
	r.Author, r.Message, r.At = c.Author, c.Message, time.Now().UTC()
	return t.store.Put(ctx, r, c.Expect)
}
