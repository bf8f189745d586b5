package driver

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Driver keeps the log. All methods may be called at once from any goroutine,
// honour ctx, and may be called from several processes on one log. Slices and
// values that are passed in or out are owned by nobody and never changed.
type Driver interface {
	// Info says what the driver is and can.
	Info() Info

	// Commit appends a commit, all of it or none, and returns it with Revision
	// and Time filled in. Each edit's Expect must hold at the moment of the
	// commit; otherwise nothing changes and the error is a *ConflictError. Edits name
	// different keys, at least one.
	//
	// Time is that of the argument, or the previous commit's where that is later,
	// so that time never runs backwards in the log. When Commit returns nil the
	// commit survives the end of the process. When it fails with anything but a
	// *ConflictError, the commit may have been made or not, but never in part; the core
	// doesn't retry.
	Commit(ctx context.Context, c Commit) (Commit, error)

	// Read returns the keys as they are at a revision, by one snapshot: no commit
	// is seen in part. Keys that never were, or were deleted, are left out. At is
	// Latest or a revision; one that is still to come is an error that wraps
	// ErrRevision.
	//
	// With Latest the snapshot has every commit that returned before Read was
	// called, in whatever process.
	Read(ctx context.Context, keys []string, at int64) (Snapshot, error)

	// List returns in the order of keys those at and below a prefix, as Read does;
	// "" is all. Keys are compared by bytes, and a prefix ends where a segment ends:
	// a is above a/b and not above ab. After leaves out what isn't greater, Limit
	// bounds how many there are.
	List(ctx context.Context, l Listing) (Snapshot, error)

	// Log returns commits, the newest first: those that change a key at or below
	// Prefix, with all of their edits, and with revisions below Before, where that
	// isn't 0.
	Log(ctx context.Context, q Query) ([]Commit, error)

	// Moment returns the revision that was the latest at a time: that of the last
	// commit whose Time isn't after it, 0 if there is none.
	Moment(ctx context.Context, t time.Time) (int64, error)
}

// Info is what a driver says about itself.
type Info struct {
	// Name is for people: "memory", "PostgreSQL".
	Name string
	// MaxCommitBytes bounds the values of one commit together; 0 is no bound.
	MaxCommitBytes int
}

// Latest asks for what is there now.
const Latest int64 = 0

// Expectations of an Edit beside revisions.
const (
	// Absent expects that the key isn't there: it never was, or was deleted.
	Absent int64 = 0
	// Any expects nothing.
	Any int64 = -1
)

// Edit changes one key.
type Edit struct {
	// Key is well-formed.
	Key string
	// Value is JSON; nil deletes the key. Deleting what isn't there is an edit too.
	Value []byte
	// Expect is the revision that the key must have, Absent or Any.
	Expect int64
}

// Commit is one entry of the log.
type Commit struct {
	Revision int64
	Author   string
	Message  string
	Time     time.Time // UTC, in milliseconds
	Edits    []Edit    // Expect is not kept: it is 0 in what is read
}

// Version is a key at a revision.
type Version struct {
	Key      string
	Revision int64 // of the commit that made it
	Value    []byte
	Author   string
	Message  string
	Time     time.Time
}

// Snapshot is a consistent view.
type Snapshot struct {
	// Revision is the latest commit of the log when it was taken, or the one that
	// was asked for.
	Revision int64
	// Time is that commit's; zero for an empty log.
	Time time.Time
	// Versions are what was found, in the order of keys.
	Versions []Version
}

// Listing is the argument of Driver.List.
type Listing struct {
	Prefix string
	After  string
	Limit  int // greater than 0
	At     int64
}

// Query is the argument of Driver.Log.
type Query struct {
	Prefix string
	Before int64
	Limit  int // greater than 0
}

// ErrRevision is wrapped by the error about a revision that isn't there.
var ErrRevision = errors.New("there is no such revision")

// ErrConflict is matched by a *ConflictError.
var ErrConflict = errors.New("the key has changed")

// ConflictError says that an edit's expectation doesn't hold.
type ConflictError struct {
	// Key is the first edit's whose expectation fails.
	Key string
	// Expected is what the edit said.
	Expected int64
	// Revision is what the key has, 0 if it isn't there.
	Revision int64
}

// Error names the key and both revisions.
func (c *ConflictError) Error() string {
	has := fmt.Sprintf("has version %d", c.Revision)
	if c.Revision == 0 {
		has = "isn't there"
	}
	if c.Expected == Absent {
		return fmt.Sprintf("%s %s; it was expected to be absent", c.Key, has)
	}
	return fmt.Sprintf("%s %s; version %d was expected", c.Key, has, c.Expected)
}

// Is reports whether target is ErrConflict.
func (c *ConflictError) Is(target error) bool { return target == ErrConflict }
