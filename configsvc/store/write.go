package store

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/driver"
)

// Expectations of an [Edit], beside the version that the key must have.
const (
	// Absent expects that the key isn't there.
	Absent = driver.Absent
	// Any expects nothing.
	Any = driver.Any
)

// Edit changes one key.
type Edit struct {
	Key string
	// Value is what it becomes; no value deletes it. Secrets may be given in the
	// clear, or redacted to leave them as they are.
	Value configsvc.Value
	// Expect is the version that the key must have, Absent or Any.
	Expect int64
}

// Write is one or more edits that are made together or not at all.
type Write struct {
	// Author is who writes, 1 to 200 bytes.
	Author string
	// Message says why, up to 2000 bytes.
	Message string
	Edits   []Edit
	// Consumers are those who are known to compile keys. A write after which one
	// of them couldn't is refused, unless Force is set.
	Consumers []Consumer
	// Force lets a write leave consumers with layers that conflict.
	Force bool
}

// Commit is a write that was made.
type Commit struct {
	// Revision numbers commits; it is 0 for a preview.
	Revision int64            `json:"revision,omitempty"`
	Author   string           `json:"author"`
	Message  string           `json:"message,omitempty"`
	Time     time.Time        `json:"time"`
	Changes  []DocumentChange `json:"changes"`
}

// DocumentChange is what a commit did to one key. Secrets are redacted.
type DocumentChange struct {
	Key string `json:"key"`
	// Created and Deleted say that it wasn't there before, or isn't afterwards.
	Created bool `json:"created,omitempty"`
	Deleted bool `json:"deleted,omitempty"`
	// Diff is what changed in it.
	Diff []configsvc.Change `json:"diff"`
}

// Candidate is a document that is to be written, for a [Validator].
type Candidate struct {
	Author, Key string
	// Before is no value where the key isn't there yet, After where it is to be
	// deleted. Secrets are in them in the clear.
	Before, After configsvc.Value
}

// Validator refuses a document by returning an error, whose text is shown to the
// writer. It must be safe for concurrent use.
type Validator func(ctx context.Context, c Candidate) error

// plan is a write on its way through the checks.
type plan struct {
	author, message string
	edits           []*planned
	found           problems
}

type planned struct {
	key           string
	expect        int64
	version       int64           // that it has
	before, after configsvc.Value // as they are stored
	opened        opened          // after, in the clear
}

func (p *plan) edit(key string) *planned {
	for _, e := range p.edits {
		if e.key == key {
			return e
		}
	}
	return nil
}

// Write checks the edits and makes them. The error is an [*InvalidError] when
// they are refused, and matches [ErrConflict] when a key isn't what was
// expected.
func (s *Store) Write(ctx context.Context, w Write) (*Commit, error) {
	p, err := s.plan(ctx, w)
	if err != nil {
		return nil, err
	}
	if err := s.checkRollouts(ctx, p); err != nil {
		return nil, err
	}
	return s.commit(ctx, p)
}

// plan does everything up to the commit.
func (s *Store) plan(ctx context.Context, w Write) (*plan, error) {
	p := &plan{author: w.Author, message: w.Message}
	if err := s.checkForm(p, w); err != nil {
		return nil, err
	}
	if err := s.load(ctx, p, w.Edits); err != nil {
		return nil, err
	}
	for i, e := range p.edits {
		after := w.Edits[i].Value
		if !after.IsZero() && !configsvc.Under(schemas, e.key) {
			after = s.seal(ctx, e.key, after, e.before, &p.found)
		}
		e.after = after
	}
	if err := p.found.err(); err != nil {
		return nil, err
	}
	return p, s.check(ctx, p, w.Consumers, w.Force)
}

// checkForm checks what needs no reading.
func (s *Store) checkForm(p *plan, w Write) error {
	if w.Author == "" || len(w.Author) > 200 || !utf8.ValidString(w.Author) {
		p.found.add("", "", "the author has %d bytes; it must be a text of 1 to 200", len(w.Author))
	}
	if len(w.Message) > 2000 || !utf8.ValidString(w.Message) {
		p.found.add("", "", "the message has %d bytes; it must be a text of up to 2000", len(w.Message))
	}
	if len(w.Edits) == 0 || len(w.Edits) > s.opts.MaxEdits {
		p.found.add("", "", "the write has %d edits; it must have 1 to %d", len(w.Edits), s.opts.MaxEdits)
	}
	seen := map[string]bool{}
	bytes := 0
	for _, e := range w.Edits {
		if err := configsvc.CheckKey(e.Key); err != nil {
			p.found.add("", "", "%v", err)
			continue
		}
		if seen[e.Key] {
			p.found.add(e.Key, "", "is edited twice")
		}
		seen[e.Key] = true
		if configsvc.Reserved(e.Key) && !configsvc.Under(schemas, e.Key) {
			p.found.add(e.Key, "", "is the service's own; of the keys that begin with '_' only those below %s are written to", schemas)
		}
		size, depth := len(e.Value.JSON()), e.Value.Depth()
		bytes += size
		if size > s.opts.MaxBytes {
			p.found.add(e.Key, "", "has %d bytes; at most %d are allowed", size, s.opts.MaxBytes)
		}
		if depth > s.opts.MaxDepth {
			p.found.add(e.Key, "", "nests %d deep; at most %d are allowed", depth, s.opts.MaxDepth)
		}
	}
	if most := s.driver.Info().MaxCommitBytes; most > 0 && bytes > most {
		p.found.add("", "", "the documents have %d bytes together; %s takes at most %d in one write", bytes, s.driver.Info().Name, most)
	}
	return p.found.err()
}

// load reads what the keys are now.
func (s *Store) load(ctx context.Context, p *plan, edits []Edit) error {
	keys := make([]string, len(edits))
	for i, e := range edits {
		keys[i] = e.Key
		p.edits = append(p.edits, &planned{key: e.Key, expect: e.Expect})
	}
	snap, err := s.driver.Read(ctx, keys, driver.Latest)
	if err != nil {
		return fmt.Errorf("store: read %s: %w", strings.Join(keys, ", "), err)
	}
	for _, v := range snap.Versions {
		e := p.edit(v.Key)
		e.version = v.Revision
		if e.before, err = s.parse(v); err != nil {
			return err
		}
	}
	for _, e := range p.edits {
		if e.expect != Any && e.expect != e.version {
			return fmt.Errorf("store: %w", &driver.ConflictError{Key: e.key, Expected: e.expect, Revision: e.version})
		}
		// Everything below is checked against what was read, so that must still
		// be there when it is written.
		e.expect = e.version
	}
	return nil
}

// check asks schemas, validators and consumers.
func (s *Store) check(ctx context.Context, p *plan, consumers []Consumer, force bool) error {
	for _, e := range p.edits {
		if e.after.IsZero() || configsvc.Under(schemas, e.key) {
			e.opened.value = e.after
			continue
		}
		var err error
		if e.opened, err = s.open(ctx, e.after, e.key); err != nil {
			return err
		}
	}
	if err := s.checkSchemas(ctx, p); err != nil {
		return err
	}
	if err := s.validate(ctx, p); err != nil {
		return err
	}
	if !force && len(p.found) == 0 {
		effects, err := s.effects(ctx, p, consumers)
		if err != nil {
			return err
		}
		for _, e := range effects {
			if e.Problem != "" && !e.AlreadyBroken {
				p.found.add("", "", "%s could not compile its configuration any more: %s", e.Consumer.Name, e.Problem)
			}
		}
	}
	return p.found.err()
}

func (s *Store) validate(ctx context.Context, p *plan) error {
	if len(s.opts.Validators) == 0 {
		return nil
	}
	for _, e := range p.edits {
		before, err := s.open(ctx, e.before, e.key)
		if err != nil {
			return err
		}
		for _, v := range s.opts.Validators {
			if err := v(ctx, Candidate{Author: p.author, Key: e.key, Before: before.value, After: e.opened.value}); err != nil {
				p.found.add(e.key, "", "%s", before.clean(e.opened.clean(err.Error())))
			}
		}
	}
	return nil
}

// commit makes the write, together with further edits of the service's own.
func (s *Store) commit(ctx context.Context, p *plan, own ...driver.Edit) (*Commit, error) {
	c := driver.Commit{Author: p.author, Message: p.message, Time: s.opts.Clock(), Edits: own}
	for _, e := range p.edits {
		c.Edits = append(c.Edits, driver.Edit{Key: e.key, Value: e.after.JSON(), Expect: e.expect})
	}
	c, err := s.driver.Commit(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	out := p.described()
	out.Revision, out.Time = c.Revision, c.Time
	if s.opts.OnCommit != nil {
		s.opts.OnCommit(ctx, out)
	}
	return out, nil
}

// described says what the write does.
func (p *plan) described() *Commit {
	c := &Commit{Author: p.author, Message: p.message, Changes: make([]DocumentChange, 0, len(p.edits))}
	for _, e := range p.edits {
		c.Changes = append(c.Changes, changeOf(e.key, e.before, e.after))
	}
	return c
}

func changeOf(key string, before, after configsvc.Value) DocumentChange {
	return DocumentChange{
		Key: key, Created: before.IsZero(), Deleted: after.IsZero(),
		Diff: configsvc.Diff(redact(key, before), redact(key, after)),
	}
}
