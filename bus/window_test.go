package bus

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestWindowIsNeverOverfull(t *testing.T) {
	const places = 3
	w := newWindow(places)
	var taken, most atomic.Int64
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 500 {
				n := int64(w.take(t.Context(), 1+i%4))
				now := taken.Add(n)
				for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
				}
				taken.Add(-n)
				for range n {
					w.give()
				}
			}
		})
	}
	group.Wait()
	if most.Load() > places {
		t.Errorf("%d places of %d were taken at once", most.Load(), places)
	}
	if got := w.take(t.Context(), 100); got != places {
		t.Errorf("in the end %d places are free, want %d: one was lost or made up", got, places)
	}
}

func TestWindowGivesInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(1)
		w.take(t.Context(), 1)
		var order []int
		for i := range 3 {
			go func() {
				w.take(t.Context(), 1)
				order = append(order, i)
				w.give()
			}()
			synctest.Wait()
		}
		w.give()
		synctest.Wait()
		if len(order) != 3 || order[0] != 0 || order[1] != 1 || order[2] != 2 {
			t.Errorf("places were given in the order %v: who waits longest comes first", order)
		}
	})
}

func TestWindowForgetsWhoGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow(1)
		w.take(t.Context(), 1)
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan int, 1)
		go func() { got <- w.take(ctx, 1) }()
		synctest.Wait()
		cancel()
		if n := <-got; n != 0 {
			t.Errorf("take returned %d after its context had ended", n)
		}
		go func() { got <- w.take(t.Context(), 1) }()
		synctest.Wait()
		w.give()
		synctest.Wait()
		select {
		case <-got:
		default:
			t.Error("the place went to somebody who had given up")
		}
	})
}
