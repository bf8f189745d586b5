// Package memauth is a store for package login in memory, for tests, examples
// and development. What it holds ends with the process.
package memauth

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goswale/swale/auth/driver"
)

// Store keeps records in a map. It is safe for concurrent use.
type Store struct {
	mu      sync.RWMutex
	records map[name]driver.Record
}

type name struct{ kind, id string }

// New returns an empty Store.
func New() *Store { return &Store{records: make(map[name]driver.Record)} }

var _ driver.Store = (*Store)(nil)

// Get implements [driver.Store].
func (s *Store) Get(ctx context.Context, kind, id string, now time.Time) (driver.Record, error) {
	if err := ctx.Err(); err != nil {
		return driver.Record{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.records[name{kind, id}]
	if !ok || expired(&r, now) {
		return driver.Record{}, fmt.Errorf("%w: %s %q", driver.ErrNotFound, kind, id)
	}
	return clone(r), nil
}

// Find implements [driver.Store].
func (s *Store) Find(ctx context.Context, kind, key, after string, limit int, now time.Time) ([]driver.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var found []driver.Record
	for n, r := range s.records {
		if n.kind != kind || n.id <= after || expired(&r, now) || key != "" && r.Unique != key && !slices.Contains(r.Keys, key) {
			continue
		}
		found = append(found, r)
	}
	slices.SortFunc(found, func(a, b driver.Record) int { return strings.Compare(a.ID, b.ID) })
	found = found[:min(len(found), limit)]
	for i := range found {
		found[i] = clone(found[i])
	}
	return found, nil
}

// Write implements [driver.Store].
func (s *Store) Write(ctx context.Context, ops []driver.Op, _ []driver.Announcement, now time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := make(map[name]driver.Record)
	for _, op := range ops {
		n := name{op.Kind, op.ID}
		old, there := s.records[n]
		if _, saved := before[n]; !saved {
			before[n] = old // the zero record stands for none
		}
		if err := s.apply(n, op, old, there && !expired(&old, now), now); err != nil {
			for n, r := range before {
				if r.Version == 0 {
					delete(s.records, n)
				} else {
					s.records[n] = r
				}
			}
			return err
		}
	}
	return nil
}

func (s *Store) apply(n name, op driver.Op, old driver.Record, there bool, now time.Time) error {
	if !there {
		old.Version = 0
	}
	if old.Version != op.Version {
		return fmt.Errorf("%w: %s %q has version %d, not %d", driver.ErrConflict, op.Kind, op.ID, old.Version, op.Version)
	}
	if op.Delete {
		delete(s.records, n)
		return nil
	}
	if op.Unique != "" {
		for other, r := range s.records {
			if other.kind == n.kind && other.id != n.id && r.Unique == op.Unique && !expired(&r, now) {
				return fmt.Errorf("%w: %s %q", driver.ErrExists, op.Kind, op.Unique)
			}
		}
	}
	r := clone(op.Record)
	r.Version++
	s.records[n] = r
	return nil
}

// Sweep implements [driver.Store].
func (s *Store) Sweep(ctx context.Context, limit int, now time.Time) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := 0
	for n, r := range s.records {
		if gone < limit && expired(&r, now) {
			delete(s.records, n)
			gone++
		}
	}
	return gone, nil
}

// Announces implements [driver.Store]: it doesn't.
func (*Store) Announces() bool { return false }

func expired(r *driver.Record, now time.Time) bool {
	return !r.Expires.IsZero() && !now.Before(r.Expires)
}

func clone(r driver.Record) driver.Record {
	r.Keys, r.Data = slices.Clone(r.Keys), bytes.Clone(r.Data)
	if !r.Expires.IsZero() {
		r.Expires = r.Expires.Truncate(time.Millisecond)
	}
	return r
}
