package resn_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// aTTL is longer than it takes to get a topic that is free.
const aTTL = 3 * time.Second

// publisher connects a process with a Publisher to the broker.
func publisher(t *testing.T, broker *membus.Broker, opts *resn.PublisherOptions) (*resn.Publisher, *membus.Faults) {
	t.Helper()
	faults := &membus.Faults{}
	b := broker.Connect(&membus.Options{Faults: faults})
	pub, err := resn.NewPublisher(b, "restaurants", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = pub.Close(context.Background())
		_ = b.Shutdown(context.Background())
	})
	return pub, faults
}

// listening returns a client that listens to the topic.
func listening(t *testing.T, b *bus.Bus) *resn.Client {
	t.Helper()
	client, err := resn.NewClient(b, &resn.ClientOptions{Transport: &owner{version: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(context.Background()); _ = b.Shutdown(context.Background()) })
	if err := client.Listen(t.Context(), "restaurants"); err != nil {
		t.Fatal(err)
	}
	return client
}

func updated(context.Context) (kind, etag string, err error) { return resn.Update, "", nil }

func TestASecondPublisherOfATopicIsRefusedUntilTheFirstIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		client := listening(t, broker.Connect(nil))
		first, _ := publisher(t, broker, &resn.PublisherOptions{Claim: &resn.OwnershipOptions{Owner: "menus"}})
		if err := first.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		epoch := client.Topics()[0].Epoch
		second, _ := publisher(t, broker, nil)
		for range 10 {
			var owned *resn.OwnedError
			err := second.Change(t.Context(), href, func(context.Context) (string, string, error) {
				t.Error("a change of somebody else's resource was made")
				return resn.Update, "", nil
			})
			if !errors.As(err, &owned) || owned.Owner != "menus" || !strings.Contains(err.Error(), "one owner at a time") {
				t.Fatalf("a second publisher is refused, and told who the first is; got %v", err)
			}
			if err := second.Ready(t.Context()); !errors.Is(err, resn.ErrOwned) {
				t.Fatalf("Ready says so too: %v", err)
			}
			time.Sleep(time.Second)
		}
		if s := client.Topics()[0]; s.Epoch != epoch || s.Resets != 0 || !s.Live {
			t.Errorf("readers never hear of who was refused: %+v", s)
		}
		if err := first.Change(t.Context(), href, updated); err != nil {
			t.Errorf("the first isn't disturbed: %v", err)
		}
		_ = first.Close(t.Context())
		time.Sleep(aTTL)
		if err := second.Change(t.Context(), href, updated); err != nil {
			t.Errorf("the second takes over when the first is gone: %v", err)
		}
		time.Sleep(time.Second)
		if s := client.Topics()[0]; s.Epoch == epoch || s.Resets != 1 || !s.Live {
			t.Errorf("readers hear of a new epoch, and go on: %+v", s)
		}
	})
}

func TestChangesWaitForATopicThatIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		client := listening(t, broker.Connect(nil))
		began := time.Now()
		pub, _ := publisher(t, broker, nil)
		time.Sleep(resn.DefaultOwnershipTTL)
		if s := client.Topics()[0]; s.Live {
			t.Errorf("nobody vouches for a topic before it is certain whose it is: %+v", s)
		}
		if err := pub.Change(t.Context(), href, updated); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > aTTL {
			t.Errorf("the first change waited %v", took)
		}
		synctest.Wait()
		if s := client.Topics()[0]; !s.Live || s.Notices != 1 {
			t.Errorf("the first watermark comes with the topic: %+v", s)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		other, _ := publisher(t, membus.NewBroker(), nil)
		if err := other.Change(short, href, updated); !errors.Is(err, resn.ErrNotOwner) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who doesn't wait so long is told what for: %v", err)
		}
	})
}

// A broker that is away for long ends the ownership, and not the process's
// changes for good.
func TestAPublisherTakesItsTopicAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		client := listening(t, broker.Connect(nil))
		pub, faults := publisher(t, broker, nil)
		if err := pub.Change(t.Context(), href, updated); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		epoch := client.Topics()[0].Epoch
		faults.Cut()
		time.Sleep(10 * time.Second)
		began := time.Now()
		if err := pub.Change(t.Context(), href, updated); !errors.Is(err, resn.ErrNotOwner) {
			t.Errorf("who is cut off makes no changes: %v", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("and says so at once, not after %v", took)
		}
		faults.Heal(false)
		time.Sleep(20 * time.Second)
		if err := pub.Change(t.Context(), href, updated); err != nil {
			t.Errorf("the topic is taken again: %v", err)
		}
		synctest.Wait()
		if s := client.Topics()[0]; !s.Live || s.Epoch == epoch {
			t.Errorf("what happened meanwhile isn't in the old numbers, so there is a new epoch: %+v", s)
		}
	})
}

func TestUnownedIsTheProgramsBusiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		for range 2 {
			pub, _ := publisher(t, broker, &resn.PublisherOptions{Unowned: true})
			began := time.Now()
			if err := errors.Join(pub.Ready(t.Context()), pub.Change(t.Context(), href, updated)); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("nothing is waited for: %v", took)
			}
		}
	})
}

// Of replicas all but one stand by, and nobody is called for that. Two services
// with one topic are a mistake.
func TestWhoStandsByLogsNoError(t *testing.T) {
	for name, wait := range map[string]bool{"stands by": true, "doesn't": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broker := membus.NewBroker()
				publisher(t, broker, nil)
				time.Sleep(aTTL)
				var text strings.Builder
				level := slog.LevelError
				if wait {
					level = slog.LevelInfo
				}
				second, _ := publisher(t, broker, &resn.PublisherOptions{
					Claim:  &resn.OwnershipOptions{Wait: wait},
					Logger: slog.New(slog.NewTextHandler(&text, nil)),
				})
				time.Sleep(time.Minute)
				if err := second.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := strings.Count(text.String(), "level="+level.String()); n != 1 || strings.Count(text.String(), "\n") != 1 {
					t.Errorf("that another has the topic is said once, at level %v; the log is\n%s", level, text.String())
				}
			})
		})
	}
}
