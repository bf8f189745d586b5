package cache

import "sync"

// evictor decides which entries stay, by S3-FIFO: a new entry waits in a
// small queue and is dropped at its end unless somebody asked for it again;
// one that was dropped too early is remembered as a ghost and goes to the
// main queue when it comes back. A scan passes through the small queue and
// leaves the main queue alone.
//
// A hit takes no lock here; it only counts a visit in the entry.
type evictor struct {
	mu    sync.Mutex
	max   int64
	bytes int64
	small fifo
	main  fifo
	ghost []uint64 // hashes, each at the place that its own bits give it
}

// The queue that an entry is in.
const (
	queueNone = iota
	queueSmall
	queueMain
	queueGone // left before it arrived
)

// maxVisits is as often as it is worth counting.
const maxVisits = 3

func (q *evictor) init(maxBytes int64) { q.max = maxBytes }

// visit counts a hit.
func (e *entry) visit() {
	if v := e.visits.Load(); v < maxVisits {
		e.visits.Store(v + 1)
	}
}

// insert queues e, which takes the place of those gone, and returns the
// victims that the bound demands, maybe e itself. They are out of the queues;
// the caller takes them out of the table.
func (q *evictor) insert(e *entry, gone []*entry) (victims []*entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	inMain := q.isGhost(e.hash)
	for _, o := range gone {
		inMain = inMain || o.queue == queueMain
		if v := o.visits.Load(); v > e.visits.Load() {
			e.visits.Store(v)
		}
		q.take(o)
	}
	if e.queue == queueGone {
		return nil
	}
	q.bytes += e.cost()
	if inMain {
		q.main.push(e, queueMain)
	} else {
		q.small.push(e, queueSmall)
	}
	return q.shrink()
}

// grow counts n more bytes for e, wherever it is, and returns the victims.
func (q *evictor) grow(e *entry, n int32) (victims []*entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch e.queue {
	case queueSmall:
		q.small.bytes += int64(n)
	case queueMain:
		q.main.bytes += int64(n)
	case queueGone:
		return nil
	default: // on its way in
		e.decoded += n
		return nil
	}
	e.decoded += n
	q.bytes += int64(n)
	return q.shrink()
}

// shrink makes room until the bound holds.
func (q *evictor) shrink() (victims []*entry) {
	for q.bytes > q.max {
		if o := q.evict(); o != nil {
			victims = append(victims, o)
		}
	}
	return victims
}

func (q *evictor) remove(e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.take(e)
}

func (q *evictor) take(e *entry) {
	switch e.queue {
	case queueSmall:
		q.small.remove(e)
	case queueMain:
		q.main.remove(e)
	default:
		e.queue = queueGone
		return
	}
	e.queue = queueGone
	q.bytes -= e.cost()
}

// evict moves one entry on, or returns it if it has to go.
func (q *evictor) evict() *entry {
	if q.main.first == nil || q.small.bytes > q.max/10 {
		e := q.small.first
		q.small.remove(e)
		if e.visits.Load() > 0 {
			e.visits.Store(0)
			q.main.push(e, queueMain)
			return nil
		}
		q.setGhost(e.hash)
		return q.gone(e)
	}
	e := q.main.first
	q.main.remove(e)
	if v := e.visits.Load(); v > 0 {
		e.visits.Store(v - 1)
		q.main.push(e, queueMain)
		return nil
	}
	return q.gone(e)
}

func (q *evictor) gone(e *entry) *entry {
	e.queue = queueGone
	q.bytes -= e.cost()
	return e
}

func (q *evictor) setGhost(hash uint64) {
	if q.ghost == nil {
		n := 256
		for n < 1<<16 && int64(n) < q.max/2048 {
			n *= 2
		}
		q.ghost = make([]uint64, n)
	}
	q.ghost[hash&uint64(len(q.ghost)-1)] = hash
}

func (q *evictor) isGhost(hash uint64) bool {
	return q.ghost != nil && q.ghost[hash&uint64(len(q.ghost)-1)] == hash
}

// size returns the bytes accounted for.
func (q *evictor) size() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// fifo is a queue of entries linked through themselves.
type fifo struct {
	first, last *entry
	bytes       int64
}

func (f *fifo) push(e *entry, queue uint8) {
	e.queue, e.qprev, e.qnext = queue, f.last, nil
	if f.last == nil {
		f.first = e
	} else {
		f.last.qnext = e
	}
	f.last = e
	f.bytes += e.cost()
}

func (f *fifo) remove(e *entry) {
	if e.qprev == nil {
		f.first = e.qnext
	} else {
		e.qprev.qnext = e.qnext
	}
	if e.qnext == nil {
		f.last = e.qprev
	} else {
		e.qnext.qprev = e.qprev
	}
	e.qprev, e.qnext = nil, nil
	f.bytes -= e.cost()
}
