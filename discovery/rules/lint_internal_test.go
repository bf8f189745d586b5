package rules

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// The index finds the shadowed and ambiguous rules that comparing each with
// each finds.
func TestLintFindsWhatEachWithEachFinds(t *testing.T) {
	between := 0
	defer func() {
		if between < 10 {
			t.Errorf("only %d rules were shadowed by several between them: the test proves little", between)
		}
	}()
	for seed := range uint64(40) {
		m := rand.New(rand.NewPCG(seed, 5))
		pick := func(words ...string) string { return words[m.IntN(len(words))] }
		set := &Set{}
		for i := range 80 {
			r := Rule{ID: fmt.Sprint("r", i), Route: &Route{Service: pick("a", "b")}, Priority: m.IntN(8) / 7}
			r.Match.Path = pick("/a/*", "/a/{x}", "/{x}/b", "/{x}/*", "/a/b", "", "/a/{x}/*")
			if m.IntN(2) == 0 {
				r.Match.Region = Is(pick("1", "2", "3"), pick("1", "2", "3", "4"))
			}
			if m.IntN(3) == 0 {
				r.Match.Hosts = []string{pick("a.example", "*.example", "b.a.example", "*.a.example"), "c.example"}
			}
			if m.IntN(3) == 0 {
				r.Match.Client = []string{pick("10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "2001:db8::/32")}
			}
			if m.IntN(4) == 0 {
				r.Match.Attributes = map[string]Value{"x": {Prefix: pick("1", "12")}}
			}
			set.Rules = append(set.Rules, r)
		}
		e, err := Compile(set)
		if err != nil {
			t.Fatal(err)
		}
		found := map[FindingKind]map[string]bool{Shadowed: {}, Ambiguous: {}}
		for _, f := range e.Lint() {
			found[f.Kind][f.Rule] = true
		}
		for i, b := range e.ordered {
			shadowed, ambiguous := false, false
			for _, a := range e.ordered[:i] {
				shadowed = shadowed || a.covers(b)
				ambiguous = ambiguous || a.specificity == b.specificity && a.differs(b) && a.overlaps(b) && !a.covers(b)
			}
			if !shadowed {
				parts := 0
				shadowed = true
				for part := range b.parts() {
					parts++
					shadowed = shadowed && slices.ContainsFunc(e.ordered[:i], func(a *compiled) bool { return a.covers(part) })
				}
				if shadowed = shadowed && parts > 0; shadowed {
					between++
				}
			}
			if found[Shadowed][b.rule.ID] != shadowed {
				t.Fatalf("seed %d: rule %+v is shadowed: %v, but lint says otherwise", seed, b.rule.Match, shadowed)
			}
			if found[Ambiguous][b.rule.ID] != ambiguous {
				t.Fatalf("seed %d: rule %+v is ambiguous: %v, but lint says otherwise", seed, b.rule.Match, ambiguous)
			}
		}
	}
}
