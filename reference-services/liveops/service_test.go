package liveops_test

import (
	"maps"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/resn"
)

const (
	oneRule = `{"rules":[{"id":"slow","kind":"not-accepted","steps":[{"after":"2m","severity":"warning"},{"after":"5m","severity":"critical"}]}]}`
	late    = `{"rules":[{"id":"late","kind":"late","steps":[{"after":"1m","severity":"warning"}]}]}`
	wasted  = `{"rules":[{"id":"wasted","kind":"wasted-ride","steps":[{"after":"30s","severity":"warning"}]}]}`
)

func (r *rig) wants(rule string, want ...string) {
	r.t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(append([]string{}, want...), r.open()); diff != "" {
		r.t.Errorf("after %s: %s (-want +got):\n%s", time.Since(r.began), rule, diff)
	}
}

// placed puts an order of now.
func (r *rig) placed(id string, more map[string]any) {
	doc := map[string]any{"status": "placed", "placed_at": time.Now().UTC().Format(time.RFC3339), "area": "dr5ru"}
	maps.Copy(doc, more)
	r.order(id, doc)
}

func TestAnIssueComesWhenItIsDue(t *testing.T) {
	bubble(t, oneRule, func(t *testing.T, r *rig) {
		r.until(10 * time.Second)
		r.placed("1", map[string]any{"restaurant": map[string]string{"name": "Alder"}, "_links": links("restaurant", "http://restaurants.example/7", "cancel", ordersAt+"/o/1/cancel")})
		r.settle()
		r.city.questions("/o/1")
		r.city.questions("/open-ones")
		r.until(2*time.Minute + 10*time.Second - time.Millisecond)
		r.wants("it isn't due yet")
		if n := r.city.questions("/o/1") + r.city.questions("/open-ones"); n != 0 {
			t.Errorf("while nothing was due the owner was asked %d times", n)
		}
		r.until(2*time.Minute + 10*time.Second)
		r.wants("it is due", "not-accepted 1 warning open")
		if n := r.city.questions("/o/1"); n != 0 {
			t.Errorf("the owner vouches for what the cache has, and was asked %d times", n)
		}
		i := r.only()
		if want := r.began.Add(130 * time.Second); !i.OpenedAt.Equal(want) || i.Why != "The restaurant hasn't accepted it 2 min after it was placed." || i.Restaurant.Name != "Alder" {
			t.Errorf("it says %+v", i.Issue)
		}
		for rel, want := range map[string]string{
			"order": ordersAt + "/o/1", "restaurant": "http://restaurants.example/7", "cancel": ordersAt + "/o/1/cancel",
			"acknowledge": i.link("self") + "/acknowledge", "resolve": i.link("self") + "/resolve", "accept": "",
		} {
			if got := i.link(rel); got != want {
				t.Errorf("its link %s leads to %q; want %q", rel, got, want)
			}
		}
		r.until(5*time.Minute + 10*time.Second)
		r.wants("it is worse after a while", "not-accepted 1 critical open")
		if again := r.only(); again.ID != i.ID || !again.OpenedAt.Equal(i.OpenedAt) {
			t.Errorf("it is the same issue that has become worse: %+v", again.Issue)
		}
	})
}

func TestAnIssueGoesByItself(t *testing.T) {
	bubble(t, oneRule, func(t *testing.T, r *rig) {
		r.placed("1", nil)
		r.until(3 * time.Minute)
		r.wants("it is due", "not-accepted 1 warning open")
		i := r.only()
		resp, acked := r.do(http.MethodPost, i.link("acknowledge"), i.etag)
		if resp.Code != http.StatusOK || acked.Status != "acknowledged" || acked.link("acknowledge") != "" || acked.link("resolve") == "" {
			t.Fatalf("acknowledging gives %d, %+v", resp.Code, acked.Issue)
		}
		// Whatever is heard meanwhile, it was acknowledged; and it does become worse.
		r.order("1", map[string]any{"total_cents": 5})
		r.until(6 * time.Minute)
		r.wants("an issue stays acknowledged", "not-accepted 1 critical acknowledged")
		r.order("1", map[string]any{"status": "accepted", "accepted_at": r.at(6*time.Minute + 2*time.Second)})
		r.wants("its cause is gone")
		i = r.only()
		if !i.ResolvedAt.Equal(r.began.Add(6*time.Minute+2*time.Second)) || i.ResolvedBy != "cause" || i.AcknowledgedAt.IsZero() {
			t.Errorf("it says %+v", i.Issue)
		}
		if i.link("resolve") != "" || i.link("acknowledge") != "" {
			t.Error("there is nothing to do about what is resolved")
		}
		if n := r.query(`SELECT count(*) FROM watched_orders WHERE due IS NOT NULL`); n != 0 {
			t.Errorf("%d deadlines are left", n)
		}
		r.order("1", map[string]any{"status": "delivered"})
		if n := r.query(`SELECT count(*) FROM watched_orders`); n != 0 {
			t.Errorf("%d orders are watched that are over", n)
		}
	})
}

// The order was there before the process, and nothing is heard of it: what was to
// be waited for is in the database.
func TestADeadlineSurvivesARestart(t *testing.T) {
	bubble(t, oneRule, func(t *testing.T, r *rig) {
		r.placed("1", nil)
		r.settle()
		r.stop()
		r.until(90 * time.Second)
		r.city.breaks("/open-ones", true) // so that no walk finds it
		r.start(oneRule)
		r.until(2 * time.Minute)
		r.wants("it isn't due yet")
		r.until(2*time.Minute + time.Second)
		r.wants("it is due", "not-accepted 1 warning open")
		r.stop()
		r.until(6 * time.Minute) // one comes while nobody is there
		r.start(oneRule)
		r.wants("what was due meanwhile is met at once", "not-accepted 1 critical open")
	})
}

// What became of an order while nobody listened is found by asking for it.
func TestWhatHappenedWhileAwayIsFound(t *testing.T) {
	bubble(t, oneRule, func(t *testing.T, r *rig) {
		r.placed("1", nil)
		r.placed("2", nil)
		r.until(3 * time.Minute)
		r.wants("both are due", "not-accepted 1 warning open", "not-accepted 2 warning open")
		r.stop()
		r.city.set("/o/1", map[string]any{"status": "cancelled", "cancelled_at": r.at(4 * time.Minute)}) // and nobody says so
		r.city.set("/o/3", map[string]any{"status": "placed", "placed_at": r.at(time.Minute)})
		r.city.remove("/o/2")
		r.start(oneRule)
		r.until(10 * time.Minute)
		r.wants("they are asked for", "not-accepted 3 critical open")
	})
}

func TestAnOwnerThatIsDownDelaysAndLosesNothing(t *testing.T) {
	bubble(t, oneRule, func(t *testing.T, r *rig) {
		r.placed("1", nil)
		r.settle()
		r.city.breaks("/o/1", true)
		r.order("1", map[string]any{"area": "dr5rv"}) // so that the cache has nothing that is good
		r.until(4 * time.Minute)
		r.wants("nobody knows")
		r.city.breaks("/o/1", false)
		r.until(4*time.Minute + 40*time.Second)
		r.wants("it answers again", "not-accepted 1 warning open")
		if i := r.only(); !i.OpenedAt.Equal(r.began.Add(time.Second + 2*time.Minute)) {
			t.Errorf("it is an issue since it was due, not since it was found: %s", i.OpenedAt)
		}
	})
}

func TestLate(t *testing.T) {
	bubble(t, late, func(t *testing.T, r *rig) {
		r.placed("1", map[string]any{"promised_at": r.at(120 * time.Second)})
		r.until(150 * time.Second)
		r.order("1", map[string]any{"status": "collected", "collected_at": r.at(150 * time.Second)})
		r.until(180*time.Second - time.Second)
		r.wants("the rules give it a minute more than was promised")
		r.until(180 * time.Second)
		r.wants("it is late", "late 1 warning open")
		r.order("1", map[string]any{"status": "delivered", "delivered_at": r.at(180 * time.Second)})
		r.wants("it is there")
	})
}

func TestARiderWhoIsBusyWithWhatWasCancelled(t *testing.T) {
	bubble(t, wasted, func(t *testing.T, r *rig) {
		r.rider("ann", map[string]any{"status": "busy", "_links": links("order", ordersAt+"/o/1")})
		r.placed("1", map[string]any{"_links": links("rider", ridersAt+"/r/ann")})
		r.until(time.Minute)
		r.wants("there is nothing wrong")
		// The order forgets its rider; that there was one is known.
		r.order("1", map[string]any{"status": "cancelled", "cancelled_at": r.at(time.Minute), "_links": links()})
		r.until(time.Minute + 29*time.Second)
		r.wants("they may not have heard of it yet")
		r.until(time.Minute + 30*time.Second)
		r.wants("now they should", "wasted-ride 1 warning open")
		if got := r.only().link("rider"); got != ridersAt+"/r/ann" {
			t.Errorf("its rider is %q", got)
		}
		r.rider("ann", map[string]any{"status": "free", "_links": links()})
		r.wants("they have")
		if n := r.query(`SELECT count(*) FROM watched_orders`); n != 0 {
			t.Errorf("%d orders are watched that are over", n)
		}
	})
}

// A rider of whom no order says anything leads to the order.
func TestARiderLeadsToTheOrder(t *testing.T) {
	bubble(t, wasted, func(t *testing.T, r *rig) {
		r.order("1", map[string]any{"status": "cancelled", "cancelled_at": r.at(0)})
		r.until(time.Minute)
		r.wants("it has no rider")
		r.rider("bo", map[string]any{"status": "busy", "_links": links("order", ordersAt+"/o/1")})
		r.wants("it has", "wasted-ride 1 warning open")
	})
}

// What the handler reads it reads through the cache, which has asked already.
func TestOneQuestionForEachChange(t *testing.T) {
	bubble(t, oneRule, func(t *testing.T, r *rig) {
		r.placed("1", nil)
		r.settle()
		r.city.questions("/o/1")
		r.order("1", map[string]any{"area": "dr5rv"})
		r.settle()
		if n := r.city.questions("/o/1"); n != 1 {
			t.Errorf("of one change the owner was asked %d times", n)
		}
		again := resn.Event{Topic: "orders", Type: resn.Update, Href: ordersAt + "/o/1", Time: time.Now()}
		if err := r.bus.Publish(t.Context(), "orders", again.CloudEvent("/orders")); err != nil {
			t.Fatal(err)
		}
		r.settle()
		r.wants("a repeat changes nothing")
	})
}
