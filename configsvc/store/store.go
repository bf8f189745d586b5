package store

import (
	"context"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/driver"
)

// Options configure New. The zero value, and nil, are useful.
type Options struct {
	// MaxBytes bounds one document, as canonical JSON. Default 256 KiB.
	MaxBytes int
	// MaxDepth bounds how deep a document nests. Default 32.
	MaxDepth int
	// MaxEdits bounds the edits of one write. Default 64. Rollbacks may have more.
	MaxEdits int
	// Sealer encrypts secrets. Default: none, and documents with secrets are
	// refused.
	Sealer configsvc.Sealer
	// Validators are asked about each document that is to be written, after its
	// schemas. Default: none.
	Validators []Validator
	// Cohort decides which instances get a rollout. Default: [SaltedHash].
	Cohort Cohort
	// OnCommit is called after each commit, in the goroutine that made it, before
	// the write returns. Default: nobody is told.
	OnCommit func(ctx context.Context, c *Commit)
	// Clock replaces time.Now. Default time.Now.
	Clock func() time.Time
}

// Store reads and writes documents. It is safe for concurrent use, and several
// may work on one log.
type Store struct {
	driver driver.Driver
	opts   Options

	mu       sync.Mutex
	parsed   map[string]parsed // by key, of the latest versions
	compiled map[string]*configsvc.Compiled
	rollouts *rolloutsAt
}

type parsed struct {
	version int64
	value   configsvc.Value
}

// New returns a Store on a driver. It panics without one.
func New(d driver.Driver, opts *Options) *Store {
	if d == nil {
		panic("store: New: the driver is nil; memconfig.New makes one") //nolint:forbidigo // programmer error
	}
	s := &Store{driver: d, parsed: map[string]parsed{}, compiled: map[string]*configsvc.Compiled{}}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.MaxBytes <= 0 {
		s.opts.MaxBytes = 256 << 10
	}
	if s.opts.MaxDepth <= 0 {
		s.opts.MaxDepth = 32
	}
	if s.opts.MaxEdits <= 0 {
		s.opts.MaxEdits = 64
	}
	if s.opts.Cohort == nil {
		s.opts.Cohort = SaltedHash
	}
	if s.opts.Clock == nil {
		s.opts.Clock = time.Now
	}
	return s
}

// Driver says what the driver is.
func (s *Store) Driver() driver.Info { return s.driver.Info() }

// Document is a version of a key.
type Document struct {
	Key string `json:"key"`
	// Version is the revision of the commit that made it.
	Version int64 `json:"version"`
	// Value is the document, with its secrets redacted.
	Value   configsvc.Value `json:"value"`
	Author  string          `json:"author"`
	Message string          `json:"message,omitempty"`
	Time    time.Time       `json:"time"`
}

// missing is an error that matches fs.ErrNotExist, whose own words are of files.
type missing string

func (m missing) Error() string { return "store: " + string(m) }

// Is makes errors.Is find fs.ErrNotExist.
func (missing) Is(target error) bool { return target == fs.ErrNotExist }

// Get returns a key as it is at a revision; 0 is now. The error matches
// fs.ErrNotExist where it isn't there.
func (s *Store) Get(ctx context.Context, key string, at int64) (*Document, error) {
	if err := configsvc.CheckKey(key); err != nil {
		return nil, err
	}
	snap, err := s.driver.Read(ctx, []string{key}, at)
	if err != nil {
		return nil, fmt.Errorf("store: read %s: %w", key, err)
	}
	if len(snap.Versions) == 0 {
		return nil, missing("there is no document at " + key)
	}
	return s.document(snap.Versions[0])
}

func (s *Store) document(v driver.Version) (*Document, error) {
	value, err := s.parse(v)
	if err != nil {
		return nil, err
	}
	return &Document{Key: v.Key, Version: v.Revision, Value: redact(v.Key, value), Author: v.Author, Message: v.Message, Time: v.Time}, nil
}

// redact leaves schemas alone: a schema may describe a member called $secret.
func redact(key string, v configsvc.Value) configsvc.Value {
	if configsvc.Under(schemas, key) {
		return v
	}
	return configsvc.Redact(v)
}

// maxParsed bounds how many parsed documents are kept.
const maxParsed = 4096

// parse returns a version's value, which it keeps for the next time.
func (s *Store) parse(v driver.Version) (configsvc.Value, error) {
	s.mu.Lock()
	p, ok := s.parsed[v.Key]
	s.mu.Unlock()
	if ok && p.version == v.Revision {
		return p.value, nil
	}
	value, err := configsvc.Parse(v.Value)
	if err != nil {
		return value, fmt.Errorf("store: version %d of %s, as it is stored: %w", v.Revision, v.Key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.parsed[v.Key]; p.version > v.Revision {
		return value, nil
	}
	if len(s.parsed) >= maxParsed {
		clear(s.parsed)
	}
	s.parsed[v.Key] = parsed{v.Revision, value}
	return value, nil
}

// Listing chooses keys.
type Listing struct {
	// Prefix is a key; those at and below it are listed. Default: all.
	Prefix string
	// After leaves out keys that don't come after it.
	After string
	// Limit bounds how many there are. Default 100, at most 1000.
	Limit int
	// At is a revision. Default 0, now.
	At int64
}

// List returns documents in the order of their keys, and the revision at which
// they were read.
func (s *Store) List(ctx context.Context, l Listing) ([]*Document, int64, error) {
	if l.Limit <= 0 {
		l.Limit = 100
	}
	snap, err := s.list(ctx, driver.Listing{Prefix: l.Prefix, After: l.After, Limit: min(l.Limit, 1000), At: l.At})
	if err != nil {
		return nil, 0, err
	}
	documents := make([]*Document, len(snap.Versions))
	for i, v := range snap.Versions {
		if documents[i], err = s.document(v); err != nil {
			return nil, 0, err
		}
	}
	return documents, snap.Revision, nil
}

func (s *Store) list(ctx context.Context, l driver.Listing) (driver.Snapshot, error) {
	if l.Prefix != "" {
		if err := configsvc.CheckKey(l.Prefix); err != nil {
			return driver.Snapshot{}, err
		}
	}
	snap, err := s.driver.List(ctx, l)
	if err != nil {
		return snap, fmt.Errorf("store: list %q: %w", l.Prefix, err)
	}
	return snap, nil
}

// all returns every version at and below a prefix, by one revision.
func (s *Store) all(ctx context.Context, prefix string, at int64) (driver.Snapshot, error) {
	all := driver.Snapshot{}
	l := driver.Listing{Prefix: prefix, Limit: 1000, At: at}
	for {
		snap, err := s.list(ctx, l)
		if err != nil {
			return snap, err
		}
		all.Revision, all.Time = snap.Revision, snap.Time
		all.Versions = append(all.Versions, snap.Versions...)
		if len(snap.Versions) < l.Limit {
			return all, nil
		}
		l.After = snap.Versions[len(snap.Versions)-1].Key
		if l.At = snap.Revision; l.At == 0 {
			return all, nil
		}
	}
}

// Moment returns the revision that was the latest at a time.
func (s *Store) Moment(ctx context.Context, t time.Time) (int64, error) {
	rev, err := s.driver.Moment(ctx, t)
	if err != nil {
		return 0, fmt.Errorf("store: the revision of %v: %w", t, err)
	}
	return rev, nil
}
