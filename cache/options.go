package cache

import (
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Options configures a [Transport]. The zero value, and nil, are useful.
type Options struct {
	// MaxBytes bounds the memory that stored entries use: bodies, headers,
	// bookkeeping, and values decoded from bodies. How large such a value is
	// can't be told: each counts for as much as its body. Bodies on their way
	// in, up to MaxEntryBytes for each question under way, come on top.
	// Default 128 MiB.
	MaxBytes int64

	// MaxEntryBytes bounds one stored body. A longer body streams to its
	// caller and isn't stored. Default an eighth of MaxBytes, at most 8 MiB.
	MaxEntryBytes int64

	// MaxRecords bounds how many resources and groups that nothing is stored
	// for have their newest invalidation remembered. What is forgotten costs
	// a revalidation, never coherence. Default 65536, about 10 MB.
	MaxRecords int

	// VouchLimit is the backstop: however often its scope is vouched for, an
	// entry is asked about again when so much time has passed since it was
	// last filled or validated. Default one hour.
	VouchLimit time.Duration

	// StaleIfDisconnected lets a stale response answer when the origin can't be
	// reached, for so long after its freshness ended, although it doesn't say
	// stale-if-error (RFC 9111 section 4.2.4). must-revalidate, no-cache and
	// notices stand above it. Whole seconds count. Default zero: the caller
	// gets the error.
	StaleIfDisconnected time.Duration

	// Backing is a second level behind the memory, for example a disk or a
	// Redis. It is read when memory has nothing for a URI, once for any number
	// of readers, and written when a response was stored, when nobody waits
	// any more. One that doesn't answer within two seconds, or has 256 calls
	// unanswered, is a miss. Default none.
	Backing Backing

	// Partition separates identities that share the Transport: requests of
	// different partitions never see each other's entries. Default one
	// partition for all. The value of the Authorization field always
	// separates, unless ShareAuthorized is set.
	Partition func(*http.Request) string

	// ShareAuthorized leaves the Authorization field out of the key. Set it
	// only if every request through this Transport speaks for one identity,
	// for example because the token is attached by a transport inside.
	ShareAuthorized bool

	// Directive names the Cache-Control extension directive by which a
	// response names the scope that vouches for it. Default "resn".
	Directive string

	// OnScope is called when a response first names a scope at an origin,
	// before that response is handed out. It isn't called on the path of a
	// hit and never concurrently; it should return soon. Default none.
	OnScope func(origin, scope string)

	// Target names a targeted cache control field (RFC 9213) that, where
	// present and valid, takes the place of Cache-Control and Expires of a
	// response. Default none.
	Target string

	// Clock replaces time.Now. Default time.Now.
	Clock func() time.Time

	// Logger hears of what went wrong without failing a request, such as a
	// corrupt entry in the Backing. Default: nothing is logged.
	Logger *slog.Logger
}

func (o *Options) setDefaults() {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 128 << 20
	}
	if o.MaxEntryBytes <= 0 {
		o.MaxEntryBytes = min(o.MaxBytes/8, 8<<20)
	}
	// Offsets in an entry are 32 bits wide.
	o.MaxEntryBytes = min(o.MaxEntryBytes, 1<<31)
	if o.MaxRecords <= 0 {
		o.MaxRecords = 1 << 16
	}
	if o.VouchLimit <= 0 {
		o.VouchLimit = time.Hour
	}
	o.VouchLimit = min(o.VouchLimit, farthest)
	if o.Directive == "" {
		o.Directive = "resn"
	}
	o.Directive = strings.ToLower(o.Directive)
	if o.Target != "" {
		o.Target = http.CanonicalHeaderKey(o.Target)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Backing is a second level behind the memory. Its method set is that of
// github.com/gregjones/httpcache.Cache, so that every store written for it
// plugs in. Methods are called concurrently. What Get returns is not trusted:
// bytes that aren't a whole entry of the asked key count as a miss.
// [Transport.Close] waits for calls that haven't returned.
type Backing interface {
	// Get returns the bytes stored under key; the cache doesn't change them.
	Get(key string) (value []byte, ok bool)
	// Set stores value under key; the cache doesn't change value afterwards.
	Set(key string, value []byte)
	// Delete removes key if it is there.
	Delete(key string)
}
