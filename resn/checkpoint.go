package resn

import (
	"context"
	"sync"
)

// Checkpoint is where a [Consumer] keeps how far it is, so that the next process
// goes on from there instead of filling again. Package projection has one in SQL.
// Its methods may be called at once; those of several processes too, when a group
// has members that stand by.
type Checkpoint interface {
	// Load returns what was saved last; the zero Position if nothing was.
	Load(ctx context.Context) (Position, error)

	// SaveNumbers replaces the numbers of the Position. The epoch may be another
	// one than before.
	SaveNumbers(ctx context.Context, n Numbers) error

	// SaveWalk replaces the walk of the Position, unless a walk with a higher
	// number is there, or the same one is there and done: a process that hung must
	// not undo what another has begun or ended since.
	SaveWalk(ctx context.Context, w Walk) error
}

// Position is how far a consumer is.
type Position struct {
	Numbers Numbers
	Walk    Walk
}

// Numbers says which notices of an epoch were handled.
type Numbers struct {
	Epoch string `json:"epoch,omitempty"` // empty: none is known
	Low   uint64 `json:"low,omitempty"`   // every notice up to this one was handled
	Above []Span `json:"above,omitempty"` // and these, in order
}

// Span is a run of numbers, both ends included.
type Span struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// Walk is a walk through a collection. The first is the first fill, every other
// one makes up for notices that may have been missed.
type Walk struct {
	Number    uint64 `json:"number"`              // from 1; 0 before the first
	Next      string `json:"next,omitempty"`      // the page to go on with; empty for the first
	Disturbed bool   `json:"disturbed,omitempty"` // something was deleted meanwhile: pages may have shifted
	Done      bool   `json:"done,omitempty"`
}

// Before reports whether w gives way to other, as [Checkpoint.SaveWalk] wants it.
func (w Walk) Before(other Walk) bool {
	return w.Number < other.Number || w.Number == other.Number && !w.Done
}

// memoryCheckpoint lives as long as its consumer.
type memoryCheckpoint struct {
	mu  sync.Mutex
	pos Position
}

func (m *memoryCheckpoint) Load(context.Context) (Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pos, nil
}

func (m *memoryCheckpoint) SaveNumbers(_ context.Context, n Numbers) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pos.Numbers = n
	return nil
}

func (m *memoryCheckpoint) SaveWalk(_ context.Context, w Walk) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pos.Walk.Before(w) {
		m.pos.Walk = w
	}
	return nil
}
