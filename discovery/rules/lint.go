package rules

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// FindingKind is a kind of thing that lint finds.
type FindingKind string

// What lint finds.
const (
	// Shadowed is a rule that never wins: for everything it does, one more
	// specific rule, or several between them, match wherever it does.
	Shadowed FindingKind = "shadowed"
	// Unreachable is a rule that no request can match.
	Unreachable FindingKind = "unreachable"
	// Ambiguous are two rules of equal specificity that do different things
	// to the same requests, so that only their ids decide.
	Ambiguous FindingKind = "ambiguous"
	// ClientChosen is a route that any client chooses by what it sends.
	ClientChosen FindingKind = "client-chosen"
)

// Finding is one thing that is probably not meant. A rule says by Allow that
// it is.
type Finding struct {
	Kind FindingKind `json:"kind"`
	Rule string      `json:"rule"`
	// Other is the rule that stands in the way, if one does.
	Other string `json:"other,omitempty"`
	// Words say what is wrong and what helps.
	Words string `json:"words"`
}

// String writes the finding as a line.
func (f Finding) String() string { return fmt.Sprintf("%s: rule %q: %s", f.Kind, f.Rule, f.Words) }

// LintError is the error of Accept for sets that are valid and have findings.
type LintError struct {
	Findings []Finding
}

// Error names every finding.
func (e *LintError) Error() string {
	lines := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		lines[i] = f.String()
	}
	return "rules: not accepted:\n" + strings.Join(lines, "\n")
}

// Accept compiles a set and refuses it, with a *LintError, if there are
// findings. It is what stands between a writer of rules and the processes that
// use them.
func Accept(set *Set) (*Engine, error) {
	e, err := Compile(set)
	if err != nil {
		return nil, err
	}
	if found := e.Lint(); len(found) > 0 {
		return nil, &LintError{found}
	}
	return e, nil
}

// Lint returns what is probably not meant, but for what rules allow. A rule
// that several others shadow between them is found where each takes some of the
// methods, values, hosts or networks that it lists, in up to 256 combinations;
// where they divide its requests otherwise, such as by presence and absence, it
// isn't. Ten thousand rules take a moment, not a minute.
func (e *Engine) Lint() []Finding {
	var found []Finding
	report := func(c *compiled, kind FindingKind, other *compiled, words string) {
		if slices.Contains(c.rule.Allow, kind) {
			return
		}
		f := Finding{Kind: kind, Rule: c.rule.ID, Words: words}
		if other != nil {
			f.Other = other.rule.ID
		}
		found = append(found, f)
	}
	groups := map[Specificity][]*compiled{}
	for _, c := range e.ordered {
		groups[c.specificity] = append(groups[c.specificity], c)
		if words := c.unreachable(); words != "" {
			report(c, Unreachable, nil, words)
			continue
		}
		if by := c.chosenBy(e.inputs); by != "" {
			report(c, ClientChosen, nil, by+" comes from any client and chooses the route; match an attribute instead, or allow it")
		}
		if a := e.shadow(c); a != nil {
			report(c, Shadowed, a, fmt.Sprintf("it never wins: %q matches wherever it does, and comes first because %s", a.rule.ID, a.specificity.over(c.specificity)))
		} else if by := e.together(c); by != nil {
			report(c, Shadowed, by[0], "it never wins: "+named(by)+" come first, and between them match wherever it does")
		}
	}
	for _, group := range groups {
		for a, b := range ambiguous(group) {
			if !slices.Contains(a.rule.Allow, Ambiguous) {
				report(b, Ambiguous, a, fmt.Sprintf("it is as specific as %q, some requests match both, and they do different things; give one a priority or a further condition", a.rule.ID))
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int {
		return strings.Compare(a.Rule+"\x00"+string(a.Kind)+a.Other, b.Rule+"\x00"+string(b.Kind)+b.Other)
	})
	return found
}

// named lists the ids of rules.
func named(rules []*compiled) string {
	ids := make([]string, len(rules))
	for i, r := range rules {
		ids[i] = strconv.Quote(r.rule.ID)
	}
	if len(ids) > 5 {
		ids = append(ids[:5], fmt.Sprintf("%d more", len(ids)-5))
	}
	return strings.Join(ids, ", ")
}

// unreachable says why no request matches the rule, or nothing.
func (c *compiled) unreachable() string {
	if c.cohort != nil && c.cohort.below == 0 {
		return "its proportion is 0 percent; disable it instead"
	}
	for i, s := range c.pattern.segments {
		if !s.param && (s.text == "." || s.text == ".." || s.text == "" && (i < len(c.pattern.segments)-1 || c.pattern.open)) {
			return fmt.Sprintf("its path %q has an empty or dot segment, and no server passes those on", c.rule.Match.Path)
		}
	}
	for i, k := range c.conds {
		for _, other := range c.conds[:i] {
			if other.from == k.from && !other.value.overlaps(k.value) {
				return fmt.Sprintf("%s can't be %s and %s", k.from.String(), other.value, k.value)
			}
		}
	}
	return ""
}

// chosenBy returns an input by which a client chooses the rule's route.
func (c *compiled) chosenBy(in *inputs) string {
	if c.rule.Route == nil {
		return ""
	}
	for _, k := range c.rule.Match.conditions() {
		if in.clientChooses(k.in) {
			return string(k.in)
		}
	}
	return ""
}

// shadow returns a rule that takes everything from c, or nil.
func (e *Engine) shadow(c *compiled) *compiled {
	missing := c.kinds
	var by *compiled
	for _, tree := range e.covering(c) {
		tree.covering(c, 0, func(a *compiled) bool {
			if a.rank < c.rank && a.kinds&missing != 0 && a.covers(c) {
				by, missing = a, missing&^a.kinds
			}
			return missing != 0
		})
		if missing == 0 {
			return by
		}
	}
	return nil
}

// covering returns the trees that hold rules whose hosts may cover those of c.
func (e *Engine) covering(c *compiled) []*node {
	trees := []*node{e.any}
	if len(c.rule.Match.Hosts) == 0 {
		return trees
	}
	name, wild := strings.CutPrefix(c.rule.Match.Hosts[0], "*.")
	if wild {
		if n := e.below[name]; n != nil {
			trees = append(trees, n)
		}
	} else if n := e.exact[name]; n != nil {
		trees = append(trees, n)
	}
	for {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return trees
		}
		if name = rest; e.below[name] != nil {
			trees = append(trees, e.below[name])
		}
	}
}

// covering visits the rules below n whose pattern covers that of c from the
// segment at depth on.
func (n *node) covering(c *compiled, depth int, visit func(*compiled) bool) bool {
	if !n.always.candidates(c, visit) || !c.pattern.any && !n.open.candidates(c, visit) {
		return false
	}
	if depth == len(c.pattern.segments) {
		return c.pattern.open || n.here.candidates(c, visit)
	}
	s := c.pattern.segments[depth]
	if !s.param {
		if child := n.literal[s.text]; child != nil && !child.covering(c, depth+1, visit) {
			return false
		}
	}
	return n.param == nil || n.param.covering(c, depth+1, visit)
}

// candidates visits those rules of a leaf whose condition in the index could
// cover c's.
func (l *leaf) candidates(c *compiled, visit func(*compiled) bool) bool {
	if l == nil {
		return true
	}
	for _, a := range l.rest {
		if !visit(a) {
			return false
		}
	}
	each := func(rules []*compiled) bool {
		return !slices.ContainsFunc(rules, func(a *compiled) bool { return !visit(a) })
	}
	for _, k := range c.conds {
		d := l.find(k.from)
		if d != nil && len(k.value.OneOf) > 0 && !each(d.values[k.value.OneOf[0]]) {
			return false
		}
	}
	if len(c.nets) > 0 {
		for _, n := range l.nets {
			if n.v4 != c.nets[0].Addr().Is4() {
				continue
			}
			if p, err := c.nets[0].Addr().Prefix(n.bits); err == nil && !each(n.rules[p]) {
				return false
			}
		}
	}
	return true
}

// find returns the leaf's dimension of an input, or nil.
func (l *leaf) find(from source) *dimension {
	for i := range l.dims {
		if l.dims[i].from == from {
			return &l.dims[i]
		}
	}
	for _, m := range []map[string]*dimension{l.headers, l.attributes} {
		if d := m[from.name]; d != nil && d.from == from {
			return d
		}
	}
	return nil
}

// dimensions yields all dimensions of a leaf, in no order.
func (l *leaf) dimensions(yield func(*dimension) bool) {
	for i := range l.dims {
		if !yield(&l.dims[i]) {
			return
		}
	}
	for _, m := range []map[string]*dimension{l.headers, l.attributes} {
		for _, d := range m {
			if !yield(d) {
				return
			}
		}
	}
}

// covers reports whether a matches every request that b matches.
func (a *compiled) covers(b *compiled) bool {
	if !a.pattern.covers(b.pattern) || !hostsCover(a.rule.Match.Hosts, b.rule.Match.Hosts) {
		return false
	}
	for _, k := range a.conds {
		i := slices.IndexFunc(b.conds, func(other check) bool { return other.from == k.from && k.value.covers(other.value) })
		if i < 0 {
			return false
		}
	}
	if a.nets != nil {
		inside := func(n netip.Prefix) bool {
			return slices.ContainsFunc(a.nets, func(m netip.Prefix) bool { return m.Bits() <= n.Bits() && m.Contains(n.Addr()) })
		}
		if b.nets == nil || slices.ContainsFunc(b.nets, func(n netip.Prefix) bool { return !inside(n) }) {
			return false
		}
	}
	return a.cohort == nil || a.cohort.below == million && a.cohort.by.kind == fromRequest ||
		b.cohort != nil && a.cohort.by == b.cohort.by && a.cohort.state == b.cohort.state && a.cohort.below >= b.cohort.below
}

// overlaps reports whether some request may match both.
func (a *compiled) overlaps(b *compiled) bool {
	if !a.pattern.overlaps(b.pattern) || !hostsOverlap(a.rule.Match.Hosts, b.rule.Match.Hosts) {
		return false
	}
	for _, k := range a.conds {
		for _, other := range b.conds {
			if k.from == other.from && !k.value.overlaps(other.value) {
				return false
			}
		}
	}
	if a.nets == nil || b.nets == nil {
		return true
	}
	return slices.ContainsFunc(a.nets, func(m netip.Prefix) bool { return slices.ContainsFunc(b.nets, m.Overlaps) })
}

func hostCovers(h, g string) bool {
	name, wild := strings.CutPrefix(h, "*")
	if !wild {
		return h == g
	}
	return strings.HasSuffix(strings.TrimPrefix(g, "*"), name) && len(g) > len(name)
}

func hostsCover(a, b []string) bool {
	if a == nil {
		return true
	}
	return b != nil && !slices.ContainsFunc(b, func(g string) bool {
		return !slices.ContainsFunc(a, func(h string) bool { return hostCovers(h, g) })
	})
}

func hostsOverlap(a, b []string) bool {
	return a == nil || b == nil || slices.ContainsFunc(a, func(h string) bool {
		return slices.ContainsFunc(b, func(g string) bool { return hostCovers(h, g) || hostCovers(g, h) })
	})
}
