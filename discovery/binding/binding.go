package binding

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/rules"
)

// Binding is what there is to say about one service's versions.
type Binding struct {
	Service string `json:"service"`
	// Shares are percentages by version, to four decimals.
	Shares []Share `json:"shares,omitempty"`
	// Rest is the version that gets what the shares leave, "*" for all that
	// aren't named. Needed unless the shares add up to 100.
	Rest string `json:"rest,omitempty"`
	// Fallback is the version to use when the chosen one has fewer than
	// MinHealthy instances. Default: any version with a share.
	Fallback string `json:"fallback,omitempty"`
	// MinHealthy is how many healthy instances a version needs to be chosen.
	// Default: 1.
	MinHealthy int `json:"minHealthy,omitempty"`
	// By is what sticks to a version: "cookie:session", "attr:customer".
	// Default: each request by itself.
	By rules.Input `json:"by,omitempty"`
	// Salt sets this binding's cohorts apart. Default: the service's name.
	Salt string `json:"salt,omitempty"`
	// Trust and Derive are as in rules.Set.
	Trust  map[rules.Input]rules.Trust `json:"trust,omitempty"`
	Derive map[string]rules.Input      `json:"derive,omitempty"`
	// Rules are the exceptions. They route to the binding's own service, with
	// versions, and do nothing else.
	Rules []rules.Rule `json:"rules,omitempty"`
}

// Share is one version's part.
type Share struct {
	Version string  `json:"version"`
	Percent float64 `json:"percent"`
}

// ErrInvalid is wrapped by errors about bindings that can't be used.
var ErrInvalid = errors.New("binding: not valid")

// ruleOfShares is the id of the rule that the shares become; no rule of
// somebody else has it, since ids have no space.
const ruleOfShares = "shares"

// Validate says everything that is wrong with the binding, or probably not
// meant (see rules.Lint). The error wraps ErrInvalid.
func (b *Binding) Validate() error {
	_, err := compile(b)
	return err
}

const parts = 1_000_000 // of a whole

// weights turns percentages into parts per million.
func (b *Binding) weights() ([]rules.Version, error) {
	var sum int64
	var out []rules.Version
	seen := map[string]bool{}
	for _, s := range b.Shares {
		switch {
		case s.Version == "" || seen[s.Version]:
			return nil, fmt.Errorf("version %q is empty or has two shares", s.Version)
		case !(s.Percent >= 0 && s.Percent <= 100):
			return nil, fmt.Errorf("version %q has %g percent; it must be from 0 to 100", s.Version, s.Percent)
		}
		seen[s.Version] = true
		w := int64(math.Round(s.Percent * parts / 100))
		sum += w
		out = append(out, rules.Version{Version: s.Version, Weight: uint32(w)})
	}
	switch {
	case sum > parts:
		return nil, fmt.Errorf("the shares add up to %g percent", float64(sum)*100/parts)
	case b.Rest == "" && sum < parts:
		return nil, fmt.Errorf("the shares add up to %g percent; name in rest the version that gets the other %g, \"*\" for all others", float64(sum)*100/parts, float64(parts-sum)*100/parts)
	case seen[b.Rest]:
		return nil, fmt.Errorf("rest is version %q, which has a share already", b.Rest)
	case b.Rest != "":
		out = append(out, rules.Version{Version: b.Rest, Weight: uint32(parts - sum)})
	}
	return out, nil
}

// plan is a binding, compiled.
type plan struct {
	engine *rules.Engine
	splits map[*rules.Rule]*discovery.Split
}

func compile(b *Binding) (*plan, error) {
	if !discovery.ValidService(b.Service) {
		return nil, fmt.Errorf("%w: service %q is no service's name", ErrInvalid, b.Service)
	}
	weights, err := b.weights()
	if err != nil {
		return nil, fmt.Errorf("%w: service %s: %w", ErrInvalid, b.Service, err)
	}
	set := &rules.Set{Trust: b.Trust, Derive: b.Derive, Rules: slices.Clone(b.Rules)}
	for i := range set.Rules {
		r := &set.Rules[i]
		if r.Route == nil || r.Throttle != nil || r.Deprecate != nil || r.Shadow != nil || r.Respond != nil {
			return nil, fmt.Errorf("%w: service %s: rule %q: a binding's rules route by versions and do nothing else", ErrInvalid, b.Service, r.ID)
		}
		if r.ID == ruleOfShares {
			return nil, fmt.Errorf("%w: service %s: the id %q is that of the shares", ErrInvalid, b.Service, r.ID)
		}
		route := *r.Route
		if route.Service == "" {
			route.Service = b.Service
		}
		if route.Service != b.Service || route.URL != "" || route.Versions == nil || route.Path != "" || route.Timeout != 0 {
			return nil, fmt.Errorf("%w: service %s: rule %q: it may choose versions of this service, and nothing else", ErrInvalid, b.Service, r.ID)
		}
		r.Route = &route
	}
	salt := b.Salt
	if salt == "" {
		salt = b.Service
	}
	set.Rules = append(set.Rules, rules.Rule{ID: ruleOfShares, Priority: -1000, Route: &rules.Route{
		Service: b.Service, Versions: weights, Fallback: b.Fallback, MinHealthy: b.MinHealthy, By: b.By, Salt: salt,
	}})
	engine, err := rules.Accept(set)
	if err != nil {
		return nil, fmt.Errorf("%w: service %s: %w", ErrInvalid, b.Service, err)
	}
	p := &plan{engine: engine, splits: map[*rules.Rule]*discovery.Split{}}
	for _, r := range engine.Rules() {
		p.splits[r] = SplitOf(r)
	}
	return p, nil
}
