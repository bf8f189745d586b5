package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/goswale/swale/discovery/driver"
)

// Registry is a connection to the store of instances. It is made by a driver's
// package (memdiscovery.New, natsdiscovery.Open), is safe for concurrent use, and
// wants Shutdown at the end.
type Registry struct {
	driver driver.Driver
	opts   Options
	log    *slog.Logger

	ctx    context.Context // ends with Shutdown
	cancel context.CancelFunc

	mu     sync.Mutex
	open   map[*Registration]struct{}
	active sync.WaitGroup // calls that use the driver
	closed bool

	shutdown sync.Mutex // one Shutdown at a time
	done     bool
}

// Options are the options of every registry. The zero value is useful.
type Options struct {
	// Logger receives what nobody else hears: lost watches, failed renewals,
	// records that don't verify. Default: nothing is logged.
	Logger *slog.Logger
	// Sign proves who says something: it is given the claim, the bytes that
	// name the record and hold its statement, and returns the proof that is
	// stored beside it. Default: no proof. See SignEd25519.
	Sign func(claim Claim) (proof string, err error)
	// Verify refuses a claim whose proof doesn't authorise it. What it refuses
	// is treated as if it weren't in the store: nobody is sent there. Default:
	// everything in the store is believed. See VerifyEd25519.
	Verify func(claim Claim, proof string) error
	// ProofWindow is how long a proof counts, by those who sign and by those who
	// verify: instances sign anew each third of it, and what is older, or claims
	// to count for longer, isn't believed. Clocks may be half a minute apart.
	// Default 10 min. It bounds for how long somebody who can write to the store
	// can bring back what an instance said.
	ProofWindow time.Duration
	// LastKnown is a directory in which what was last known of each service that
	// is watched is kept, in files that only their owner can read. A watch that
	// doesn't reach the store within a second begins with that; View.FromDisk and
	// View.Staleness say so. Default: none, and a process that starts while the
	// store is away knows nobody.
	LastKnown string
	// LastKnownFor is how old that may be. Addresses are given to others in the
	// end. Default 24 h.
	LastKnownFor time.Duration
	// Backoff is how watches and writes are tried again.
	Backoff Backoff
	// CallTimeout bounds each call to the store. Default 5 s.
	CallTimeout time.Duration
	// Grace is how long instances that were known before the watch was lost,
	// and that the store doesn't know when it is back, stay in the view. They
	// register again within that time if they live. Default 30 s, negative is
	// none.
	Grace time.Duration
	// OnInvalid is told of each record that doesn't verify or can't be read. It
	// is called from a watch's goroutine and must not block.
	OnInvalid func(service, id string, err error)
}

// Claim is what a proof is about.
type Claim struct {
	// Kind is "instances" for what an instance says of itself and "marks" for
	// what a checker says of it.
	Kind string
	// Service and ID name the instance.
	Service, ID string
	// Until is when the proof ends. The registry sees to it.
	Until time.Time
	// Bytes are what to sign: kind, service, id, end and statement,
	// unambiguously.
	Bytes []byte
}

func claimOf(k driver.Key, until int64, statement []byte) Claim {
	return Claim{
		Kind: string(k.Kind), Service: k.Service, ID: k.ID, Until: time.UnixMilli(until),
		Bytes: append([]byte("swale discovery\n"+k.String()+"\n"+strconv.FormatInt(until, 10)+"\n"), statement...),
	}
}

// proofSkew is how far clocks may be apart.
const proofSkew = 30 * time.Second

// ErrClosed is returned by calls after Shutdown.
var ErrClosed = errors.New("discovery: the registry is shut down")

// New returns a registry on a driver. Programs call the driver's own
// constructor; New is for those. It panics without a driver.
func New(d driver.Driver, opts *Options) *Registry {
	if d == nil {
		panic("discovery: New: the driver is nil") //nolint:forbidigo // programmer error
	}
	r := &Registry{driver: d, open: make(map[*Registration]struct{})}
	if opts != nil {
		r.opts = *opts
	}
	o := &r.opts
	r.log = o.Logger
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	o.Backoff = o.Backoff.withDefaults()
	if o.CallTimeout <= 0 {
		o.CallTimeout = 5 * time.Second
	}
	if o.ProofWindow <= 0 {
		o.ProofWindow = 10 * time.Minute
	}
	if o.LastKnownFor <= 0 {
		o.LastKnownFor = 24 * time.Hour
	}
	if o.Grace == 0 {
		o.Grace = 30 * time.Second
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Driver returns what the driver says about itself.
func (r *Registry) Driver() driver.Info { return r.driver.Info() }

// List returns the instances of the service, of all services if service is
// empty, sorted by service and ID, as a Watch would show them.
func (r *Registry) List(ctx context.Context, service string) ([]Instance, error) {
	ctx, leave, err := r.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, r.opts.CallTimeout)
	defer cancel()
	records, err := r.driver.List(ctx, service)
	if err != nil {
		return nil, fmt.Errorf("discovery: list %s: %w", cmpOr(service, "all services"), err)
	}
	f := newFeed(r, service, nil)
	defer f.close()
	f.Reset(records)
	return f.view.Instances, nil
}

// Remove removes an instance that doesn't do so itself, for operators. Whether
// the store lets this client do it is the store's affair. A process that still
// lives registers again.
func (r *Registry) Remove(ctx context.Context, service, id string) error {
	ctx, leave, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, r.opts.CallTimeout)
	defer cancel()
	key := driver.Key{Kind: driver.Instances, Service: service, ID: id}
	if !ValidService(service) || !validID(id) {
		return fmt.Errorf("discovery: remove %s: %w: no instance can have this name", key, ErrInvalidInstance)
	}
	if err := r.driver.Delete(ctx, key, ""); err != nil {
		return fmt.Errorf("discovery: remove %s: %w", key, err)
	}
	return nil
}

// Shutdown ends watches, deregisters what is still registered, closes the
// driver, and returns after the last goroutine. Twice is fine.
func (r *Registry) Shutdown(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	open := make([]*Registration, 0, len(r.open))
	for g := range r.open {
		open = append(open, g)
	}
	r.mu.Unlock()
	var errs []error
	for _, g := range open {
		errs = append(errs, g.Deregister(ctx))
	}
	r.cancel()
	r.active.Wait()
	r.shutdown.Lock()
	defer r.shutdown.Unlock()
	if !r.done {
		r.done = true
		errs = append(errs, r.driver.Close(ctx))
	}
	return errors.Join(errs...)
}

// enter counts a call in, so that Shutdown waits for it, and returns a context
// that Shutdown ends.
func (r *Registry) enter(ctx context.Context) (context.Context, func(), error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, nil, ErrClosed
	}
	r.active.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(r.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
		r.active.Done()
	}, nil
}

// encode makes a record's value: the statement and the proof of it.
func (r *Registry) encode(key driver.Key, statement any) ([]byte, error) {
	raw, err := json.Marshal(statement)
	if err != nil {
		return nil, fmt.Errorf("discovery: %s: %w", key, err)
	}
	s := signed{Statement: raw}
	if r.opts.Sign != nil {
		s.Until = time.Now().Add(r.opts.ProofWindow).UnixMilli()
		if s.Proof, err = r.opts.Sign(claimOf(key, s.Until, raw)); err != nil {
			return nil, fmt.Errorf("discovery: sign %s: %w", key, err)
		}
	}
	return json.Marshal(s)
}

// decode reads and verifies what encode made, and returns when the proof ends. A
// record that fails is reported once per value. Of what was known before it
// doesn't ask whether the proof has ended since.
func (r *Registry) decode(rec driver.Record, statement any, before bool) (until time.Time, err error) {
	var s signed
	if err := json.Unmarshal(rec.Value, &s); err != nil {
		return until, fmt.Errorf("discovery: %s: not a record: %w", rec.Key, err)
	}
	if r.opts.Verify != nil {
		claim := claimOf(rec.Key, s.Until, s.Statement)
		err := r.opts.Verify(claim, s.Proof)
		if until = claim.Until; err == nil && !before {
			err = r.inWindow(until)
		}
		if err != nil {
			return until, fmt.Errorf("discovery: %s: not authorised: %w", rec.Key, err)
		}
	}
	if err := json.Unmarshal(s.Statement, statement); err != nil {
		return until, fmt.Errorf("discovery: %s: not a statement: %w", rec.Key, err)
	}
	return until, nil
}

// instance reads an instance's record, and when its proof ends.
func (r *Registry) instance(rec driver.Record, before bool) (*Instance, time.Time, error) {
	var i Instance
	until, err := r.decode(rec, &i, before)
	if err != nil {
		return nil, until, err
	}
	if i.key() != rec.Key {
		return nil, until, fmt.Errorf("discovery: %s: %w: it calls itself %s", rec.Key, ErrInvalidInstance, i.key())
	}
	if err := i.Validate(); err != nil {
		return nil, until, err
	}
	if i.Health == "" {
		i.Health = Serving
	}
	return &i, until, nil
}

func (r *Registry) invalid(key driver.Key, err error) {
	r.log.Warn("discovery record ignored", "service", key.Service, "instance", key.ID, "error", err)
	if r.opts.OnInvalid != nil {
		r.opts.OnInvalid(key.Service, key.ID, err)
	}
}

func cmpOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func sortInstances(all []Instance) {
	slices.SortFunc(all, func(a, b Instance) int {
		if c := strings.Compare(a.Service, b.Service); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}
