package rabbitbus

import (
	"errors"
	"sync"

	"github.com/goswale/swale/bus/driver"
)

// buffer holds a broadcast's messages and states for its sink, in order. Lost
// overtakes the messages, which continue the order without a gap; Resumed doesn't.
type buffer struct {
	most, mostBytes int

	mu     sync.Mutex
	items  []driver.Message
	head   int
	bytes  int
	lost   error // Lost is to be said before anything else
	down   bool  // Lost was said or is to be said, and Resumed not
	hole   int   // Resumed, with a hole unless whole, comes before this item; -1 is none
	whole  bool
	ready  chan struct{} // there may be something to take
	taken  chan struct{} // there may be room
	closed bool
}

func newBuffer(most, mostBytes int) *buffer {
	return &buffer{most: most, mostBytes: mostBytes, hole: -1, ready: make(chan struct{}, 1), taken: make(chan struct{}, 1)}
}

var errOverrun = errors.New("the handler is slower than the topic: its buffer overran")

func (b *buffer) poke() { signal(b.ready) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// fits reports whether there is room; mu is held.
func (b *buffer) fits(m *driver.Message) bool {
	return len(b.items)-b.head < b.most && (b.bytes+m.Size() <= b.mostBytes || len(b.items) == b.head)
}

// await waits until there is room or the buffer is closed. One goroutine puts.
func (b *buffer) await(m *driver.Message) {
	for {
		b.mu.Lock()
		ok := b.closed || b.fits(m)
		b.mu.Unlock()
		if ok {
			return
		}
		<-b.taken
	}
}

// put adds a message. When there is no room everything that waits is dropped,
// and the sink hears of it.
func (b *buffer) put(m driver.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.fits(&m) {
		b.items, b.head, b.bytes = nil, 0, 0
		if !b.down {
			b.down, b.lost = true, errOverrun
		}
		b.hole, b.whole = 0, false
	}
	b.items = append(b.items, m)
	b.bytes += m.Size()
	b.poke()
}

// lose notes that messages may be passing unseen.
func (b *buffer) lose(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hole >= 0 && b.whole {
		b.hole = -1
	}
	if b.hole >= 0 {
		// What came after a gap that wasn't told yet must not be handed over now.
		for i := b.hole; i < len(b.items); i++ {
			b.bytes -= b.items[i].Size()
			b.items[i] = driver.Message{}
		}
		b.items, b.hole = b.items[:b.hole], -1
	}
	if !b.down {
		b.down, b.lost = true, why
	}
	b.poke()
}

// resume notes that messages are seen again, and whether none was missed.
func (b *buffer) resume(whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down && b.hole < 0 {
		b.hole, b.whole = len(b.items), whole
	}
	b.poke()
}

// step is what the sink is to hear next.
type step struct {
	state driver.State // 0 is a message
	why   error
	m     driver.Message
}

// next takes the next step, if there is one.
func (b *buffer) next() (step, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return step{}, false
	case b.lost != nil:
		why := b.lost
		b.lost = nil
		return step{state: driver.Lost, why: why}, true
	case b.hole == b.head:
		b.hole, b.down = -1, false
		if b.whole {
			return step{state: driver.Resumed}, true
		}
		return step{state: driver.ResumedWithHole}, true
	case b.head < len(b.items):
		m := b.items[b.head]
		b.items[b.head] = driver.Message{}
		b.head++
		b.bytes -= m.Size()
		b.compact()
		signal(b.taken)
		return step{m: m}, true
	}
	return step{}, false
}

// compact drops the part that was taken; mu is held.
func (b *buffer) compact() {
	if b.head < len(b.items) && (b.head < 1024 || b.head*2 < len(b.items)) {
		return
	}
	if b.hole >= 0 {
		b.hole -= b.head
	}
	n := copy(b.items, b.items[b.head:])
	clear(b.items[n:])
	b.items, b.head = b.items[:n], 0
}

func (b *buffer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.poke()
	signal(b.taken)
}
