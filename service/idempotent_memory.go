package service

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// MemoryIdempotency is an IdempotencyStore inside one process: for tests, and for
// services of one instance that may forget with a restart.
type MemoryIdempotency struct {
	most int

	mu     sync.Mutex
	claims map[string]*claim
	swept  time.Time
}

type claim struct {
	fingerprint [sha256.Size]byte
	answer      *Answer // nil while the request is under way
	until       time.Time
}

// ErrFull is returned by a MemoryIdempotency that holds as much as it may.
var ErrFull = errors.New("service: too many idempotency keys at once")

// NewMemoryIdempotency returns a store of at most that many keys, 100,000 if most
// isn't positive. It forgets none before its time: it refuses new ones.
func NewMemoryIdempotency(most int) *MemoryIdempotency {
	if most <= 0 {
		most = 100_000
	}
	return &MemoryIdempotency{most: most, claims: make(map[string]*claim)}
}

// Begin implements [IdempotencyStore].
func (m *MemoryIdempotency) Begin(_ context.Context, key string, fingerprint [sha256.Size]byte, lease time.Duration) (*Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if c := m.claims[key]; c != nil && now.Before(c.until) {
		switch {
		case c.fingerprint != fingerprint:
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
	m.claims[key] = &claim{fingerprint: fingerprint, until: now.Add(lease)}
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
func (m *MemoryIdempotency) Finish(_ context.Context, key string, a Answer, keep time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.claims[key]; c != nil && c.answer == nil {
		c.answer, c.until = &a, time.Now().Add(keep)
	}
	return nil
}

// Drop implements [IdempotencyStore].
func (m *MemoryIdempotency) Drop(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.claims[key]; c != nil && c.answer == nil {
		delete(m.claims, key)
	}
	return nil
}
