package service

import (
	"context"
	"errors"
	"sync"
	"time"
)

// MemoryIdempotency is an IdempotencyStore inside one process: for tests, and for
// services of one instance that may forget with a restart.
type MemoryIdempotency struct {
	most int
	now  func() time.Time

	mu     sync.Mutex
	claims map[string]*claim
	swept  time.Time
}

type claim struct {
	Claim
	answer *Answer // nil while the request is under way
	until  time.Time
}

// ErrFull is returned by a MemoryIdempotency that holds as much as it may.
var ErrFull = errors.New("service: too many idempotency keys at once")

// NewMemoryIdempotency returns a store of at most that many keys, 100,000 if most
// isn't positive. It forgets none before its time: it refuses new ones.
func NewMemoryIdempotency(most int) *MemoryIdempotency {
	if most <= 0 {
		most = 100_000
	}
	return &MemoryIdempotency{most: most, now: time.Now, claims: make(map[string]*claim)}
}

// Begin implements [IdempotencyStore].
func (m *MemoryIdempotency) Begin(_ context.Context, by Claim, lease time.Duration) (*Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if c := m.claims[by.Key]; c != nil && now.Before(c.until) {
		switch {
		case c.Fingerprint != by.Fingerprint:
			return nil, ErrMismatch
		case c.answer == nil:
			return nil, ErrInProgress
		}
		return c.answer, nil
	}
	if len(m.claims) >= m.most {
		m.sweep(now)
		if len(m.claims) >= m.most {
			return nil, ErrFull
		}
	}
	m.claims[by.Key] = &claim{Claim: by, until: now.Add(lease)}
	return nil, nil //nolint:nilnil // the contract's word for "it is yours"
}

// sweep forgets what is over, once a second at the most: a full store is asked by
// everybody.
func (m *MemoryIdempotency) sweep(now time.Time) {
	if now.Sub(m.swept) < time.Second {
		return
	}
	m.swept = now
	for k, c := range m.claims {
		if !now.Before(c.until) {
			delete(m.claims, k)
		}
	}
}

// Finish implements [IdempotencyStore].
func (m *MemoryIdempotency) Finish(_ context.Context, by Claim, a Answer, keep time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.claims[by.Key]; c != nil && c.answer == nil && c.Token == by.Token {
		c.answer, c.until = &a, m.now().Add(keep)
	}
	return nil
}

// Drop implements [IdempotencyStore].
func (m *MemoryIdempotency) Drop(_ context.Context, by Claim) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.claims[by.Key]; c != nil && c.answer == nil && c.Token == by.Token {
		delete(m.claims, by.Key)
	}
	return nil
}
