package resn_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// apart is a system whose reader has a connection of its own, which can be cut.
func apart(t *testing.T, opts *resn.ListenerOptions) (*system, *membus.Faults) {
	t.Helper()
	broker, faults := membus.NewBroker(), &membus.Faults{}
	s := &system{owner: &owner{version: 1}, bus: broker.Connect(nil)}
	theirs := broker.Connect(&membus.Options{Faults: faults})
	var err error
	if s.client, err = resn.NewClient(theirs, &resn.ClientOptions{Transport: s.owner, Listener: opts}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(); _ = theirs.Shutdown(context.Background()) })
	if err = s.client.Listen(t.Context(), "restaurants"); err != nil {
		t.Fatal(err)
	}
	if s.pub, err = resn.NewPublisher(s.bus, "restaurants", &resn.PublisherOptions{Unowned: true}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return s, faults
}

func TestG3ALostConnectionEndsTheVouchingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, faults := apart(t, nil)
		s.want(t, "version 1", 1, "the first read asks")
		time.Sleep(10 * time.Second) // past its max-age
		s.want(t, "version 1", 1, "while the topic is live it is vouched for")
		faults.Cut()
		synctest.Wait()
		if state := s.client.Topics()[0]; state.Live || state.Reason != "the bus is disconnected" {
			t.Errorf("the topic doesn't say that and why it isn't live: %+v", state)
		}
		s.owner.version = 2
		s.want(t, "version 2", 2, "who knows that it can't hear doesn't wait for the lease to run out")
		faults.Heal(false)
		time.Sleep(6 * time.Second) // past its max-age
		s.want(t, "version 2", 3, "what was asked while nobody heard isn't vouched for")
		time.Sleep(time.Minute)
		s.want(t, "version 2", 3, "and once it was asked again it is")
		if state := s.client.Topics()[0]; state.Resets != 0 || !state.Live {
			t.Errorf("nothing was missed, so nothing is reset: %+v", state)
		}
	})
}

func TestG3ABusThatSaysItLostMessagesIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var missed []string
		s, faults := apart(t, &resn.ListenerOptions{OnMissed: func(topic, reason string) { missed = append(missed, topic+": "+reason) }})
		s.want(t, "version 1", 1, "the first read asks")
		time.Sleep(10 * time.Second)
		faults.Cut()
		faults.Heal(true)
		synctest.Wait()
		if state := s.client.Topics()[0]; state.Resets != 1 || len(missed) != 1 || missed[0] != "restaurants: the bus lost messages" {
			t.Errorf("a hole that the bus tells of is one, whatever the numbers say later: %+v, %q", state, missed)
		}
		time.Sleep(time.Second)
		s.want(t, "version 1", 2, "what was vouched for before has to be revalidated")
	})
}
