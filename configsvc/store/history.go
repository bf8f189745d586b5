package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/driver"
)

// Query chooses commits.
type Query struct {
	// Prefix is a key: only commits are found that change it or a key below it.
	// Default: all.
	Prefix string
	// Before leaves out revisions that aren't below it. Default 0, none.
	Before int64
	// Limit bounds how many there are. Default 20, at most 200.
	Limit int
}

// History returns commits, the newest first, with what they changed.
func (s *Store) History(ctx context.Context, q Query) ([]*Commit, error) {
	if q.Prefix != "" {
		if err := configsvc.CheckKey(q.Prefix); err != nil {
			return nil, err
		}
	}
	if q.Limit <= 0 {
		q.Limit = 20
	}
	log, err := s.driver.Log(ctx, driver.Query{Prefix: q.Prefix, Before: q.Before, Limit: min(q.Limit, 200)})
	if err != nil {
		return nil, fmt.Errorf("store: history of %q: %w", q.Prefix, err)
	}
	commits := make([]*Commit, len(log))
	for i, c := range log {
		if commits[i], err = s.told(ctx, c); err != nil {
			return nil, err
		}
	}
	return commits, nil
}

// Revision returns one commit. The error wraps fs.ErrNotExist where there is
// none.
func (s *Store) Revision(ctx context.Context, revision int64) (*Commit, error) {
	if revision > 0 {
		log, err := s.driver.Log(ctx, driver.Query{Before: revision + 1, Limit: 1})
		if err != nil {
			return nil, fmt.Errorf("store: commit %d: %w", revision, err)
		}
		if len(log) == 1 && log[0].Revision == revision {
			return s.told(ctx, log[0])
		}
	}
	return nil, missing(fmt.Sprintf("there is no commit %d", revision))
}

// told returns a commit of the log with what it changed.
func (s *Store) told(ctx context.Context, c driver.Commit) (*Commit, error) {
	keys := make([]string, len(c.Edits))
	for i, e := range c.Edits {
		keys[i] = e.Key
	}
	before := map[string]configsvc.Value{}
	if c.Revision > 1 {
		snap, err := s.driver.Read(ctx, keys, c.Revision-1)
		if err != nil {
			return nil, fmt.Errorf("store: what was there before commit %d: %w", c.Revision, err)
		}
		for _, v := range snap.Versions {
			if before[v.Key], err = configsvc.Parse(v.Value); err != nil {
				return nil, fmt.Errorf("store: version %d of %s, as it is stored: %w", v.Revision, v.Key, err)
			}
		}
	}
	out := &Commit{Revision: c.Revision, Author: c.Author, Message: c.Message, Time: c.Time, Changes: make([]DocumentChange, 0, len(c.Edits))}
	for _, e := range c.Edits {
		var after configsvc.Value
		if e.Value != nil {
			var err error
			if after, err = configsvc.Parse(e.Value); err != nil {
				return nil, fmt.Errorf("store: version %d of %s, as it is stored: %w", c.Revision, e.Key, err)
			}
		}
		out.Changes = append(out.Changes, changeOf(e.Key, before[e.Key], after))
	}
	return out, nil
}

// Diff returns what differs in a key between two revisions; 0 is now.
func (s *Store) Diff(ctx context.Context, key string, from, to int64) ([]configsvc.Change, error) {
	var values [2]configsvc.Value
	for i, at := range []int64{from, to} {
		d, err := s.Get(ctx, key, at)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if d != nil {
			values[i] = d.Value
		}
	}
	return configsvc.Diff(values[0], values[1]), nil
}

// Rollback brings keys back to what they were.
type Rollback struct {
	// Author and Message are those of the commit. Default message: what is done.
	Author, Message string
	// Keys are brought back. Where it is empty those at and below Prefix are, and
	// with neither all but the service's own.
	Keys   []string
	Prefix string
	// To is the revision to go back to. Where it is 0, Moment says when that was.
	To     int64
	Moment time.Time
	// Consumers and Force are those of a [Write].
	Consumers []Consumer
	Force     bool
	// Preview checks and describes, and doesn't write.
	Preview bool
}

// RollBack brings keys back to what they were, by one new commit: what was made
// since is deleted, what was deleted is back. It is checked as a write is, by the
// schemas of today. Where there is nothing to do the result has no commit.
func (s *Store) RollBack(ctx context.Context, r Rollback) (*Preview, error) {
	to := r.To
	if to <= 0 {
		if r.Moment.IsZero() {
			return nil, &InvalidError{Problems: []Problem{{Detail: "a rollback names a revision above 0 or a moment to go back to"}}}
		}
		var err error
		if to, err = s.Moment(ctx, r.Moment); err != nil {
			return nil, err
		}
	}
	if r.Message == "" {
		r.Message = fmt.Sprintf("roll back to revision %d", to)
	}
	p, err := s.planRollback(ctx, r, to)
	if err != nil {
		return nil, err
	}
	if len(p.edits) == 0 {
		return &Preview{Effects: []Effect{}}, nil
	}
	if err := s.check(ctx, p, r.Consumers, r.Force || r.Preview); err != nil {
		return nil, err
	}
	if err := s.checkRollouts(ctx, p); err != nil {
		return nil, err
	}
	preview, err := s.preview(ctx, p, r.Consumers)
	if err != nil || r.Preview {
		return preview, err
	}
	preview.Commit, err = s.commit(ctx, p)
	return preview, err
}

// planRollback finds what differs between then and now.
func (s *Store) planRollback(ctx context.Context, r Rollback, to int64) (*plan, error) {
	for _, key := range r.Keys {
		if err := configsvc.CheckKey(key); err != nil {
			return nil, err
		}
	}
	view := func(at int64) (driver.Snapshot, error) {
		if len(r.Keys) > 0 {
			return s.driver.Read(ctx, r.Keys, at)
		}
		return s.all(ctx, r.Prefix, at)
	}
	now, err := view(driver.Latest)
	if err != nil {
		return nil, fmt.Errorf("store: roll back: %w", err)
	}
	var then driver.Snapshot // revision 0 is empty
	if to > 0 {
		if then, err = view(to); err != nil {
			return nil, fmt.Errorf("store: roll back: %w", err)
		}
	}
	p := &plan{author: r.Author, message: r.Message}
	for _, v := range now.Versions {
		value, err := s.parse(v)
		if err != nil {
			return nil, err
		}
		p.edits = append(p.edits, &planned{key: v.Key, before: value, version: v.Revision, expect: v.Revision})
	}
	for _, v := range then.Versions {
		value, err := configsvc.Parse(v.Value)
		if err != nil {
			return nil, fmt.Errorf("store: version %d of %s, as it is stored: %w", v.Revision, v.Key, err)
		}
		e := p.edit(v.Key)
		if e == nil {
			e = &planned{key: v.Key, expect: driver.Absent}
			p.edits = append(p.edits, e)
		}
		e.after = value
	}
	edits := p.edits[:0]
	for _, e := range p.edits {
		own := configsvc.Reserved(e.key) && (!strings.HasPrefix(e.key, schemas) || r.Prefix == "" && len(r.Keys) == 0)
		if !own && !e.before.Equal(e.after) {
			edits = append(edits, e)
		}
	}
	p.edits = edits
	if r.Author == "" {
		p.found.add("", "", "a rollback has an author")
	}
	return p, p.found.err()
}
