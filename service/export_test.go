package service

import "time"

// SetNow gives the store another clock.
func (m *MemoryIdempotency) SetNow(now func() time.Time) { m.now = now }
