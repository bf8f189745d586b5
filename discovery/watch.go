package discovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/discovery/driver"
)

// A View is what a watcher knows at a moment. Its slices are shared and never
// changed.
type View struct {
	// Service is what is watched; empty is all services.
	Service string
	// Instances are sorted by service and ID. Those that a checker removed are
	// left out.
	Instances []Instance
	// Live says that changes arrive. When it is false Instances are the last
	// that were known.
	Live bool
	// FromDisk says that they were known to an earlier process, and that the
	// store hasn't been reached since this one began (Options.LastKnown).
	FromDisk bool
	// AsOf is the last time that nothing was missing.
	AsOf time.Time
	// Err says why the view isn't live.
	Err error
}

// Staleness is how old the view is: how long ago it was known to be complete,
// or zero while it is live.
func (v *View) Staleness() time.Duration {
	if v.Live {
		return 0
	}
	return time.Since(v.AsOf)
}

// Watch calls f with the service's view (of all services if service is empty),
// first as soon as there is one, and then after every change of the instances
// or of View.Live. It blocks until ctx ends, and then returns ctx's error, or
// until Shutdown. f is called by one goroutine at a time and should return soon.
//
// When the store can't be reached, or a watch breaks off, the last view is kept
// and the store asked again with backoff. There is no view before the store has
// been reached for the first time, unless Options.LastKnown has one.
func (r *Registry) Watch(ctx context.Context, service string, f func(View)) error {
	if f == nil {
		return errors.New("discovery: watch: the function that is told is nil")
	}
	return r.watch(ctx, service, newFeed(r, service, f))
}

func (r *Registry) watch(ctx context.Context, service string, f *feed) error {
	if service != "" && !ValidService(service) {
		return fmt.Errorf("discovery: watch: %w: %q is no service's name", ErrInvalidInstance, service)
	}
	inner, leave, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	defer f.close()
	if r.opts.LastKnown != "" {
		var work sync.WaitGroup
		copying, stop := context.WithCancel(inner)
		work.Go(func() { f.keepCopy(copying) })
		defer work.Wait()
		defer stop()
	}
	for failures := 0; ; failures++ {
		began := time.Now()
		err := r.driver.Watch(inner, service, f)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case inner.Err() != nil:
			return ErrClosed
		case err == nil:
			err = driver.ErrLost
		}
		f.lost(err)
		r.log.Warn("discovery watch lost", "service", service, "error", err)
		if time.Since(began) > r.opts.Backoff.Max {
			failures = 0 // it worked for a while
		}
		if wait(inner, r.opts.Backoff.delay(failures)) != nil {
			continue // the switch says why
		}
	}
}

// feed turns a driver's records into views.
type feed struct {
	registry *Registry
	notify   func(View) // may be nil

	latest atomic.Pointer[View] // a copy of view that can be read from notify

	mu        sync.Mutex
	view      View
	known     bool // there was a Reset
	instances map[driver.Key]*entry
	marks     map[driver.Key]*marked // by the instance's key
	grace     *time.Timer
	proofs    *time.Timer // when the first proof ends
	closed    bool

	dirty     chan struct{} // what is known has changed
	unreached chan struct{} // the store couldn't be asked
}

// entry is an instance with the record that it was read from.
type entry struct {
	value       []byte
	instance    *Instance // nil if the record is invalid
	until       time.Time // when its proof ends; zero if that isn't asked
	unconfirmed bool      // known before a loss, not seen since
}

// marked is a checker's mark with the record that it was read from.
type marked struct {
	mark
	value []byte
	until time.Time
}

func newFeed(r *Registry, service string, notify func(View)) *feed {
	f := &feed{
		registry: r, notify: notify, view: View{Service: service},
		instances: make(map[driver.Key]*entry), marks: make(map[driver.Key]*marked),
		dirty: make(chan struct{}, 1), unreached: make(chan struct{}, 1),
	}
	f.remember()
	return f
}

func (f *feed) remember() {
	v := f.view
	f.latest.Store(&v)
}

// Reset implements [driver.Sink].
func (f *feed) Reset(records []driver.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.instances
	f.instances, f.marks = make(map[driver.Key]*entry, len(records)), make(map[driver.Key]*marked)
	now := time.Now()
	for _, rec := range records {
		if e := old[rec.Key]; e != nil && bytes.Equal(e.value, rec.Value) && !ended(e.until, now) {
			e.unconfirmed = false
			f.instances[rec.Key] = e
			continue
		}
		f.take(rec, false)
	}
	if f.known && f.registry.opts.Grace > 0 {
		f.keep(old)
	}
	f.known = true
	f.publish()
}

// keep lets instances that a store forgot while it couldn't be watched stay for
// a while: they may only not have had the time to register again.
func (f *feed) keep(old map[driver.Key]*entry) {
	kept := false
	for key, e := range old {
		if f.instances[key] == nil && e.instance != nil {
			e.unconfirmed, kept = true, true
			f.instances[key] = e
		}
	}
	if kept && f.grace == nil {
		f.grace = time.AfterFunc(f.registry.opts.Grace, f.expire)
	}
}

// expire gives up those that didn't register again.
func (f *feed) expire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.grace == nil {
		return // closed meanwhile
	}
	f.grace = nil
	if !f.view.Live {
		f.grace = time.AfterFunc(f.registry.opts.Grace, f.expire)
		return // nobody could register
	}
	changed := false
	for key, e := range f.instances {
		if e.unconfirmed {
			delete(f.instances, key)
			changed = true
		}
	}
	if changed {
		f.publish()
	}
}

// Put implements [driver.Sink].
func (f *feed) Put(rec driver.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.take(rec, false) {
		f.publish()
	} else {
		f.view.AsOf = time.Now()
	}
}

// take notes a record and reports whether it says anything new. What was known
// before may have a proof that has ended since.
func (f *feed) take(rec driver.Record, before bool) bool {
	switch rec.Key.Kind {
	case driver.Instances:
		e := f.instances[rec.Key]
		if e != nil && bytes.Equal(e.value, rec.Value) {
			e.unconfirmed = false
			return false
		}
		i, until, err := f.registry.instance(rec, before)
		if err != nil {
			f.registry.invalid(rec.Key, err)
			i = nil
		}
		f.instances[rec.Key] = &entry{value: rec.Value, instance: i, until: until}
		if e != nil && e.instance != nil && i != nil && !e.unconfirmed && e.instance.Equal(i) {
			signal(f.dirty) // the same, with a new proof
			return false
		}
		return true
	case driver.Marks:
		m := marked{value: rec.Value}
		var err error
		if m.until, err = f.registry.decode(rec, &m.mark, before); err != nil {
			f.registry.invalid(rec.Key, err)
			return false
		}
		key := rec.Key
		key.Kind = driver.Instances
		old := f.marks[key]
		f.marks[key] = &m
		return old == nil || old.Removed != m.Removed || old.Reason != m.Reason
	default:
		return false // of a later release
	}
}

// Delete implements [driver.Sink].
func (f *feed) Delete(key driver.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.view.AsOf = time.Now()
	switch key.Kind {
	case driver.Instances:
		if _, ok := f.instances[key]; !ok {
			return
		}
		delete(f.instances, key)
	case driver.Marks:
		key.Kind = driver.Instances
		if _, ok := f.marks[key]; !ok {
			return
		}
		delete(f.marks, key)
	}
	f.publish()
}

// Current implements [driver.Sink].
func (f *feed) Current() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.view.AsOf = time.Now()
}

// lost notes that changes may pass unseen from now on.
func (f *feed) lost(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	signal(f.unreached)
	if !f.known || !f.view.Live {
		f.view.Err = err
		f.remember()
		return
	}
	f.view.Live, f.view.Err = false, err
	f.tell()
}

// publish makes a new view and hands it on.
func (f *feed) publish() {
	f.watchProofs()
	f.view.Instances, f.view.Live, f.view.FromDisk, f.view.AsOf, f.view.Err = f.shown(), true, false, time.Now(), nil
	signal(f.dirty)
	f.tell()
}

// shown returns what a view of now shows.
func (f *feed) shown() []Instance {
	all := make([]Instance, 0, len(f.instances))
	for key, e := range f.instances {
		m := f.marks[key]
		if e.instance == nil || m != nil && m.Removed {
			continue
		}
		i := *e.instance
		if m != nil && i.Health == Serving {
			i.Health, i.Reason = Failing, m.Reason
		}
		all = append(all, i)
	}
	sortInstances(all)
	return all
}

func (f *feed) tell() {
	f.remember()
	if f.notify != nil {
		f.notify(f.view)
	}
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.grace != nil {
		f.grace.Stop()
		f.grace = nil
	}
	if f.proofs != nil {
		f.proofs.Stop()
		f.proofs = nil
	}
}
