package system

import (
	"math/rand/v2"
	"testing/synctest"
	"time"
)

// Goroutines that run at the same instant are ordered by the Go scheduler, which
// heeds no seed. So a process does what others can notice at instants that are its
// own: within each round it has one for each thing that it shares with others. The
// world acts when all have come to rest, where a round begins.
const (
	round  = time.Microsecond
	breath = 20 * round // how long the world rests: one thing leads to a few others
)

// What a process shares with others, and who shares how much.
const (
	turnDatabase = iota
	turnThings
	turnOrders
	turnClaims
	turnCommit  // of one of several changes that a publisher makes
	turnCommits = 4
	turnsEach   = turnCommit + turnCommits
)

// turnOf returns what a topic's messages wait for.
func turnOf(topic string) int {
	switch topic {
	case things:
		return turnThings
	case orders:
		return turnOrders
	}
	return turnClaims
}

// reserve returns how long it is to the process's next turn. Its mutex is held.
func (p *process) reserve(what int) time.Duration {
	slot := time.Duration(p.id*turnsEach + what)
	if slot >= round {
		panic("a round is too short for so many processes")
	}
	now := time.Since(p.w.began)
	at := now - now%round + slot
	for at <= now || at <= p.reserved[what] {
		at += round
	}
	p.reserved[what] = at
	return at - now
}

// rest lets everybody come to rest.
func (w *world) rest() {
	now := time.Since(w.began)
	<-time.After(breath - now%breath)
	synctest.Wait()
}

// random returns the numbers that a process jitters its waits with. It is for one
// goroutine.
func (p *process) random() func() float64 {
	return rand.New(rand.NewPCG(p.w.seed, 0x6a69_7474_6572<<16|uint64(p.id))).Float64
}
