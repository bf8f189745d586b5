package driver

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Driver connects the core to one store. All methods may be called at once from
// any goroutine. A driver doesn't retry; each method returns soon after its ctx
// ends.
type Driver interface {
	// Info says what the driver is and promises. It doesn't block.
	Info() Info

	// Put writes the record and (re)starts its lease: TTL from now on. It
	// returns when the store has it. A living record of another owner under
	// the same key is left alone, and the error is ErrTaken. The store may
	// round TTL up, never down.
	Put(ctx context.Context, r Record) error

	// Renew restarts the lease of the record that the owner put. The error is
	// ErrGone if there is none any more, or another owner has it.
	Renew(ctx context.Context, key Key, owner string) error

	// Delete removes the owner's record; with an empty owner, whoever's it is.
	// Nothing happens, without an error, if there is no such record.
	Delete(ctx context.Context, key Key, owner string) error

	// List returns the living records of the service, of all services if
	// service is empty, in any order. The caller owns the result.
	List(ctx context.Context, service string) ([]Record, error)

	// Watch hands the service's records to sink (of all services if service is
	// empty): first one Reset with the records that live now, then the changes,
	// in the store's order for each key; states that didn't last may be left
	// out. It blocks until ctx ends, and
	// then returns ctx's error, or until it can't be sure any more that it sees
	// every change: connection gone, silence, history compacted. The core then
	// keeps what it knows and calls Watch again after a backoff, so a driver
	// neither reconnects nor loops by itself. A record whose lease has ended
	// is deleted within TTL after that.
	Watch(ctx context.Context, service string, sink Sink) error

	// Close ends the connection, if the driver made it, and every goroutine of
	// the driver. The core calls it once, after each Watch has returned.
	Close(ctx context.Context) error
}

// Sink receives what a Watch sees. Its functions are called from one goroutine,
// and return soon.
type Sink interface {
	// Reset replaces everything that the sink knows. It owns the slice.
	Reset(records []Record)
	// Put adds or replaces a record. A renewal needn't be handed over.
	Put(r Record)
	// Delete removes a record; one that isn't known is fine.
	Delete(key Key)
	// Current says that there is proof, by a heartbeat for example, that
	// nothing was missed up to now. Drivers call it at least every ten seconds
	// while Watch runs.
	Current()
}

// Kind tells the records of one store apart.
type Kind string

// The kinds of records.
const (
	Instances Kind = "instances" // a running process, written by itself
	Marks     Kind = "marks"     // what a checker found out about an instance
)

// Key names a record. Its parts consist of letters, digits, '-' and '_' only,
// and none is empty.
type Key struct {
	Kind        Kind
	Service, ID string
}

func (k Key) String() string { return string(k.Kind) + "/" + k.Service + "/" + k.ID }

// Record is what a store keeps.
type Record struct {
	Key Key
	// Owner is who may renew, replace and delete it: an unguessable name that
	// the core makes up. It isn't shown to anybody but the store.
	Owner string
	// Value is opaque, JSON in UTF-8, a few kilobytes at most. Neither side
	// changes it after it was handed over.
	Value []byte
	// TTL is how long the record lives without a renewal. It is only filled in
	// for Put.
	TTL time.Duration
}

// OwnedBy reports whether the record is the owner's. It takes as long for every name
// of a length: behind a service, who asks with a name may be guessing it.
func (r *Record) OwnedBy(owner string) bool {
	return subtle.ConstantTimeCompare([]byte(r.Owner), []byte(owner)) == 1
}

// Info is what a driver says about itself.
type Info struct {
	// Name is the product, such as "nats".
	Name string
	// MinTTL is the shortest lease the store can keep.
	MinTTL time.Duration
	// Authorises says in a phrase for people what the store itself checks
	// before it takes a record, such as "memory: Options.Authorise".
	Authorises string
}

// ErrGone is returned by Renew when the record's lease has ended, or somebody
// removed it.
var ErrGone = fmt.Errorf("the lease has ended: %w", fs.ErrNotExist)

// ErrTaken is returned by Put when another owner's living record has the key.
var ErrTaken = fmt.Errorf("another owner has the name: %w", fs.ErrExist)

// ErrDenied is returned when the store doesn't let this client do it. Trying
// again is no use.
var ErrDenied = fmt.Errorf("the registry refuses it: %w", fs.ErrPermission)

// ErrLost is returned by Watch when the view can't be kept current any more.
var ErrLost = errors.New("the watch was lost")
