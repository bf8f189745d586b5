package rules

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Engine is a set of rules, compiled. It never changes, and is safe for
// concurrent use.
type Engine struct {
	inputs  *inputs
	ordered []*compiled // enabled rules, the most specific first
	exact   map[string]*node
	below   map[string]*node // by the name after "*."
	any     *node
}

// compiled is a rule with everything looked up that can be.
type compiled struct {
	rule        *Rule
	rank        int32
	kinds       uint8
	acts        [kinds]int // what it does, as numbers that are equal for equal things
	pattern     pattern
	specificity Specificity
	conds       []check
	nets        []netip.Prefix
	cohort      *cohort
	rewrite     *rewrite
	throttleBy  *source
	routeBy     *source
}

// check is a condition, compiled.
type check struct {
	from  source
	value Value
	set   map[string]bool // of a long value.OneOf
}

func newCheck(from source, v Value) check {
	k := check{from: from, value: v}
	if len(v.OneOf) > few {
		k.set = make(map[string]bool, len(v.OneOf))
		for _, s := range v.OneOf {
			k.set[s] = true
		}
	}
	return k
}

func (k *check) holds(r *Request) bool {
	got := k.from.of(r)
	if k.set != nil {
		return k.set[got]
	}
	return k.value.matches(got)
}

// Compile checks every rule and makes an engine of the set, which it copies
// as far as it keeps it; don't change what the rules point at afterwards. Its
// error names everything that is wrong and wraps ErrInvalid. It doesn't lint:
// Accept does both.
func Compile(set *Set) (*Engine, error) {
	if len(set.Rules) > MaxRules {
		return nil, fmt.Errorf("%w: %d rules; at most %d are allowed", ErrInvalid, len(set.Rules), MaxRules)
	}
	in, err := newInputs(set)
	errs := []error{err}
	e := &Engine{inputs: in, exact: map[string]*node{}, below: map[string]*node{}, any: &node{}}
	rules := slices.Clone(set.Rules)
	ids := make(map[string]bool, len(rules))
	for i := range rules {
		r := &rules[i]
		switch {
		case !validID(r.ID):
			errs = append(errs, fmt.Errorf("rule %d: id is %q; write 1 to 128 printable ASCII characters without spaces, quotes and backslashes", i+1, r.ID))
		case ids[r.ID]:
			errs = append(errs, fmt.Errorf("rule %q: the id is used twice", r.ID))
		}
		ids[r.ID] = true
		if err := r.validate(in); err != nil {
			errs = append(errs, fmt.Errorf("rule %q: %w", r.ID, err))
			continue
		}
		if !r.Disabled {
			e.ordered = append(e.ordered, compileRule(r, in))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	slices.SortFunc(e.ordered, func(a, b *compiled) int {
		if c := a.specificity.Compare(b.specificity); c != 0 {
			return c
		}
		return strings.Compare(a.rule.ID, b.rule.ID)
	})
	acts := actions{}
	for i, c := range e.ordered {
		c.rank = int32(i)
		acts.note(c)
		e.add(c)
	}
	e.seal()
	return e, nil
}

// compileRule looks up what validate has found to be right.
func compileRule(r *Rule, in *inputs) *compiled {
	p, _ := parsePattern(r.Match.Path)
	c := &compiled{rule: r, pattern: p, specificity: specificity(r, p)}
	for k := range kinds {
		if r.does(k) {
			c.kinds |= 1 << k
		}
	}
	resolve := func(name Input) *source {
		if name == "" {
			return nil
		}
		s, _ := in.resolve(name)
		return &s
	}
	for _, cond := range r.Match.conditions() {
		c.conds = append(c.conds, newCheck(*resolve(cond.in), cond.value))
	}
	c.nets, _ = r.Match.networks()
	if q := r.Match.Proportion; q != nil {
		salt := q.Salt
		if salt == "" {
			salt = r.ID
		}
		c.cohort = &cohort{by: *resolve(q.By), state: salted(salt), below: below(q.Percent)}
	}
	if r.Route != nil {
		c.routeBy = resolve(r.Route.By)
		if r.Route.Path != "" {
			c.rewrite, _ = parseRewrite(r.Route.Path, p)
		}
	}
	if r.Throttle != nil {
		c.throttleBy = resolve(r.Throttle.By)
	}
	return c
}

// Rules returns the enabled rules, the most specific first. They are the
// engine's own: don't change them.
func (e *Engine) Rules() []*Rule {
	all := make([]*Rule, len(e.ordered))
	for i, c := range e.ordered {
		all[i] = c.rule
	}
	return all
}

// ProxyHeaders returns the header fields that are believed of trusted proxies
// alone. A server removes them from everybody else's requests, so that nobody
// behind it believes them either.
func (e *Engine) ProxyHeaders() []string {
	var names []string
	for name, t := range e.inputs.trust {
		if header, ok := strings.CutPrefix(name, "header:"); ok && t == TrustProxy {
			names = append(names, header)
		}
	}
	slices.Sort(names)
	return names
}

// Decision is what the rules say about a request: for each kind of thing the
// rule that won, or nil.
type Decision struct {
	won [kinds]*compiled
}

// Rule returns the rule that won for a kind of thing, or nil. It is the
// engine's own: don't change it.
func (d *Decision) Rule(k Kind) *Rule {
	if k >= kinds || d.won[k] == nil {
		return nil
	}
	return d.won[k].rule
}

// Path returns the path of the routed request, escaped: the request's own
// unless the rule rewrites it.
func (d *Decision) Path(r *Request) string {
	if c := d.won[Answer]; c != nil && c.rewrite != nil {
		return c.rewrite.apply(r.Path)
	}
	return r.Path
}

// StickyKey returns what the route sticks to a version by, or "".
func (d *Decision) StickyKey(r *Request) string {
	if c := d.won[Answer]; c != nil && c.routeBy != nil {
		return c.routeBy.of(r)
	}
	return ""
}

// ThrottleKey returns the name of the bucket that the request draws from.
func (d *Decision) ThrottleKey(r *Request) string {
	c := d.won[Throttling]
	switch {
	case c == nil:
		return ""
	case c.throttleBy == nil:
		return c.rule.ID
	}
	return c.rule.ID + " " + c.throttleBy.of(r)
}

// Decide returns what the rules say about a request. It allocates nothing
// unless a field that a rule looks at occurs more than once or is escaped.
func (e *Engine) Decide(r *Request) Decision {
	s := newSearch(r)
	e.find(&s)
	return Decision{s.won}
}

// matches checks what the index has not: everything but host and path.
func (c *compiled) matches(r *Request, client netip.Addr) bool {
	for i := range c.conds {
		if !c.conds[i].holds(r) {
			return false
		}
	}
	if c.nets != nil && !slices.ContainsFunc(c.nets, func(n netip.Prefix) bool { return n.Contains(client) }) {
		return false
	}
	return c.cohort == nil || c.cohort.has(r)
}
