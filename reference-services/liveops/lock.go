package liveops

import (
	"context"
	"hash/maphash"
)

// locks keep those apart who decide about the same order. Orders share them, which
// costs one a wait at times and never more, since nobody takes two.
type locks struct {
	seed  maphash.Seed
	turns [64]chan struct{} // each holds one value while free
}

func newLocks() *locks {
	l := &locks{seed: maphash.MakeSeed()}
	for i := range l.turns {
		l.turns[i] = make(chan struct{}, 1)
		l.turns[i] <- struct{}{}
	}
	return l
}

// lock waits for its turn, or for the end of ctx.
func (l *locks) lock(ctx context.Context, name string) (unlock func(), err error) {
	turn := l.turns[maphash.String(l.seed, name)%uint64(len(l.turns))]
	select {
	case <-turn:
		return func() { turn <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
