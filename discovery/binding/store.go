package binding

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"
)

// Revision is a binding as it was written.
type Revision struct {
	Service string `json:"service"`
	// Number counts the writes of a service's binding, from 1.
	Number uint64 `json:"revision"`
	// Binding is nil if this write removed it.
	Binding *Binding  `json:"binding,omitempty"`
	Author  string    `json:"author"`
	Message string    `json:"message,omitempty"`
	At      time.Time `json:"at"`
}

// Change is what a write says about itself.
type Change struct {
	Author  string
	Message string
	// Expect is the number of the revision that the writer has seen, 0 if
	// there was none; [Latest] is whatever there is.
	Expect uint64
}

// Latest is for Change.Expect: overwrite what there is, seen or not.
const Latest = ^uint64(0)

// ErrConflict is wrapped by errors of writes whose Expect isn't the newest
// revision.
var ErrConflict = fmt.Errorf("binding: somebody else has changed it: %w", fs.ErrExist)

// Store keeps bindings and their history. Implementations are safe for
// concurrent use and don't retry; a Table validates, retries and caches.
type Store interface {
	// Current returns the newest revision of every service that was ever
	// bound, in any order.
	Current(ctx context.Context) ([]Revision, error)
	// Put writes the next revision of r.Service, in one step with the check
	// that the newest is number expect, or fails with ErrConflict. It fills in
	// Number and returns when the revision is safe. It keeps r.Binding, which
	// nobody changes afterwards.
	Put(ctx context.Context, r Revision, expect uint64) (Revision, error)
	// History returns a service's revisions, the newest first, at most limit.
	History(ctx context.Context, service string, limit int) ([]Revision, error)
	// Watch calls f with the newest revisions, of all services at once and
	// then of those that change, in order for each service. It blocks until
	// ctx ends or it can't be sure to see every change, and returns why.
	Watch(ctx context.Context, f func([]Revision)) error
}

// Memory is a Store in the process, for tests, examples and systems of one
// process. Its history is as long as its life.
type Memory struct {
	mu       sync.Mutex
	services map[string][]Revision // the newest last
	watchers map[chan struct{}]*backlog
}

// backlog is what a watcher has not been told yet.
type backlog struct{ changed []Revision }

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{services: map[string][]Revision{}, watchers: map[chan struct{}]*backlog{}}
}

// Current implements [Store].
func (m *Memory) Current(context.Context) ([]Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current(), nil
}

func (m *Memory) current() []Revision {
	var all []Revision
	for _, revs := range m.services {
		all = append(all, revs[len(revs)-1])
	}
	return all
}

// Put implements [Store].
func (m *Memory) Put(_ context.Context, r Revision, expect uint64) (Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	revs := m.services[r.Service]
	if newest := uint64(len(revs)); expect != Latest && expect != newest {
		return Revision{}, fmt.Errorf("%w: it is at revision %d, not %d", ErrConflict, newest, expect)
	}
	r.Number = uint64(len(revs)) + 1
	m.services[r.Service] = append(revs, r)
	for wake, b := range m.watchers {
		b.changed = append(b.changed, r)
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	return r, nil
}

// History implements [Store].
func (m *Memory) History(_ context.Context, service string, limit int) ([]Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	revs := slices.Clone(m.services[service])
	slices.Reverse(revs)
	return revs[:min(limit, len(revs))], nil
}

// Watch implements [Store].
func (m *Memory) Watch(ctx context.Context, f func([]Revision)) error {
	wake, b := make(chan struct{}, 1), &backlog{}
	m.mu.Lock()
	m.watchers[wake] = b
	all := m.current()
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.watchers, wake)
		m.mu.Unlock()
	}()
	f(all)
	for {
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
		m.mu.Lock()
		changed := b.changed
		b.changed = nil
		m.mu.Unlock()
		f(changed)
	}
}
