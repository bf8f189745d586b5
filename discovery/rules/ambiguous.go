package rules

import (
	"encoding/json"
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// ambiguous yields for each rule of a group of equally specific ones the first
// before it that does different things to some of the same requests; one that
// is covered whole is shadowed and not ambiguous. An index of the group's own
// keeps it from comparing each with each.
func ambiguous(group []*compiled) iter.Seq2[*compiled, *compiled] {
	return func(yield func(a, b *compiled) bool) {
		first := group[0]
		if !slices.ContainsFunc(group, first.differs) && !slices.ContainsFunc(group, func(c *compiled) bool { return c.kinds != first.kinds }) {
			return // all do the same
		}
		e := &Engine{exact: map[string]*node{}, below: map[string]*node{}, any: &node{}}
		for _, c := range group {
			e.add(c)
		}
		e.seal()
		for _, b := range group {
			var first *compiled
			visit := func(a *compiled) {
				if a.rank < b.rank && (first == nil || a.rank < first.rank) && a.differs(b) && a.overlaps(b) && !a.covers(b) {
					first = a
				}
			}
			for tree := range e.meeting(b) {
				tree.overlapping(b, 0, visit)
			}
			if first != nil && !yield(first, b) {
				return
			}
		}
	}
}

// actions number what rules do, so that comparing it is comparing numbers.
type actions map[string]int

// note numbers what a rule does, 0 for nothing.
func (n actions) note(c *compiled) {
	for k := range kinds {
		var what any = c.rule.Shadow
		switch {
		case !c.rule.does(k):
			continue
		case k == Answer:
			what = []any{c.rule.Route, c.rule.Respond}
		case k == Throttling:
			what = c.rule.Throttle
		case k == Deprecation:
			what = c.rule.Deprecate
		}
		text, err := json.Marshal(what)
		if err != nil { // what was validated can be written
			text = []byte(c.rule.ID)
		}
		if n[string(text)] == 0 {
			n[string(text)] = len(n) + 1
		}
		c.acts[k] = n[string(text)]
	}
}

// differs reports whether two rules differ in a kind of thing that both do.
func (a *compiled) differs(b *compiled) bool {
	for k := range a.acts {
		if a.acts[k] != 0 && b.acts[k] != 0 && a.acts[k] != b.acts[k] {
			return true
		}
	}
	return false
}

// meeting yields the trees of hosts that meet those of c, some perhaps twice.
func (e *Engine) meeting(c *compiled) iter.Seq[*node] {
	return func(yield func(*node) bool) {
		if !yield(e.any) {
			return
		}
		hosts := c.rule.Match.Hosts
		if hosts == nil {
			hosts = []string{"*"}
		}
		for _, host := range hosts {
			suffix, wild := strings.CutPrefix(host, "*")
			if n := e.exact[host]; n != nil && !yield(n) {
				return
			}
			for name, n := range e.below {
				if hostsOverlap([]string{"*." + name}, c.rule.Match.Hosts) && !yield(n) {
					return
				}
			}
			if !wild {
				continue
			}
			for name, n := range e.exact {
				if strings.HasSuffix(name, suffix) && !yield(n) {
					return
				}
			}
		}
	}
}

// overlapping visits the rules below n whose pattern may overlap that of c
// from the segment at depth on.
func (n *node) overlapping(c *compiled, depth int, visit func(*compiled)) {
	n.always.near(c, visit)
	n.open.near(c, visit)
	beyond := depth >= len(c.pattern.segments)
	if beyond {
		n.here.near(c, visit)
		if !c.pattern.open {
			return
		}
	}
	if beyond || c.pattern.segments[depth].param {
		for _, child := range n.literal {
			child.overlapping(c, depth+1, visit)
		}
	} else if child := n.literal[c.pattern.segments[depth].text]; child != nil {
		child.overlapping(c, depth+1, visit)
	}
	if n.param != nil {
		n.param.overlapping(c, depth+1, visit)
	}
}

// near visits those rules of a leaf whose condition in the index may hold
// together with c's.
func (l *leaf) near(c *compiled, visit func(*compiled)) {
	if l == nil {
		return
	}
	each := func(rules []*compiled) {
		for _, a := range rules {
			visit(a)
		}
	}
	each(l.rest)
	for d := range l.dimensions {
		if values := c.wants(d.from); values != nil {
			for _, v := range values {
				each(d.values[v])
			}
			continue
		}
		for _, rules := range d.values {
			each(rules)
		}
	}
	for _, n := range l.nets {
		for _, p := range c.nets {
			if wide, err := p.Addr().Prefix(n.bits); err == nil && n.bits <= p.Bits() && n.v4 == p.Addr().Is4() {
				each(n.rules[wide])
			} else if n.v4 == p.Addr().Is4() {
				n.inside(p, each)
			}
		}
		if c.nets == nil {
			for _, rules := range n.rules {
				each(rules)
			}
		}
	}
}

// inside visits the rules of networks inside of p.
func (n *network) inside(p netip.Prefix, each func([]*compiled)) {
	for q, rules := range n.rules {
		if p.Contains(q.Addr()) {
			each(rules)
		}
	}
}

// wants returns the values that the rule wants of an input, or nil.
func (c *compiled) wants(from source) []string {
	for _, k := range c.conds {
		if k.from == from && k.value.OneOf != nil {
			return k.value.OneOf
		}
	}
	return nil
}
