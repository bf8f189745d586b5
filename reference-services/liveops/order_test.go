package liveops_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/resn"
)

// everyRule is in seconds where a city has minutes, so that hours take a moment.
const everyRule = `{"rules":[
	{"id":"a","kind":"not-accepted","steps":[{"after":"2s","severity":"warning"},{"after":"5s","severity":"critical"}]},
	{"id":"r","kind":"not-ready","steps":[{"after":"10s","severity":"warning"}]},
	{"id":"n","kind":"no-rider","steps":[{"after":"3s","severity":"info"},{"after":"6s","severity":"critical"}]},
	{"id":"l","kind":"late","steps":[{"after":"0s","severity":"info"},{"after":"5s","severity":"warning"}]}]}`

// event is a change of an order.
type event struct {
	at     time.Duration
	id     string
	change map[string]any
}

// life is what becomes of some orders, at random.
func life(random *rand.Rand, began time.Time) (all []event) {
	stamp := func(d time.Duration) string { return began.Add(d).UTC().Format(time.RFC3339Nano) }
	for n := range 6 {
		id := fmt.Sprint(n)
		at := time.Duration(random.IntN(10_000)) * time.Millisecond
		add := func(status, member string, more map[string]any) {
			change := map[string]any{"status": status, member: stamp(at)}
			maps.Copy(change, more)
			all = append(all, event{at, id, change})
		}
		later := func(most int) { at += time.Duration(1+random.IntN(most)) * time.Millisecond }
		add("placed", "placed_at", map[string]any{"promised_at": stamp(at + 25*time.Second), "area": "dr5ru"})
		// Some get no further, and some are cancelled.
		for step, limit := range []int{8_000, 20_000, 10_000, 5_000, 20_000} {
			if random.IntN(9) == 0 {
				break
			}
			later(limit)
			if step < 3 && random.IntN(9) == 0 {
				add("cancelled", "cancelled_at", nil)
				break
			}
			switch step {
			case 0:
				add("accepted", "accepted_at", nil)
			case 1:
				add("ready", "ready_at", nil)
			case 2:
				add("ready", "assigned_at", map[string]any{"_links": links("rider", ridersAt+"/r/ann")})
			case 3:
				add("collected", "collected_at", nil)
			case 4:
				add("delivered", "delivered_at", nil)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b event) int { return int(a.at - b.at) })
	return all
}

// notice says that an order changed, some time.
type notice struct {
	at time.Duration
	id string
}

// outcome runs a life, with notices that come when they come, and returns every
// issue that there ever was.
func outcome(t *testing.T, seed uint64, notices func([]event) []notice) (all []string) {
	bubble(t, everyRule, func(t *testing.T, r *rig) {
		// Who promises that notices aren't late is gone: what is vouched for would be as
		// late as they.
		if err := r.orders.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		r.city.cacheControl = "max-age=0"
		r.until(5 * time.Second)
		r.began = time.Now()
		events := life(rand.New(rand.NewPCG(seed, 1)), r.began)
		heard := notices(events)
		slices.SortStableFunc(heard, func(a, b notice) int { return int(a.at - b.at) })
		for len(events) > 0 || len(heard) > 0 {
			if len(heard) == 0 || len(events) > 0 && events[0].at <= heard[0].at {
				r.until(events[0].at)
				r.city.set("/o/"+events[0].id, events[0].change)
				events = events[1:]
				continue
			}
			r.until(heard[0].at)
			e := resn.Event{Topic: "orders", Type: resn.Update, Href: ordersAt + "/o/" + heard[0].id, Time: time.Now()}
			if err := r.bus.Publish(t.Context(), "orders", e.CloudEvent("/orders")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			heard = heard[1:]
		}
		r.until(3 * time.Minute)
		for _, i := range r.issues("/issues") {
			resolved := "never"
			if !i.ResolvedAt.IsZero() {
				resolved = i.ResolvedAt.Sub(r.began).String()
			}
			all = append(all, fmt.Sprintf("%s %s %s %s from %s until %s by %q: %s", strings.TrimPrefix(i.link("order"), ordersAt),
				i.Kind, i.Severity, i.Status, i.OpenedAt.Sub(r.began), resolved, i.ResolvedBy, i.Why))
		}
	})
	slices.Sort(all)
	return all
}

// Notices only say when to look. However late they are, in whatever order, and
// however often they come: the issues are the same in the end, those that are over
// and those that aren't.
func TestAnyOrderOfNoticesGivesTheSameIssues(t *testing.T) {
	issues, lives := 0, 8
	if testing.Short() {
		lives = 3
	}
	for seed := range uint64(lives) {
		want := outcome(t, seed, func(events []event) (all []notice) {
			for _, e := range events {
				all = append(all, notice{e.at, e.id})
			}
			return all
		})
		issues += len(want)
		got := outcome(t, seed, func(events []event) (all []notice) {
			random := rand.New(rand.NewPCG(seed, 2))
			for _, e := range events {
				for range 1 + random.IntN(3) { // one comes, or is repeated
					all = append(all, notice{e.at + time.Duration(random.IntN(30_000))*time.Millisecond, e.id})
				}
			}
			return all
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("life %d: (-each notice once and at once +late, repeated and out of order):\n%s", seed, diff)
		}
	}
	if issues < lives {
		t.Errorf("%d lives had %d issues in all, so nothing was shown", lives, issues)
	}
}
