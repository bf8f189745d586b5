package rules

import (
	"cmp"
	"fmt"
	"strings"
)

// Specificity is how narrowly a rule matches, as columns that are compared
// from first to last. See the package's "Who wins".
type Specificity struct {
	Priority  int     `json:"priority"`
	Host      int     `json:"host"`      // labels named
	Literals  int     `json:"literals"`  // segments written out
	Params    int     `json:"params"`    // segments as {name}
	Closed    int     `json:"closed"`    // 1 if the path ends with the pattern
	Values    int     `json:"values"`    // conditions that name values
	Presence  int     `json:"presence"`  // conditions on presence, absence, prefix
	Network   int     `json:"network"`   // bits of the widest network
	Narrowing float64 `json:"narrowing"` // percent left out by the proportion
}

// columns in the order of comparison, with words for the one that decides.
func (s Specificity) columns() [9]float64 {
	return [9]float64{
		float64(s.Priority), float64(s.Host), float64(s.Literals), float64(s.Params), float64(s.Closed),
		float64(s.Values), float64(s.Presence), float64(s.Network), s.Narrowing,
	}
}

// Compare returns -1 if s comes first, being more specific, and 1 if t does.
func (s Specificity) Compare(t Specificity) int {
	a, b := s.columns(), t.columns()
	for i := range a {
		if c := cmp.Compare(b[i], a[i]); c != 0 {
			return c
		}
	}
	return 0
}

// String writes the columns: (0 1 2.0.1 1.0 0 0).
func (s Specificity) String() string {
	return fmt.Sprintf("(%d %d %d.%d.%d %d.%d %d %g)",
		s.Priority, s.Host, s.Literals, s.Params, s.Closed, s.Values, s.Presence, s.Network, s.Narrowing)
}

// over says why s comes before t, which is equal or less specific.
func (s Specificity) over(t Specificity) string {
	names := [9]string{
		"its priority is %g, not %g", "its host names %g labels, not %g", "its path writes out %g segments, not %g",
		"its path has %g named segments, not %g", "", "it names values in %g conditions, not %g",
		"it asks for presence, absence or a prefix in %g conditions, not %g", "its widest network has %g bits, not %g",
		"its proportion leaves out %g%%, not %g%%",
	}
	a, b := s.columns(), t.columns()
	for i := range a {
		if a[i] == b[i] {
			continue
		}
		if names[i] == "" {
			return "its path ends where its pattern ends"
		}
		return fmt.Sprintf(names[i], a[i], b[i])
	}
	return "they are equally specific, and its id comes first"
}

// specificity measures a rule that was validated.
func specificity(r *Rule, p pattern) Specificity {
	s := Specificity{Priority: r.Priority}
	s.Literals, s.Params = p.counts()
	if !p.open {
		s.Closed = 1
	}
	s.Host = -1
	for _, h := range r.Match.Hosts {
		labels := strings.Count(strings.TrimPrefix(h, "*."), ".") + 1
		if s.Host < 0 || labels < s.Host {
			s.Host = labels
		}
	}
	s.Host = max(0, s.Host)
	for _, c := range r.Match.conditions() {
		if c.value.OneOf != nil {
			s.Values++
		} else {
			s.Presence++
		}
	}
	nets, _ := r.Match.networks()
	for i, n := range nets {
		bits := n.Bits()
		if n.Addr().Is4() {
			bits += 96 // as a part of the IPv6 space, so that both compare
		}
		if i == 0 || bits < s.Network {
			s.Network = bits
		}
	}
	if r.Match.Proportion != nil {
		s.Narrowing = 100 - r.Match.Proportion.Percent
	}
	return s
}
