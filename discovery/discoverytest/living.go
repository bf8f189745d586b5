package discoverytest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/goswale/swale/discovery/driver"
)

// lease is one that a check keeps alive.
type lease struct {
	service string
	ttl     time.Duration
	since   time.Time // it lasts for at least a TTL from then
	late    bool      // it may have ended before it was extended
}

// living runs a check of a lease that is extended in time, and returns the service
// that it was about. A process that stands still for a TTL, as on a machine that
// has much else to do, extends it too late: the lease has ended then, rightly, and
// what the check found says nothing of the driver. It begins anew.
func (s *suite) living(t *testing.T, prefix string, check func(*lease) error) (service string) {
	t.Helper()
	const attempts = 30
	for range attempts {
		l := &lease{service: name(prefix), ttl: s.ttl}
		err := check(l)
		if err == nil {
			return l.service
		}
		if !l.late {
			t.Fatal(err)
		}
	}
	t.Fatalf("in each of %d attempts this process or the store stood still for a lease of %v", attempts, s.ttl)
	return ""
}

// tooLate reports whether the lease may have ended by now.
func (l *lease) tooLate() bool { return !l.since.IsZero() && time.Since(l.since) >= l.ttl }

// look notes whether it has.
func (l *lease) look() { l.late = l.late || l.tooLate() }

// extend makes a call that begins the lease, or extends it.
func (l *lease) extend(what string, call func() error) error {
	began := time.Now()
	err := call()
	l.look()
	if err != nil {
		return fmt.Errorf("%s in time: %w", what, err)
	}
	l.since = began
	return nil
}

// renew renews for some leases' time, through one driver after the other.
func (l *lease) renew(ctx context.Context, leases int, through ...driver.Driver) error {
	for i, end := 0, time.Now().Add(time.Duration(leases)*l.ttl); time.Now().Before(end); i++ {
		d := through[i%len(through)]
		if err := l.extend("Renew", func() error { return d.Renew(ctx, instance(l.service, "a"), "owner") }); err != nil {
			return err
		}
		pause(l.ttl / 10)
	}
	l.look()
	return nil
}

// lists says when List doesn't return these.
func (l *lease) lists(ctx context.Context, d driver.Driver, rule string, want ...string) error {
	got, err := listed(ctx, d, l.service)
	l.look()
	if err == nil && !slices.Equal(got, want) {
		err = fmt.Errorf("%s: want %q, got %q", rule, want, got)
	}
	return err
}
