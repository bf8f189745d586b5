package rabbitbus

import (
	"context"
	"sync"
	"time"
)

const (
	// settling is between two looks at how many messages a quorum queue has: what
	// is given back to it goes through the queue's log before it is counted.
	settling = 50 * time.Millisecond
	// landing is after how long what was given back must be counted, whatever the
	// broker has to do besides.
	landing = 5 * time.Second
)

// held knows what members of this process hold, and what they gave back last when
// they left, by queue.
type held struct {
	mu   sync.Mutex
	by   map[string]map[*member]struct{}
	back map[string]given
}

type given struct {
	n  int
	at time.Time
}

func (h *held) join(m *member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by == nil {
		h.by = make(map[string]map[*member]struct{})
	}
	if h.by[m.queue] == nil {
		h.by[m.queue] = make(map[*member]struct{})
	}
	h.by[m.queue][m] = struct{}{}
}

// leave notes that a member has gone, and how many messages with it to the queue.
func (h *held) leave(m *member, back int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.by[m.queue], m)
	h.gave(m.queue, back)
}

// gave notes what was given back; h.mu is held.
func (h *held) gave(queue string, n int) {
	if n == 0 {
		delete(h.back, queue)
		return
	}
	if h.back == nil {
		h.back = make(map[string]given)
	}
	h.back[queue] = given{n, time.Now()}
}

func (h *held) count(queue string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for m := range h.by[queue] {
		m.mu.Lock()
		if s := m.session; s != nil {
			n += s.unsettled()
		}
		m.mu.Unlock()
	}
	return n
}

// missing reports whether n is less than what was given back just before.
func (h *held) missing(queue string, n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	g, ok := h.back[queue]
	if ok && (n >= g.n || time.Since(g.at) > landing) {
		delete(h.back, queue)
		ok = false
	}
	return ok
}

// settled asks for a queue's length until it has been the same twice and has in it
// what this process gave back just before, unless somebody else may have taken that.
func (h *held) settled(ctx context.Context, queue string, ask func() (n, consumers int, err error)) (int, error) {
	const most = 5 // a busy queue never settles
	last := -1
	for looks := 1; ; looks++ {
		n, consumers, err := ask()
		if err != nil {
			return 0, err
		}
		// Right after a member left the broker may count it among the consumers still.
		missing := h.missing(queue, n) && (consumers == 0 || looks < most)
		if !missing && (n == last || looks >= most) {
			return n, nil
		}
		last = n
		timer := time.NewTimer(settling)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return n, nil // the best that is known
		}
	}
}
