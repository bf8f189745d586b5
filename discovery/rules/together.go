package rules

import (
	"iter"
	"net/netip"
	"slices"
)

// maxParts bounds into how many parts a rule is taken apart to see whether
// others take all of them.
const maxParts = 256

// together returns the rules that take everything from c between them, each for
// some of the values, hosts or networks that c lists; nil if something is left.
func (e *Engine) together(c *compiled) []*compiled {
	var by []*compiled
	for part := range c.parts() {
		a := e.shadow(part)
		if a == nil {
			return nil
		}
		if !slices.Contains(by, a) {
			by = append(by, a)
		}
	}
	return by
}

// parts yields c once for each combination of one of what its lists name: no
// request matches c that doesn't match a part. It yields nothing if c has no
// lists, or more combinations than are looked at.
func (c *compiled) parts() iter.Seq[*compiled] {
	sizes, product := []int{len(c.rule.Match.Hosts), len(c.nets)}, 1
	for _, k := range c.conds {
		sizes = append(sizes, len(k.value.OneOf))
	}
	for _, n := range sizes {
		if product *= max(n, 1); product > maxParts {
			return func(func(*compiled) bool) {}
		}
	}
	return func(yield func(*compiled) bool) {
		for i := range product {
			if product == 1 || !yield(c.part(i, sizes)) {
				return
			}
		}
	}
}

// part is the i-th combination.
func (c *compiled) part(i int, sizes []int) *compiled {
	next := func(n int) int { // a digit of i
		at := i % max(n, 1)
		i /= max(n, 1)
		return at
	}
	part, rule := *c, *c.rule
	if at := next(sizes[0]); sizes[0] > 0 {
		rule.Match.Hosts = rule.Match.Hosts[at : at+1]
	}
	if at := next(sizes[1]); sizes[1] > 0 {
		part.nets = []netip.Prefix{c.nets[at]}
	}
	part.conds = slices.Clone(c.conds)
	for n, k := range part.conds {
		if at := next(sizes[2+n]); len(k.value.OneOf) > 0 {
			part.conds[n] = newCheck(k.from, Is(k.value.OneOf[at]))
		}
	}
	part.rule = &rule
	return &part
}
