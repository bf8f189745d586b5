package kernel

import (
	"fmt"
	"math"
	"testing"

	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/discovery/rules"
)

// members returns which of n instances get a rollout.
func members(c *cohorts, r *store.Rollout, n int) map[int]bool {
	in := map[int]bool{}
	for i := range n {
		if c.has(r, store.Instance{Service: "orders", ID: fmt.Sprint(i)}) {
			in[i] = true
		}
	}
	return in
}

// A rollout takes its percentage, goes on to have whom it has when it grows, and
// begins with others than another rollout does.
func TestTheRulesEngineChoosesTheInstancesOfARollout(t *testing.T) {
	c := newCohorts()
	const n = 20_000
	var before map[int]bool
	for _, percent := range []float64{0.5, 5, 25, 60, 100} {
		now := members(c, &store.Rollout{ID: "a", Salt: "s", Percent: percent}, n)
		if got := 100 * float64(len(now)) / n; math.Abs(got-percent) > 1 {
			t.Errorf("%v%% of the instances have a rollout to %v%%", got, percent)
		}
		for i := range before {
			if !now[i] {
				t.Fatalf("instance %d loses the rollout when it grows to %v%%", i, percent)
			}
		}
		before = now
	}
	both := 0
	first, second := members(c, &store.Rollout{ID: "a", Salt: "s", Percent: 10}, n), members(c, &store.Rollout{ID: "b", Salt: "t", Percent: 10}, n)
	for i := range first {
		if second[i] {
			both++
		}
	}
	if share := 100 * float64(both) / n; share > 2 {
		t.Errorf("two rollouts to 10%% each have %v%% in common; independent ones have 1%%", share)
	}
	if again := members(newCohorts(), &store.Rollout{ID: "a", Salt: "s", Percent: 10}, n); len(again) != len(first) {
		t.Errorf("another process chooses %d instances instead of %d", len(again), len(first))
	}
}

// It is the engine that chooses: an ordinary rule with the rollout's salt, by the
// same key, takes the same ones.
func TestARuleWithTheSaltOfARolloutTakesTheSameInstances(t *testing.T) {
	engine, err := rules.Compile(&rules.Set{Rules: []rules.Rule{{
		ID: "mine", Match: rules.Match{Proportion: &rules.Proportion{Percent: 30, By: "attr:instance", Salt: "s"}}, Respond: &rules.Respond{Status: 200},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	in := members(newCohorts(), &store.Rollout{ID: "a", Salt: "s", Percent: 30}, 1000)
	for i := range 1000 {
		d := engine.Decide(&rules.Request{Attributes: map[string]string{"instance": fmt.Sprintf("orders/%d", i)}})
		if (d.Rule(rules.Answer) != nil) != in[i] {
			t.Fatalf("the rule and the rollout disagree about instance %d", i)
		}
	}
}

// What the engine can't compile is given to nobody.
func TestARolloutThatIsNoRuleGoesToNobody(t *testing.T) {
	if in := members(newCohorts(), &store.Rollout{ID: "a", Salt: "s", Percent: math.NaN()}, 100); len(in) != 0 {
		t.Errorf("%d of 100 instances have it", len(in))
	}
}

func TestEnginesOfOldRolloutsAreForgotten(t *testing.T) {
	c := newCohorts()
	for i := range 3 * maxCohorts {
		c.has(&store.Rollout{ID: fmt.Sprint(i), Percent: 50}, store.Instance{Service: "s", ID: "1"})
	}
	if len(c.engines) > maxCohorts {
		t.Errorf("%d engines are kept", len(c.engines))
	}
}
