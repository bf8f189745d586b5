package binding

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/goswale/swale/discovery"
)

// Ramp is how a version's share is raised.
type Ramp struct {
	Service string
	// Version is the one that is raised.
	Version string
	// Steps are its percentages, one after another. Default: 1, 5, 25, 100.
	Steps []float64
	// Pause is how long each step lasts at least. Default: 5 min.
	Pause time.Duration
	// MinRequests is how many requests the version must have answered before a
	// step ends, and before it is judged. Default: 100.
	MinRequests int
	// MaxErrors is by how much the version's rate of errors may exceed that of
	// the other versions, from 0 to 1. Default: 0.01.
	MaxErrors float64
	// MaxLatency is how many times as slow as the others' its 95th percentile
	// may be. Default: 1.5.
	MaxLatency float64
	// Check is how often the version is judged. Default: a second.
	Check time.Duration
	// Source says how the versions do, wherever their requests pass: a metrics
	// store, for example. Default: what this process hears by [Ramper.Observe].
	Source Source
	// Author is who the revisions are by. Default: "ramp".
	Author string
}

func (r *Ramp) defaults() {
	if r.Steps == nil {
		r.Steps = []float64{1, 5, 25, 100}
	}
	if r.Pause <= 0 {
		r.Pause = 5 * time.Minute
	}
	if r.MinRequests <= 0 {
		r.MinRequests = 100
	}
	if r.MaxErrors <= 0 {
		r.MaxErrors = 0.01
	}
	if r.MaxLatency <= 0 {
		r.MaxLatency = 1.5
	}
	if r.Check <= 0 {
		r.Check = time.Second
	}
	if r.Author == "" {
		r.Author = "ramp"
	}
}

// Regression is the error of a ramp that was rolled back.
type Regression struct { //nolint:errname // what it is
	Version string
	Percent float64 // the step at which it showed
	Why     string
}

// Error says what was seen.
func (r *Regression) Error() string {
	return fmt.Sprintf("binding: version %s was rolled back at %g%%: %s", r.Version, r.Percent, r.Why)
}

// ErrOvertaken is wrapped by the error of a ramp that ended because somebody
// else changed the binding; theirs stays.
var ErrOvertaken = errors.New("binding: somebody else changed the binding during the ramp")

// Ramper raises versions and watches how they do. It judges by what it is told
// through Observe, which is what this process sees: run it where most requests
// pass, such as in the thin API, or give ramps a [Source] that sees all. It is
// safe for concurrent use.
type Ramper struct {
	table *Table

	mu    sync.Mutex
	ramps map[string]*observed
}

// NewRamper returns a ramper of the table's bindings. It panics without a table.
func NewRamper(t *Table) *Ramper {
	if t == nil {
		panic("binding: NewRamper: the *Table is nil; NewTable makes one") //nolint:forbidigo // programmer error
	}
	return &Ramper{table: t, ramps: map[string]*observed{}}
}

// Observe takes in how an attempt went: it is meant for
// discovery.TransportOptions.OnAttempt. It doesn't block.
func (r *Ramper) Observe(a discovery.Attempt) {
	r.mu.Lock()
	o := r.ramps[a.Service]
	r.mu.Unlock()
	if o == nil || a.Instance == nil || errors.Is(a.Err, context.Canceled) {
		return
	}
	o.note(a.Instance.Version, a.Err != nil || a.Status >= 500, a.Latency)
}

// observed is what a ramp has seen.
type observed struct {
	version   string
	mu        sync.Mutex
	candidate tally // of this step
	others    tally // of the whole ramp, since the last step leaves them nothing
}

func (o *observed) note(version string, failed bool, took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if version == o.version {
		o.candidate.add(failed, took)
	} else {
		o.others.add(failed, took)
	}
}

// tally counts requests, errors and latencies.
type tally struct {
	requests, errors int
	took             [128]int // by bucketOf
}

// bucketOf is logarithmic from 10 µs, a fifth wider each: 128 reach beyond a
// day.
func bucketOf(d time.Duration) int {
	const first = 10 * time.Microsecond
	if d <= first {
		return 0
	}
	return min(127, int(math.Log(float64(d)/float64(first))/math.Log(1.2))+1)
}

func (t *tally) add(failed bool, took time.Duration) {
	t.requests++
	if failed {
		t.errors++
		return
	}
	t.took[bucketOf(took)]++
}

// p95 is the upper bound of the bucket that 95 of 100 good answers reach.
func (t *tally) p95() time.Duration {
	left := (t.requests - t.errors) - (t.requests-t.errors)*95/100
	for i := len(t.took) - 1; i >= 0; i-- {
		if left -= t.took[i]; left <= 0 && t.took[i] > 0 {
			return time.Duration(float64(10*time.Microsecond) * math.Pow(1.2, float64(i)))
		}
	}
	return 0
}

// measured is what a tally says.
func (t *tally) measured() Measured {
	return Measured{Requests: t.requests, Errors: t.errors, P95: t.p95()}
}

// Measured is how requests for a version went.
type Measured struct {
	Requests int
	// Errors are those of them that failed, or were answered from 500 on.
	Errors int
	// P95 is what 95 of 100 good answers took at most.
	P95 time.Duration
}

func (m *Measured) rate() float64 {
	if m.Requests == 0 {
		return 0
	}
	return float64(m.Errors) / float64(m.Requests)
}

// A Source says how the version of a service that is raised did since a moment,
// the beginning of a step, and how the other versions did, since then or for
// longer. While it returns an error the ramp neither goes on nor back. Its ctx
// ends after five seconds.
type Source func(ctx context.Context, service, version string, since time.Time) (candidate, others Measured, err error)

// measure asks the ramp's source.
func (o *observed) measure(ctx context.Context, r *Ramp, since time.Time) (candidate, others Measured, err error) {
	if r.Source == nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.candidate.measured(), o.others.measured(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return r.Source(ctx, r.Service, r.Version, since)
}

// judge says what is wrong with the version so far, or nothing, and whether it
// was seen enough.
func (r *Ramp) judge(c, b *Measured) (why string, enough bool) {
	if c.Requests < r.MinRequests {
		return "", false
	}
	if c.rate() > b.rate()+r.MaxErrors {
		return fmt.Sprintf("%.2f%% of its requests failed, and %.2f%% of the others'", c.rate()*100, b.rate()*100), true
	}
	const noise = 2 * time.Millisecond
	if b.Requests-b.Errors >= r.MinRequests && float64(c.P95) > float64(b.P95)*r.MaxLatency+float64(noise) {
		return fmt.Sprintf("95%% of its answers took up to %v, and the others' %v", c.P95.Round(time.Millisecond/10), b.P95.Round(time.Millisecond/10)), true
	}
	return "", true
}

// Run raises a version step by step. It returns when the last step has held
// for its pause; with a *Regression when the version did worse than the others
// and what was before is back; with ErrOvertaken when somebody else changed
// the binding; with ctx's error when that ends, leaving the step as it is.
// There is one ramp of a service at a time.
func (r *Ramper) Run(ctx context.Context, ramp Ramp) error {
	ramp.defaults()
	o := &observed{version: ramp.Version}
	r.mu.Lock()
	if r.ramps[ramp.Service] != nil {
		r.mu.Unlock()
		return fmt.Errorf("binding: a ramp of service %q is under way already", ramp.Service)
	}
	r.ramps[ramp.Service] = o
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.ramps, ramp.Service)
		r.mu.Unlock()
	}()
	before, err := r.table.Get(ctx, ramp.Service)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	at := before.Number
	for _, percent := range ramp.Steps {
		next := stepOf(before.Binding, &ramp, percent)
		rev, err := r.table.Put(ctx, next, Change{Author: ramp.Author, Message: fmt.Sprintf("ramp: %s to %g%%", ramp.Version, percent), Expect: at})
		if err != nil {
			return overtaken(err)
		}
		at = rev.Number
		o.mu.Lock()
		o.candidate = tally{}
		o.mu.Unlock()
		why, err := r.hold(ctx, o, &ramp, at)
		if err != nil {
			return err
		}
		if why != "" {
			return r.back(ctx, before, at, &ramp, &Regression{ramp.Version, percent, why})
		}
	}
	return nil
}

func overtaken(err error) error {
	if errors.Is(err, ErrConflict) {
		return fmt.Errorf("%w: %w", ErrOvertaken, err)
	}
	return err
}

// hold waits until the step has been long enough and seen enough, or says what
// went wrong.
func (r *Ramper) hold(ctx context.Context, o *observed, ramp *Ramp, at uint64) (why string, err error) {
	tick := time.NewTicker(ramp.Check)
	defer tick.Stop()
	began := time.Now()
	end := began.Add(ramp.Pause)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		var enough bool
		if c, b, failed := o.measure(ctx, ramp, began); failed == nil {
			why, enough = ramp.judge(&c, &b)
		}
		if why != "" {
			return why, nil
		}
		now, err := r.table.Get(ctx, ramp.Service)
		if now.Number != at && (err == nil || errors.Is(err, fs.ErrNotExist)) {
			return "", fmt.Errorf("%w: it is at revision %d", ErrOvertaken, now.Number)
		}
		if enough && !time.Now().Before(end) {
			return "", nil
		}
	}
}

// back puts back what was before.
func (r *Ramper) back(ctx context.Context, before Revision, at uint64, ramp *Ramp, found *Regression) error {
	c := Change{Author: ramp.Author, Message: found.Error(), Expect: at}
	var err error
	if before.Binding == nil {
		_, err = r.table.Delete(ctx, ramp.Service, c)
	} else {
		_, err = r.table.Put(ctx, *before.Binding, c)
	}
	if err != nil {
		return errors.Join(found, fmt.Errorf("and could not be rolled back: %w", overtaken(err)))
	}
	return found
}

// stepOf gives the version its percentage of a binding and leaves the others
// what they had of the rest.
func stepOf(before *Binding, ramp *Ramp, percent float64) Binding {
	if before == nil {
		return Binding{Service: ramp.Service, Shares: []Share{{ramp.Version, percent}}, Rest: discovery.AnyOther}
	}
	next := *before
	had := 0.0
	next.Shares = nil
	for _, s := range before.Shares {
		if s.Version == ramp.Version {
			had = s.Percent
		}
	}
	if before.Rest == ramp.Version {
		next.Rest, had = "", 100
		for _, s := range before.Shares {
			had -= s.Percent
		}
	}
	next.Shares = append(next.Shares, Share{ramp.Version, percent})
	sum := percent
	for _, s := range before.Shares {
		if s.Version == ramp.Version {
			continue
		}
		if s.Percent = 0; had < 100 {
			s.Percent = math.Floor(shareOf(before, s.Version)*(100-percent)/(100-had)*10_000) / 10_000
		}
		sum += s.Percent
		next.Shares = append(next.Shares, s)
	}
	// What rounding leaves goes to the largest of the others.
	if next.Rest == "" && sum < 100 {
		others := next.Shares[1:]
		if len(others) == 0 {
			next.Rest = discovery.AnyOther
			return next
		}
		i := slices.IndexFunc(others, func(s Share) bool {
			return !slices.ContainsFunc(others, func(t Share) bool { return t.Percent > s.Percent })
		})
		others[i].Percent += 100 - sum
	}
	return next
}

func shareOf(b *Binding, version string) float64 {
	for _, s := range b.Shares {
		if s.Version == version {
			return s.Percent
		}
	}
	return 0
}
