package resn_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

func TestAChangeIsAnnouncedWhateverBecomesOfItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		s.want(t, "version 1", 1, "the first read asks")
		ctx, cancel := context.WithCancel(t.Context())
		err := s.pub.Change(ctx, href, func(ctx context.Context) (string, string, error) {
			defer cancel() // the change is made, and nobody waits for it any more
			return s.owner.change(ctx)
		})
		if err != nil {
			t.Errorf("the change was made and announced, and Change says %v", err)
		}
		synctest.Wait()
		epoch := s.client.Topics()[0].Epoch
		s.want(t, "version 2", 2, "a change that was made is announced, though its caller has gone")
		time.Sleep(time.Second)
		if now := s.client.Topics()[0]; now.Epoch != epoch || now.Resets != 0 {
			t.Errorf("a caller who goes costs all readers a revalidation of everything: %+v", now)
		}
	})
}

func TestANoticeThatIsGivenUpIsNotLostInSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker, faults := membus.NewBroker(), &membus.Faults{}
		s := &system{owner: &owner{version: 1}, bus: broker.Connect(nil)}
		ours := broker.Connect(&membus.Options{Faults: faults})
		var err error
		if s.client, err = resn.NewClient(s.bus, &resn.ClientOptions{Transport: s.owner}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.stop(); _ = ours.Shutdown(context.Background()) })
		if err = s.client.Listen(t.Context(), "restaurants"); err != nil {
			t.Fatal(err)
		}
		if s.pub, err = resn.NewPublisher(ours, "restaurants", &resn.PublisherOptions{AnnounceTimeout: time.Second, Unowned: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.want(t, "version 1", 1, "the first read asks")
		faults.Cut()
		if err := s.pub.Change(t.Context(), href, s.owner.change); !errors.Is(err, resn.ErrNotAnnounced) {
			t.Errorf("a change that stands and could not be announced is reported as such: %v", err)
		}
		faults.Heal(false)
		time.Sleep(10 * time.Second) // longer than max-age, which HTTP allows
		if state := s.client.Topics()[0]; !state.Live || state.Resets == 0 {
			t.Errorf("a notice that was given up begins a new epoch, upon which readers revalidate: %+v", state)
		}
		s.want(t, "version 2", 2, "nothing is vouched for across a notice that was given up")
	})
}

func TestWhoWaitsForAnotherChangeCanStopWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		release := make(chan struct{})
		var first sync.WaitGroup
		first.Go(func() {
			_ = s.pub.Change(t.Context(), href, func(ctx context.Context) (string, string, error) {
				<-release
				return s.owner.change(ctx)
			})
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.pub.Change(ctx, href, func(context.Context) (string, string, error) {
			t.Error("two changes of one resource were made at once")
			return resn.Update, "", nil
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a change that waits for another ends with its context: %v", err)
		}
		close(release)
		first.Wait()
	})
}

// A watermark doesn't pass a change under way.
func TestAWatermarkWaitsForChangesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		began := time.Now()
		release := make(chan struct{})
		var change sync.WaitGroup
		change.Go(func() {
			_ = s.pub.Change(t.Context(), href, func(ctx context.Context) (string, string, error) {
				kind, tag, err := s.owner.change(ctx)
				<-release // made, and not announced yet
				return kind, tag, err
			})
		})
		time.Sleep(1500 * time.Millisecond)
		if state := s.client.Topics()[0]; state.Watermark.After(began) {
			t.Errorf("a watermark of %v says that the change of %v was announced", state.Watermark, began)
		}
		time.Sleep(resn.DefaultLease)
		if state := s.client.Topics()[0]; state.Live {
			t.Errorf("a change that isn't announced for longer than the lease ends the vouching: %+v", state)
		}
		close(release)
		change.Wait()
		time.Sleep(time.Second)
		if state := s.client.Topics()[0]; !state.Live || !state.Watermark.After(began) {
			t.Errorf("once it is announced watermarks go on: %+v", state)
		}
	})
}
