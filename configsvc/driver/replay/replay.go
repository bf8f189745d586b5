// Package replay holds a log of commits in memory and answers a driver's
// questions from it. It is for drivers whose store is only a log: they apply
// every commit in order and pass reads on.
package replay

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goswale/swale/configsvc/driver"
)

// Log is a log in memory. The zero Log is empty. It is safe for concurrent use.
type Log struct {
	mu      sync.RWMutex
	commits []driver.Commit             // commits[i] has revision i+1
	keys    []string                    // all that ever were, in order
	history map[string][]driver.Version // a nil Value is a deletion
}

// ErrOrder is wrapped by the error of Apply for a commit that doesn't follow.
var ErrOrder = errors.New("the commit doesn't follow the last one")

// Next returns the commit as it would be appended: with the next revision and
// its time, if its expectations hold. Only when nothing is applied in between
// does it stay true.
func (l *Log) Next(c driver.Commit) (driver.Commit, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.next(c)
}

func (l *Log) next(c driver.Commit) (driver.Commit, error) {
	c.Edits = slices.Clone(c.Edits)
	for i := range c.Edits {
		e := &c.Edits[i]
		var has int64
		if v, ok := at(l.history[e.Key], int64(len(l.commits))); ok {
			has = v.Revision
		}
		if e.Expect != driver.Any && e.Expect != has {
			return c, &driver.ConflictError{Key: e.Key, Expected: e.Expect, Revision: has}
		}
		e.Expect = 0
	}
	c.Revision = int64(len(l.commits)) + 1
	c.Time = c.Time.UTC().Truncate(time.Millisecond)
	if n := len(l.commits); n > 0 && c.Time.Before(l.commits[n-1].Time) {
		c.Time = l.commits[n-1].Time
	}
	return c, nil
}

// Apply appends a commit that Next has returned.
func (l *Log) Apply(c driver.Commit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.apply(c)
}

func (l *Log) apply(c driver.Commit) error {
	if c.Revision != int64(len(l.commits))+1 {
		return fmt.Errorf("%w: it is number %d, the last one was %d", ErrOrder, c.Revision, len(l.commits))
	}
	if l.history == nil {
		l.history = map[string][]driver.Version{}
	}
	l.commits = append(l.commits, c)
	for _, e := range c.Edits {
		if i, known := slices.BinarySearch(l.keys, e.Key); !known {
			l.keys = slices.Insert(l.keys, i, e.Key)
		}
		l.history[e.Key] = append(l.history[e.Key], driver.Version{
			Key: e.Key, Revision: c.Revision, Value: e.Value, Author: c.Author, Message: c.Message, Time: c.Time,
		})
	}
	return nil
}

// Commit is Next and Apply in one step.
func (l *Log) Commit(c driver.Commit) (driver.Commit, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.next(c)
	if err != nil {
		return c, err
	}
	return c, l.apply(c)
}

// Revision returns the latest revision.
func (l *Log) Revision() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return int64(len(l.commits))
}

// at returns the version of a key at a revision, unless it was absent then.
func at(history []driver.Version, revision int64) (driver.Version, bool) {
	i, found := slices.BinarySearchFunc(history, revision, func(v driver.Version, r int64) int {
		return int(v.Revision - r)
	})
	if !found {
		i--
	}
	if i < 0 || history[i].Value == nil {
		return driver.Version{}, false
	}
	return history[i], true
}

// snapshot returns an empty snapshot of a revision.
func (l *Log) snapshot(revision int64) (driver.Snapshot, error) {
	last := int64(len(l.commits))
	if revision == driver.Latest {
		revision = last
	}
	if revision < 0 || revision > last {
		return driver.Snapshot{}, fmt.Errorf("%w: %d; the latest is %d", driver.ErrRevision, revision, last)
	}
	s := driver.Snapshot{Revision: revision}
	if revision > 0 {
		s.Time = l.commits[revision-1].Time
	}
	return s, nil
}

// Read is driver.Driver's.
func (l *Log) Read(keys []string, revision int64) (driver.Snapshot, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s, err := l.snapshot(revision)
	if err != nil {
		return s, err
	}
	for _, key := range slices.Compact(slices.Sorted(slices.Values(keys))) {
		if v, ok := at(l.history[key], s.Revision); ok {
			s.Versions = append(s.Versions, v)
		}
	}
	return s, nil
}

// List is driver.Driver's.
func (l *Log) List(q driver.Listing) (driver.Snapshot, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s, err := l.snapshot(q.At)
	if err != nil {
		return s, err
	}
	from, _ := slices.BinarySearch(l.keys, max(q.Prefix, q.After))
	for _, key := range l.keys[from:] {
		if len(s.Versions) == q.Limit || !strings.HasPrefix(key, q.Prefix) {
			break
		}
		if v, ok := at(l.history[key], s.Revision); ok && under(q.Prefix, key) && key > q.After {
			s.Versions = append(s.Versions, v)
		}
	}
	return s, nil
}

func under(prefix, key string) bool {
	return prefix == "" || key == prefix || strings.HasPrefix(key, prefix) && key[len(prefix)] == '/'
}

// Log is driver.Driver's.
func (l *Log) Log(q driver.Query) ([]driver.Commit, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	last := int64(len(l.commits))
	if q.Before > 0 {
		last = min(last, q.Before-1)
	}
	var found []driver.Commit
	for i := last; i > 0 && len(found) < q.Limit; i-- {
		c := l.commits[i-1]
		if slices.ContainsFunc(c.Edits, func(e driver.Edit) bool { return under(q.Prefix, e.Key) }) {
			found = append(found, c)
		}
	}
	return found, nil
}

// Moment is driver.Driver's.
func (l *Log) Moment(t time.Time) (int64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	i, _ := slices.BinarySearchFunc(l.commits, t, func(c driver.Commit, t time.Time) int {
		if c.Time.After(t) {
			return 1
		}
		return -1
	})
	return int64(i), nil
}
