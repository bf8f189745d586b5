package bus

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// window is a number of places. It is a counter and not a channel because every
// event that is published takes a place and gives it back.
type window struct {
	free    atomic.Int64
	waiting atomic.Int64 // more than zero: those who come later wait too

	mu    sync.Mutex
	queue []chan struct{} // who waits, the first first
}

func newWindow(n int) *window {
	w := new(window)
	w.free.Store(int64(n))
	return w
}

// take waits for a place, never past ctx, and takes up to n. It returns how many.
func (w *window) take(ctx context.Context, n int) int {
	if ctx.Err() != nil {
		return 0
	}
	if w.waiting.Load() == 0 {
		if got := w.grab(n); got > 0 {
			return got
		}
	}
	w.mu.Lock()
	// Counted in before the last look, and give looks at the count after it has
	// freed a place: so one of the two sees the other.
	w.waiting.Add(1)
	if len(w.queue) == 0 {
		if got := w.grab(n); got > 0 {
			w.waiting.Add(-1)
			w.mu.Unlock()
			return got
		}
	}
	mine := make(chan struct{}, 1)
	w.queue = append(w.queue, mine)
	w.mu.Unlock()
	select {
	case <-mine:
		if w.waiting.Load() > 0 {
			return 1
		}
		return 1 + w.grab(n-1)
	case <-ctx.Done():
	}
	w.mu.Lock()
	i := slices.Index(w.queue, mine)
	if i >= 0 {
		w.queue = slices.Delete(w.queue, i, i+1)
		w.waiting.Add(-1)
	}
	w.mu.Unlock()
	if i < 0 {
		w.give() // it was given a place at the same moment
	}
	return 0
}

// grab takes up to n of what is free.
func (w *window) grab(n int) int {
	for {
		free := w.free.Load()
		got := min(free, int64(n))
		if got <= 0 {
			return 0
		}
		if w.free.CompareAndSwap(free, free-got) {
			return int(got)
		}
	}
}

// give frees a place.
func (w *window) give() {
	w.free.Add(1)
	if w.waiting.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) > 0 && w.grab(1) == 1 {
		w.queue[0] <- struct{}{}
		w.queue = slices.Delete(w.queue, 0, 1)
		w.waiting.Add(-1)
	}
}
