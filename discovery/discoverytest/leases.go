package discoverytest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/discovery/driver"
)

func testPutAndDelete(t *testing.T, s *suite) {
	here, there, service := s.driver(t), s.driver(t), name("put")
	s.lists(t, there, service, "a service that nobody registered is empty")
	must(t, here.Put(s.ctx(t), record(service, "a", "o1", "1")), "Put")
	must(t, here.Put(s.ctx(t), record(service, "b", "o2", "2")), "Put")
	s.lists(t, there, service, "what was put is there for everybody as soon as Put returns", "a=1", "b=2")
	must(t, here.Delete(s.ctx(t), instance(service, "a"), "o1"), "Delete")
	s.lists(t, there, service, "what was deleted is gone for everybody as soon as Delete returns", "b=2")
	must(t, here.Delete(s.ctx(t), instance(service, "a"), "o1"), "deleting what isn't there")
	must(t, here.Delete(s.ctx(t), instance(service, "never"), ""), "deleting what never was")
}

func testValues(t *testing.T, s *suite) {
	d, service := s.driver(t), name("values")
	for i, value := range []string{`{}`, `{"text":"Zoë's café \u0000 \"quoted\" 日本"}`, `{"big":"` + strings.Repeat("x", 16<<10) + `"}`} {
		r := record(service, fmt.Sprintf("Id_%d-X", i), "o", "")
		r.Value = []byte(value)
		must(t, d.Put(s.ctx(t), r), "Put")
		all, err := d.List(s.ctx(t), service)
		must(t, err, "List")
		for _, got := range all {
			if got.Key == r.Key && string(got.Value) != value {
				t.Errorf("a value comes back as it was put: %.80q became %.80q", value, got.Value)
			}
		}
		if len(all) != i+1 {
			t.Errorf("each key is a record: %d of %d", len(all), i+1)
		}
	}
}

func testServicesApart(t *testing.T, s *suite) {
	d, base := s.driver(t), name("apart")
	services := []string{base, base + "-b", base + "b", base + "--", base + "-b-c"}
	for _, service := range services {
		must(t, d.Put(s.ctx(t), record(service, "i", "o", service)), "Put")
	}
	for _, service := range services {
		s.lists(t, d, service, "a service's list has its own instances and nobody else's, whatever the names have in common", "i="+service)
	}
}

func testKindsApart(t *testing.T, s *suite) {
	d, service := s.driver(t), name("kinds")
	must(t, d.Put(s.ctx(t), record(service, "a", "o1", "instance")), "Put")
	m := record(service, "a", "o2", "mark")
	m.Key.Kind = driver.Marks
	must(t, d.Put(s.ctx(t), m), "Put of another kind under the same name, by another owner")
	s.lists(t, d, service, "kinds are apart, and listed together", "a=instance", "a=mark")
	must(t, d.Delete(s.ctx(t), instance(service, "a"), "o1"), "Delete")
	s.lists(t, d, service, "deleting one kind leaves the other", "a=mark")
}

func testOwnerReplaces(t *testing.T, s *suite) {
	here, there, service := s.driver(t), s.driver(t), name("replace")
	for i, d := range []driver.Driver{here, here, there, here, there} {
		must(t, d.Put(s.ctx(t), record(service, "a", "owner", fmt.Sprint(i))), "Put by the owner, through any connection")
		s.lists(t, there, service, "an owner replaces its record", fmt.Sprintf("a=%d", i))
	}
}

func testOthersDoNot(t *testing.T, s *suite) {
	here, there, service := s.driver(t), s.driver(t), name("others")
	must(t, here.Put(s.ctx(t), record(service, "a", "owner", "1")), "Put")
	for _, d := range []driver.Driver{here, there} {
		refused(t, "nobody else replaces a living record", d.Put(s.ctx(t), record(service, "a", "other", "2")), driver.ErrTaken)
		refused(t, "nobody else renews it", d.Renew(s.ctx(t), instance(service, "a"), "other"), driver.ErrGone)
		must(t, d.Delete(s.ctx(t), instance(service, "a"), "other"), "Delete by another owner, which does nothing")
	}
	s.lists(t, there, service, "a record is its owner's", "a=1")
	refused(t, "what isn't there can't be renewed", here.Renew(s.ctx(t), instance(service, "b"), "owner"), driver.ErrGone)
}

func testOneWinner(t *testing.T, s *suite) {
	service := name("race")
	const rivals, rounds = 6, 10
	var drivers []driver.Driver
	for range rivals {
		drivers = append(drivers, s.driver(t))
	}
	for round := range rounds {
		id := fmt.Sprint("round", round)
		var won atomic.Int32
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i, d := range drivers {
			wg.Go(func() {
				<-start
				if err := d.Put(s.ctx(t), record(service, id, fmt.Sprint("owner", i), fmt.Sprint(i))); err != nil {
					refused(t, "who comes second is told so", err, driver.ErrTaken)
					return
				}
				won.Add(1)
			})
		}
		close(start)
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("of %d owners that put the same name at once exactly one wins: %d did", rivals, won.Load())
		}
	}
}

func testAnybodyRemoves(t *testing.T, s *suite) {
	here, there, service := s.driver(t), s.driver(t), name("remove")
	must(t, here.Put(s.ctx(t), record(service, "a", "owner", "1")), "Put")
	must(t, there.Delete(s.ctx(t), instance(service, "a"), ""), "Delete without an owner")
	s.lists(t, here, service, "without an owner, whoever's it is is deleted")
	refused(t, "the owner hears of it when it renews", here.Renew(s.ctx(t), instance(service, "a"), "owner"), driver.ErrGone)
}

// short is a record whose lease ends soon.
func (s *suite) short(service, id string) driver.Record {
	r := record(service, id, "owner", "1")
	r.TTL = s.ttl
	return r
}

// goes waits until the service is empty.
func (s *suite) goes(t *testing.T, d driver.Driver, service, rule string) {
	t.Helper()
	ctx := s.ctx(t)
	for {
		all, err := d.List(ctx, service)
		if err != nil || len(all) > 0 && ctx.Err() != nil {
			t.Fatalf("%s: %d records are there still, %v", rule, len(all), err)
		}
		if len(all) == 0 {
			return
		}
		pause(s.ttl / 10)
	}
}

func testLeaseEnds(t *testing.T, s *suite) {
	d := s.driver(t)
	service := s.living(t, "ends", func(l *lease) error {
		if err := l.extend("Put", func() error { return d.Put(s.ctx(t), s.short(l.service, "a")) }); err != nil {
			return err
		}
		return l.lists(s.ctx(t), d, "a record lives when it was put", "a=1")
	})
	s.goes(t, d, service, "a record that nobody renews goes")
	refused(t, "a lease that has ended can't be renewed", d.Renew(s.ctx(t), instance(service, "a"), "owner"), driver.ErrGone)
}

func testLeaseIsRenewed(t *testing.T, s *suite) {
	d := s.driver(t)
	s.living(t, "renewed", func(l *lease) error {
		if err := l.extend("Put", func() error { return d.Put(s.ctx(t), s.short(l.service, "a")) }); err != nil {
			return err
		}
		sink := s.watch(t, d, l.service)
		sink.until(s.ctx(t), t, "the record is there", func() bool {
			return l.tooLate() || sink.state != nil && slices.Equal(sink.list(), []string{"a=1"})
		})
		if err := l.renew(s.ctx(t), 3, d); err != nil {
			return err
		}
		if err := l.lists(s.ctx(t), d, "a record that is renewed stays", "a=1"); err != nil {
			return err
		}
		sink.mu.Lock()
		defer sink.mu.Unlock()
		if len(sink.history) != 0 {
			return fmt.Errorf("renewals change nothing for those who watch: %q", sink.history)
		}
		return nil
	})
}

func testLeaseOutlivesItsConnection(t *testing.T, s *suite) {
	there := s.driver(t)
	service := s.living(t, "outlives", func(l *lease) error {
		here := s.open(t)
		err := l.extend("Put", func() error { return here.Put(s.ctx(t), s.short(l.service, "a")) })
		must(t, here.Close(s.ctx(t)), "Close")
		if err != nil {
			return err
		}
		if err := l.lists(s.ctx(t), there, "the death of the connection that registered it unlists nobody", "a=1"); err != nil {
			return err
		}
		if err := l.renew(s.ctx(t), 2, there); err != nil {
			return err
		}
		return l.lists(s.ctx(t), there, "whoever speaks for the owner keeps it alive", "a=1")
	})
	s.goes(t, there, service, "and when nobody does it goes")
}

func testRenewalThroughAnother(t *testing.T, s *suite) {
	here, there := s.driver(t), s.driver(t)
	service := s.living(t, "through", func(l *lease) error {
		if err := l.extend("Put", func() error { return here.Put(s.ctx(t), s.short(l.service, "a")) }); err != nil {
			return err
		}
		return l.renew(s.ctx(t), 2, there, here)
	})
	must(t, here.Delete(s.ctx(t), instance(service, "a"), "owner"), "Delete")
	refused(t, "the other connection hears that it was deleted", there.Renew(s.ctx(t), instance(service, "a"), "owner"), driver.ErrGone)
}

func testPutRestartsTheLease(t *testing.T, s *suite) {
	d := s.driver(t)
	service := s.living(t, "restarts", func(l *lease) error {
		r := s.short(l.service, "a")
		sink := s.watch(t, d, l.service)
		sink.becomes(s.ctx(t), t, "nothing at first")
		for end := time.Now().Add(2 * s.ttl); time.Now().Before(end); {
			if err := l.extend("Put by the owner", func() error { return d.Put(s.ctx(t), r) }); err != nil {
				return err
			}
			if err := l.lists(s.ctx(t), d, "each Put by the owner restarts the lease", "a=1"); err != nil {
				return err
			}
			pause(s.ttl / 10)
		}
		l.look()
		sink.mu.Lock()
		defer sink.mu.Unlock()
		if !slices.Equal(sink.history, []string{"a=1"}) {
			return fmt.Errorf("between two of them the record is never gone: %q", sink.history)
		}
		return nil
	})
	s.goes(t, d, service, "then it ends, however often it was put")
}

func testNameIsFreeAgain(t *testing.T, s *suite) {
	here, there, service := s.driver(t), s.driver(t), name("free")
	must(t, here.Put(s.ctx(t), s.short(service, "a")), "Put")
	must(t, here.Delete(s.ctx(t), instance(service, "a"), "owner"), "Delete")
	must(t, there.Put(s.ctx(t), record(service, "a", "second", "2")), "Put by another owner after Delete")
	must(t, there.Delete(s.ctx(t), instance(service, "a"), "second"), "Delete")
	must(t, here.Put(s.ctx(t), s.short(service, "a")), "Put after another owner's Delete")
	s.goes(t, there, service, "the lease ends")
	must(t, there.Put(s.ctx(t), record(service, "a", "third", "3")), "Put by another owner after the lease has ended")
	s.lists(t, here, service, "a name is free after its record's end", "a=3")
}
