package memdiscovery

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/driver"
)

// Options are the options of New and Store.Connect. The zero value is useful.
type Options struct {
	// Discovery are the options of the registry itself.
	Discovery discovery.Options
	// Authorise refuses what this connection may not do: an error is what the
	// caller gets, joined with driver.ErrDenied. Default: everything is allowed.
	Authorise func(op Op, r driver.Record) error
}

// Op is what a connection wants to do with a record.
type Op string

// The operations that Options.Authorise is asked about. For Renew and Delete the
// record has no value.
const (
	Put    Op = "put"
	Renew  Op = "renew"
	Delete Op = "delete"
)

// ErrDown is returned by every call while the store is down.
var ErrDown = errors.New("the store is down")

// New returns a registry of its own. nil is fine for opts.
func New(opts *Options) *discovery.Registry { return NewStore().Connect(opts) }

// Store is what several registries of one process meet at. It is safe for
// concurrent use and holds no goroutine of its own.
type Store struct {
	mu      sync.Mutex
	records map[driver.Key]*held
	watches map[*watch]struct{}
	down    bool
}

// held is a record under its lease.
type held struct {
	record driver.Record
	lease  *time.Timer
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{records: make(map[driver.Key]*held), watches: make(map[*watch]struct{})}
}

// Connect returns a registry at the store. nil is fine for opts.
func (s *Store) Connect(opts *Options) *discovery.Registry {
	var o *discovery.Options
	if opts != nil {
		o = &opts.Discovery
	}
	return discovery.New(s.Driver(opts), o)
}

// Driver returns a connection to the store for those who speak to drivers:
// the conformance suite, and services in front of a registry. nil is fine for
// opts.
func (s *Store) Driver(opts *Options) driver.Driver {
	c := &conn{store: s}
	if opts != nil {
		c.authorise = opts.Authorise
	}
	return c
}

// SetDown takes the store down, or up again: while it is down every call fails
// with ErrDown and watches break, and leases go on to end.
func (s *Store) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
	if down {
		s.breakWatches()
	}
}

// BreakWatches ends every watch, as a lost connection would.
func (s *Store) BreakWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breakWatches()
}

func (s *Store) breakWatches() {
	for w := range s.watches {
		w.end()
	}
}

// Wipe makes the store forget every record without telling anybody, and breaks
// the watches, like a server that restarts without its files.
func (s *Store) Wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, h := range s.records {
		h.lease.Stop()
		delete(s.records, key)
	}
	s.breakWatches()
}

// change is one thing that a watch hands on.
type change struct {
	key    driver.Key
	record *driver.Record // nil: deleted
}

// watch is one running Watch; the store's mutex guards it.
type watch struct {
	service string
	queue   []change
	wake    chan struct{} // holds one
	over    bool
}

func (w *watch) push(c change) {
	if w.service == "" || w.service == c.key.Service {
		w.queue = append(w.queue, c)
		w.signal()
	}
}

func (w *watch) end() {
	w.over = true
	w.signal()
}

func (w *watch) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// tell hands a change to every watch; the mutex is held.
func (s *Store) tell(c change) {
	for w := range s.watches {
		w.push(c)
	}
}

// lease (re)starts a record's lease; the mutex is held.
func (s *Store) lease(h *held) {
	if h.lease != nil {
		h.lease.Stop()
	}
	var timer *time.Timer
	timer = time.AfterFunc(h.record.TTL, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.records[h.record.Key] == h && h.lease == timer {
			delete(s.records, h.record.Key)
			s.tell(change{key: h.record.Key})
		}
	})
	h.lease = timer
}

// snapshot returns the records of a service; the mutex is held.
func (s *Store) snapshot(service string) []driver.Record {
	var all []driver.Record
	for key, h := range s.records {
		if service == "" || key.Service == service {
			all = append(all, h.record)
		}
	}
	return all
}

// use takes the mutex, unless the store is down or ctx has ended.
func (s *Store) use(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.down {
		s.mu.Unlock()
		return ErrDown
	}
	return nil
}
