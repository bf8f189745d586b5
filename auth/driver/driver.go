// Package driver is what a store of package login has to do. Applications use
// the stores that there are, such as memauth and sqlauth; this package is for
// those who write another one, and package authtest tells whether it is right.
//
// A store keeps records: small JSON documents with a kind, an id, a version,
// some keys to be found by, and maybe a time at which they end. It doesn't know
// what an account or a session is; validation, hashing and policy are login's.
package driver

import (
	"context"
	"errors"
	"time"
)

// Errors that a store returns, wrapped or not. Any other error means that it
// is unknown whether something was done.
var (
	// ErrNotFound is returned by Get for a record that isn't there or has
	// expired.
	ErrNotFound = errors.New("auth: no such record")
	// ErrConflict is returned by Write if a record hasn't the version that
	// the write names.
	ErrConflict = errors.New("auth: the record has changed")
	// ErrExists is returned by Write if another record has a unique key.
	ErrExists = errors.New("auth: the key is taken")
)

// Record is what is stored.
type Record struct {
	Kind string // at most 32 bytes of a-z
	ID   string // unique within its kind; at most 512 bytes

	// Version is 1 for a new record and grows by 1 with each write.
	Version int64

	// Unique is a key that no other record of the kind may have, such as a
	// login name; empty for none. Keys may be shared, such as the account
	// that a session belongs to. Each is at most 512 bytes.
	Unique string
	Keys   []string

	// Expires is when the record ceases to be: from then on it isn't found and
	// may be written as a new one. It is kept to the millisecond, rounded
	// down. Zero means never.
	Expires time.Time

	// Data is a JSON document of at most 1 MiB. The store doesn't look into
	// it.
	Data []byte
}

// Op is one part of a write.
type Op struct {
	// Record is what is written. Its Version is the one that is expected to be
	// there: 0 if there must be none.
	Record
	// Delete removes the record instead. Only Kind, ID and Version matter
	// then.
	Delete bool
}

// Announcement is what readers are to be told of a write: that the resource
// changed, never what it is now.
type Announcement struct {
	Href string // absolute
	Type string // create, update or delete
	ETag string // of the new version; may be empty
	Time time.Time
}

// Store is implemented by drivers. All methods may be called concurrently and
// return when ctx ends. A store doesn't retry: login does where it is safe.
// Slices that are passed in or returned belong to the caller.
type Store interface {
	// Get returns a record, or ErrNotFound.
	Get(ctx context.Context, kind, id string, now time.Time) (Record, error)

	// Find returns the records of a kind that have the key, as Unique or
	// among Keys, ordered by id; none is no error. A key is empty for all
	// records. It returns up to limit records with an id greater than after.
	Find(ctx context.Context, kind, key, after string, limit int, now time.Time) ([]Record, error)

	// Write does all of the ops or none of them. When it returns nil they
	// are durable, and every later read by whomever sees them.
	//
	// A store that can announce does so: announcements are in the same
	// transaction, and reach their topic if and only if it commits. One that
	// can't ignores them, see Announces.
	Write(ctx context.Context, ops []Op, announce []Announcement, now time.Time) error

	// Sweep deletes up to limit records that have expired, and says how many.
	Sweep(ctx context.Context, limit int, now time.Time) (int, error)

	// Announces reports whether Write announces.
	Announces() bool
}
