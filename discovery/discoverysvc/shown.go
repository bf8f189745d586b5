package discoverysvc

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/resn"
)

// shown is what the service shows of one kind of thing, by name. While the topic is
// this replica's it is swapped within the publisher's Change, so that what is shown
// and what is announced change in one step.
type shown[T any] struct {
	topic     string
	publisher *resn.Publisher // nil without a bus
	now       atomic.Pointer[map[string]T]
	mu        sync.Mutex
	changed   chan struct{} // closed at the next change
}

func (s *shown[T]) init(topic string) {
	s.topic, s.changed = topic, make(chan struct{})
	s.now.Store(&map[string]T{})
}

func (s *shown[T]) get(name string) (T, bool) {
	v, ok := (*s.now.Load())[name]
	return v, ok
}

func (s *shown[T]) names() []string { return slices.Sorted(maps.Keys(*s.now.Load())) }

// set shows a thing under a name, or nothing, and announces it while the topic is
// this replica's. A reader who is told by another one is told of what that one
// shows, so that nothing waits here for the topic.
func (s *shown[T]) set(ctx context.Context, href, name string, v T, there bool) error {
	var kind string
	swapped := false
	swap := func(context.Context) (string, string, error) {
		if swapped {
			return kind, "", nil
		}
		swapped = true
		s.mu.Lock()
		defer s.mu.Unlock()
		next := maps.Clone(*s.now.Load())
		_, was := next[name]
		kind = resn.Update
		if !was {
			kind = resn.Create
		}
		if next[name] = v; !there {
			kind = resn.Delete
			delete(next, name)
		}
		s.now.Store(&next)
		close(s.changed)
		s.changed = make(chan struct{})
		return kind, "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if s.announces() {
		if err := s.publisher.Change(ctx, href, swap); swapped {
			return err
		}
	}
	_, _, _ = swap(ctx) // it has no error
	if s.announces() {  // since a moment ago, and somebody may have read before the swap
		return s.publisher.Change(ctx, href, swap)
	}
	return nil
}

// announces reports whether the topic is this replica's now.
func (s *shown[T]) announces() bool {
	if s.publisher == nil {
		return false
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	return s.publisher.Ready(now) == nil
}

// until waits until what is shown under a name satisfies ok.
func (s *shown[T]) until(ctx context.Context, name string, ok func(T, bool) bool) error {
	for {
		s.mu.Lock()
		changed := s.changed
		v, there := s.get(name)
		s.mu.Unlock()
		if ok(v, there) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *shown[T]) close(ctx context.Context) error {
	if s.publisher == nil {
		return nil
	}
	return s.publisher.Close(ctx)
}

// queue hands things from those who must not block to one who may.
type queue[T any] struct {
	mu   sync.Mutex
	all  []T
	wake chan struct{}
}

func newQueue[T any]() *queue[T] { return &queue[T]{wake: make(chan struct{}, 1)} }

func (q *queue[T]) push(v T) {
	q.mu.Lock()
	q.all = append(q.all, v)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue[T]) each(ctx context.Context, f func(T)) {
	for {
		select {
		case <-q.wake:
		case <-ctx.Done():
			return
		}
		q.mu.Lock()
		all := q.all
		q.all = nil
		q.mu.Unlock()
		for _, v := range all {
			f(v)
		}
	}
}

// liveness is the newest view of all instances.
type liveness struct {
	mu    sync.Mutex
	view  discovery.View
	ready chan struct{}
}

func (l *liveness) set(v discovery.View) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.view = v
	if l.ready == nil {
		l.ready = make(chan struct{})
	}
	select {
	case <-l.ready:
	default:
		close(l.ready)
	}
}

func (l *liveness) get() discovery.View {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.view
}

func (l *liveness) wait(ctx context.Context) error {
	l.mu.Lock()
	if l.ready == nil {
		l.ready = make(chan struct{})
	}
	ready := l.ready
	l.mu.Unlock()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
