package kernel

import (
	"strconv"
	"sync"

	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/discovery/rules"
)

// cohorts has the rules engine say which instances get a rollout: each rollout
// is a rule, whose proportion is of the instances, salted by the rollout's salt.
// A rule of the thin API with that salt, by the same key, takes the same ones.
type cohorts struct {
	mu      sync.Mutex
	engines map[string]*rules.Engine // by rollout and percentage
}

// maxCohorts bounds how many engines are kept; those of rollouts that are over
// are of no use.
const maxCohorts = 128

func newCohorts() *cohorts { return &cohorts{engines: map[string]*rules.Engine{}} }

// has is a [store.Cohort].
func (c *cohorts) has(r *store.Rollout, i store.Instance) bool {
	engine := c.engine(r)
	if engine == nil {
		return false // nobody gets what can't be limited
	}
	decision := engine.Decide(&rules.Request{Attributes: map[string]string{"instance": i.Service + "/" + i.ID}})
	return decision.Rule(rules.Answer) != nil
}

func (c *cohorts) engine(r *store.Rollout) *rules.Engine {
	id := r.ID + " " + strconv.FormatFloat(r.Percent, 'g', -1, 64)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.engines[id]; e != nil {
		return e
	}
	e, err := rules.Compile(&rules.Set{Rules: []rules.Rule{{
		ID:      r.ID,
		Match:   rules.Match{Proportion: &rules.Proportion{Percent: r.Percent, By: "attr:instance", Salt: r.Salt}},
		Respond: &rules.Respond{Status: 204},
	}}})
	if err != nil {
		return nil
	}
	if len(c.engines) >= maxCohorts {
		clear(c.engines)
	}
	c.engines[id] = e
	return e
}
