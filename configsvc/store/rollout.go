package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/driver"
)

// rollouts is the key that rollouts are below.
const rollouts = "_rollouts"

// Instance is a process that compiles configuration.
type Instance struct {
	// Service is what it is an instance of.
	Service string `json:"service"`
	// ID tells it from the others of the service.
	ID string `json:"id"`
	// Attributes may be what a [Cohort] goes by: version, zone.
	Attributes map[string]string `json:"attributes,omitempty"`
}

var instanceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)

// Check says what is wrong with the names of an instance, or nil.
func (i Instance) Check() error {
	if !instanceName.MatchString(i.Service) || !instanceName.MatchString(i.ID) {
		return &InvalidError{Problems: []Problem{{Detail: fmt.Sprintf(
			"service %.40q and instance %.40q: both are 1 to 128 letters, digits, '.', '_', ':' and '-'", i.Service, i.ID)}}}
	}
	return nil
}

// Cohort decides whether an instance gets a rollout. It must answer the same for
// the same instance, and go on to say yes when Percent grows: package rules, for
// example. It must be safe for concurrent use.
type Cohort func(r *Rollout, i Instance) bool

// SaltedHash is the [Cohort] that takes Percent of the instances by a hash of
// their names and the rollout's salt, so that each rollout begins with others.
func SaltedHash(r *Rollout, i Instance) bool {
	sum := sha256.Sum256([]byte(r.Salt + "\x00" + i.Service + "\x00" + i.ID))
	part := float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
	return part*100 < r.Percent
}

// States of a rollout.
const (
	Running   = "running"
	Halted    = "halted"
	Completed = "completed"
)

// Rollout is a change that a part of the instances gets before it is made. While
// it runs its keys can't be written otherwise. It ends by Complete, which makes
// the change for all in one commit, or halts, which takes it back from all: by
// Halt, or by itself when instances that got it report that they can't use it.
type Rollout struct {
	ID      string  `json:"id"`
	State   string  `json:"state"`
	Percent float64 `json:"percent"`
	// HaltAfter is how many instances have to reject the change for it to halt.
	HaltAfter int       `json:"haltAfter"`
	Salt      string    `json:"salt"`
	Author    string    `json:"author"`
	Message   string    `json:"message,omitempty"`
	Started   time.Time `json:"started"`
	// Reason says why it was halted.
	Reason string `json:"reason,omitempty"`
	// Rejects are the instances that couldn't use the change.
	Rejects []Reject `json:"rejects,omitempty"`
	// Edits are the change, secrets redacted.
	Edits []RolloutEdit `json:"edits"`

	version int64 // of its own document
}

// RolloutEdit is the change of one key.
type RolloutEdit struct {
	Key string `json:"key"`
	// Value is what it becomes; no value deletes it.
	Value configsvc.Value `json:"value,omitzero"`
	// Version is what it had when the rollout began.
	Version int64 `json:"version"`
}

// Reject says that an instance couldn't use a configuration.
type Reject struct {
	Instance Instance  `json:"instance"`
	Hash     string    `json:"hash"`
	Error    string    `json:"error"`
	Time     time.Time `json:"time"`
}

// Start describes a rollout that is to begin.
type Start struct {
	Write
	// Percent of the instances get it, above 0 and up to 100.
	Percent float64
	// HaltAfter is how many instances have to reject it for it to halt by itself.
	// Default 1.
	HaltAfter int
	// Salt makes two rollouts take the same instances. Default: random.
	Salt string
}

// StartRollout checks the write as Write does, and gives it to a part of the
// instances.
func (s *Store) StartRollout(ctx context.Context, start Start) (*Rollout, error) {
	if !(start.Percent > 0 && start.Percent <= 100) {
		return nil, &InvalidError{Problems: []Problem{{Detail: fmt.Sprintf("%v percent; a rollout is for more than 0 and up to 100", start.Percent)}}}
	}
	p, err := s.plan(ctx, start.Write)
	if err != nil {
		return nil, err
	}
	if err := s.checkRollouts(ctx, p); err != nil {
		return nil, err
	}
	r := &Rollout{
		ID: strings.ToLower(rand.Text()[:10]), State: Running, Percent: start.Percent, HaltAfter: max(start.HaltAfter, 1), Salt: start.Salt,
		Author: start.Author, Message: start.Message, Started: s.opts.Clock().UTC().Truncate(time.Millisecond),
	}
	if r.Salt == "" {
		r.Salt = rand.Text()
	}
	for _, e := range p.edits {
		if configsvc.Reserved(e.key) {
			return nil, &InvalidError{Problems: []Problem{{Key: e.key, Detail: "is read by the service itself, so it can't be rolled out in steps"}}}
		}
		r.Edits = append(r.Edits, RolloutEdit{Key: e.key, Value: e.after, Version: e.version})
	}
	old, err := s.finished(ctx)
	if err != nil {
		return nil, err
	}
	return s.save(ctx, r, start.Author, "start a rollout: "+start.Message, old)
}

// keptRollouts is how many finished rollouts stay listed.
const keptRollouts = 50

// finished returns a plan that deletes the oldest finished rollouts, beyond those
// that are kept. Their history stays.
func (s *Store) finished(ctx context.Context) (*plan, error) {
	all, err := s.rolloutsOf(ctx, driver.Latest)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(r *Rollout) bool { return r.State == Running })
	slices.SortFunc(all, func(a, b *Rollout) int { return b.Started.Compare(a.Started) })
	p := &plan{}
	for _, r := range all[min(len(all), keptRollouts):] {
		p.edits = append(p.edits, &planned{key: rollouts + "/" + r.ID, expect: r.version})
	}
	return p, nil
}

// save commits the rollout's own document, together with the edits of a plan if
// there is one, and tells whom the change concerns.
func (s *Store) save(ctx context.Context, r *Rollout, author, message string, also *plan) (*Rollout, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("store: rollout %s: %w", r.ID, err)
	}
	if len(message) > 2000 {
		message = message[:2000]
	}
	own := driver.Edit{Key: rollouts + "/" + r.ID, Value: text, Expect: r.version}
	c := driver.Commit{Author: author, Message: message, Time: s.opts.Clock(), Edits: []driver.Edit{own}}
	if also != nil {
		for _, e := range also.edits {
			c.Edits = append(c.Edits, driver.Edit{Key: e.key, Value: e.after.JSON(), Expect: e.expect})
		}
	}
	if c, err = s.driver.Commit(ctx, c); err != nil {
		return nil, fmt.Errorf("store: rollout %s: %w", r.ID, err)
	}
	r.version = c.Revision
	if s.opts.OnCommit != nil {
		// Whoever reads one of its keys may see something else now.
		told := &Commit{Revision: c.Revision, Author: author, Message: message, Time: c.Time}
		for _, e := range r.Edits {
			told.Changes = append(told.Changes, DocumentChange{Key: e.Key})
		}
		s.opts.OnCommit(ctx, told)
	}
	return r.redacted(), nil
}

func (r *Rollout) redacted() *Rollout {
	out := *r
	out.Edits = slices.Clone(r.Edits)
	for i := range out.Edits {
		out.Edits[i].Value = configsvc.Redact(out.Edits[i].Value)
	}
	return &out
}

// Rollouts returns all rollouts, those that run first, then the newest first.
func (s *Store) Rollouts(ctx context.Context) ([]*Rollout, error) {
	all, err := s.rolloutsOf(ctx, driver.Latest)
	if err != nil {
		return nil, err
	}
	out := make([]*Rollout, len(all))
	for i, r := range all {
		out[i] = r.redacted()
	}
	slices.SortStableFunc(out, func(a, b *Rollout) int {
		if (a.State == Running) != (b.State == Running) {
			if a.State == Running {
				return -1
			}
			return 1
		}
		return b.Started.Compare(a.Started)
	})
	return out, nil
}

// rolloutsAt is what is kept of a revision.
type rolloutsAt struct {
	revision int64
	running  []*Rollout
}

func (s *Store) rolloutsOf(ctx context.Context, at int64) ([]*Rollout, error) {
	snap, err := s.all(ctx, rollouts, at)
	if err != nil {
		return nil, err
	}
	all := make([]*Rollout, len(snap.Versions))
	for i, v := range snap.Versions {
		r := &Rollout{version: v.Revision}
		if err := json.Unmarshal(v.Value, r); err != nil {
			return nil, fmt.Errorf("store: %s, as it is stored: %w", v.Key, err)
		}
		all[i] = r
	}
	return all, nil
}

// running returns the rollouts that run at a revision.
func (s *Store) running(ctx context.Context, revision int64) ([]*Rollout, error) {
	if revision == 0 {
		return nil, nil
	}
	s.mu.Lock()
	kept := s.rollouts
	s.mu.Unlock()
	if kept != nil && kept.revision == revision {
		return kept.running, nil
	}
	all, err := s.rolloutsOf(ctx, revision)
	if err != nil {
		return nil, err
	}
	running := slices.DeleteFunc(all, func(r *Rollout) bool { return r.State != Running })
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rollouts == nil || s.rollouts.revision < revision {
		s.rollouts = &rolloutsAt{revision, running}
	}
	return running, nil
}

// overlay puts the rollouts that an instance is part of over the layers.
func (s *Store) overlay(ctx context.Context, layers []configsvc.Layer, i Instance, revision int64) ([]string, error) {
	if err := i.Check(); err != nil {
		return nil, err
	}
	running, err := s.running(ctx, revision)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, r := range running {
		if !s.opts.Cohort(r, i) {
			continue
		}
		if r.over(layers) {
			ids = append(ids, r.ID)
		}
	}
	return ids, nil
}

// over puts the rollout's edits over layers, and reports whether there are any.
func (r *Rollout) over(layers []configsvc.Layer) bool {
	any := false
	for n := range layers {
		for _, e := range r.Edits {
			if e.Key == layers[n].Name {
				layers[n].Value, any = e.Value, true
				layers[n].Name += " (rollout " + r.ID + ")"
			}
		}
	}
	return any
}

// checkRollouts refuses a write to keys that a rollout is about.
func (s *Store) checkRollouts(ctx context.Context, p *plan) error {
	all, err := s.rolloutsOf(ctx, driver.Latest)
	if err != nil {
		return err
	}
	for _, r := range all {
		for _, e := range r.Edits {
			if r.State == Running && p.edit(e.Key) != nil {
				return fmt.Errorf("%w: %s is being rolled out by %s; complete or halt that first", ErrRollout, e.Key, r.ID)
			}
		}
	}
	return nil
}

// Rollout returns one. The error wraps fs.ErrNotExist where there is none.
func (s *Store) Rollout(ctx context.Context, id string) (*Rollout, error) {
	r, err := s.rollout(ctx, id)
	if err != nil {
		return nil, err
	}
	return r.redacted(), nil
}

func (s *Store) rollout(ctx context.Context, id string) (*Rollout, error) {
	all, err := s.rolloutsOf(ctx, driver.Latest)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.ID == id {
			return r, nil
		}
	}
	return nil, missing(fmt.Sprintf("there is no rollout %.40q", id))
}

// change loads a rollout that runs, lets f change it, and saves it; again where
// somebody was faster.
func (s *Store) change(ctx context.Context, id, author, message string, f func(*Rollout) (*plan, error)) (*Rollout, error) {
	for attempt := 0; ; attempt++ {
		r, err := s.rollout(ctx, id)
		if err != nil {
			return nil, err
		}
		if r.State != Running {
			return nil, fmt.Errorf("%w: %s is %s already", ErrRollout, id, r.State)
		}
		complete, err := f(r)
		if err != nil {
			return nil, err
		}
		saved, err := s.save(ctx, r, author, message, complete)
		var conflict *driver.ConflictError
		if attempt < 8 && errors.As(err, &conflict) && strings.HasPrefix(conflict.Key, rollouts) {
			continue
		}
		return saved, err
	}
}

// SetPercent changes to how many instances a rollout goes.
func (s *Store) SetPercent(ctx context.Context, id, author string, percent float64) (*Rollout, error) {
	if !(percent > 0 && percent <= 100) {
		return nil, &InvalidError{Problems: []Problem{{Detail: fmt.Sprintf("%v percent; a rollout is for more than 0 and up to 100", percent)}}}
	}
	return s.change(ctx, id, author, fmt.Sprintf("rollout %s: %v percent", id, percent), func(r *Rollout) (*plan, error) {
		r.Percent = percent
		return nil, nil
	})
}

// Halt takes a rollout back from all who have it.
func (s *Store) Halt(ctx context.Context, id, author, reason string) (*Rollout, error) {
	return s.change(ctx, id, author, "halt rollout "+id+": "+reason, func(r *Rollout) (*plan, error) {
		r.State, r.Reason = Halted, reason
		return nil, nil
	})
}

// Complete makes the change of a rollout for all, in the commit that ends it.
func (s *Store) Complete(ctx context.Context, id, author string) (*Rollout, error) {
	return s.change(ctx, id, author, "complete rollout "+id, func(r *Rollout) (*plan, error) {
		r.State, r.Percent = Completed, 100
		p := &plan{}
		for _, e := range r.Edits {
			p.edits = append(p.edits, &planned{key: e.Key, after: e.Value, expect: e.Version})
		}
		return p, nil
	})
}

// Rejected tells of an instance that couldn't use a configuration of these keys.
// Rollouts that it got it from count it, and halt when they have had enough. It
// returns those that have counted it.
func (s *Store) Rejected(ctx context.Context, keys []string, reject Reject) ([]*Rollout, error) {
	if err := errors.Join(reject.Instance.Check(), configsvc.CheckKeys(keys)); err != nil {
		return nil, err
	}
	reject.Time = s.opts.Clock().UTC().Truncate(time.Millisecond)
	snap, err := s.driver.Read(ctx, keys, driver.Latest)
	if err != nil {
		return nil, fmt.Errorf("store: read %s: %w", strings.Join(keys, ", "), err)
	}
	running, err := s.running(ctx, snap.Revision)
	if err != nil {
		return nil, err
	}
	gave, err := s.gave(running, reject.Instance, keys, snap, reject.Hash)
	if err != nil {
		return nil, err
	}
	var counted []*Rollout
	for _, r := range gave {
		got, err := s.change(ctx, r.ID, "configsvc", "an instance rejected rollout "+r.ID, func(r *Rollout) (*plan, error) {
			same := func(o Reject) bool {
				return o.Instance.ID == reject.Instance.ID && o.Instance.Service == reject.Instance.Service
			}
			if !slices.ContainsFunc(r.Rejects, same) {
				r.Rejects = append(r.Rejects, reject)
			}
			if len(r.Rejects) >= r.HaltAfter {
				r.State = Halted
				r.Reason = fmt.Sprintf("%d of the instances rejected it; %s: %s", len(r.Rejects), reject.Instance.ID, reject.Error)
			}
			return nil, nil
		})
		if errors.Is(err, ErrRollout) {
			continue // it halted meanwhile
		}
		if err != nil {
			return counted, err
		}
		counted = append(counted, got)
	}
	return counted, nil
}

// gave returns the rollouts that an instance is part of, if the configuration
// with that hash is what they make of its keys, and is another without them.
func (s *Store) gave(running []*Rollout, i Instance, keys []string, snap driver.Snapshot, hash string) ([]*Rollout, error) {
	layers, err := s.layers(keys, snap)
	if err != nil {
		return nil, err
	}
	without, err := configsvc.Compile(layers...)
	if err == nil && without.Hash == hash {
		return nil, nil // it can't use what everybody has
	}
	var gave []*Rollout
	for _, r := range running {
		if s.opts.Cohort(r, i) && r.over(layers) {
			gave = append(gave, r)
		}
	}
	with, err := configsvc.Compile(layers...)
	if err != nil || with.Hash != hash {
		return nil, nil //nolint:nilerr // what can't be compiled wasn't given to anybody
	}
	return gave, nil
}
