package rules

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Explanation says for one request which rules were tried, what matched, who
// won and why. It goes through all rules one after another without the index,
// so it is for people and not for every request.
type Explanation struct {
	// Request is the request in words.
	Request string `json:"request"`
	// Verdicts name who won each kind of thing, if anybody did.
	Verdicts []Verdict `json:"verdicts"`
	// Trials are all enabled rules, the most specific first.
	Trials []Trial `json:"trials"`
	// Compared is how many rules Decide compares for the request, the index
	// having passed over the others.
	Compared int `json:"compared"`
}

// Verdict is who won one kind of thing.
type Verdict struct {
	Kind string `json:"kind"` // answer, throttle, deprecate, shadow
	Rule string `json:"rule"` // empty if no rule that does it matches
	Why  string `json:"why"`
}

// Trial is what became of one rule.
type Trial struct {
	Rule        string      `json:"rule"`
	Note        string      `json:"note,omitempty"`
	Does        []string    `json:"does"`
	Specificity Specificity `json:"specificity"`
	Matched     bool        `json:"matched"`
	Won         []string    `json:"won,omitempty"` // kinds
	Checks      []Check     `json:"checks,omitempty"`
	Words       string      `json:"words"`
}

// Check is one condition of a rule and what the request had.
type Check struct {
	What  string `json:"what"`
	Wants string `json:"wants"`
	Got   string `json:"got"`
	OK    bool   `json:"ok"`
	// Hint says what is easily overlooked.
	Hint string `json:"hint,omitempty"`
}

// Explain explains the decision about a request.
func (e *Engine) Explain(r *Request) *Explanation {
	out := &Explanation{Request: describe(r), Trials: make([]Trial, len(e.ordered))}
	var won [kinds]int
	var second [kinds]int
	for k := range won {
		won[k], second[k] = -1, -1
	}
	for i, c := range e.ordered {
		t := &out.Trials[i]
		*t = Trial{Rule: c.rule.ID, Note: c.rule.Note, Specificity: c.specificity, Matched: true}
		t.Checks = c.explain(r)
		for _, k := range t.Checks {
			t.Matched = t.Matched && k.OK
		}
		for k := range kinds {
			if !c.rule.does(k) {
				continue
			}
			t.Does = append(t.Does, k.String())
			switch {
			case !t.Matched:
			case won[k] < 0:
				won[k] = i
				t.Won = append(t.Won, k.String())
			case second[k] < 0:
				second[k] = i
			}
		}
	}
	for k := range kinds {
		out.Verdicts = append(out.Verdicts, e.verdict(k, won[k], second[k]))
	}
	for i := range out.Trials {
		out.Trials[i].Words = e.words(i, &out.Trials[i], won)
	}
	s := newSearch(r)
	e.find(&s)
	out.Compared = s.looked
	return out
}

func (e *Engine) verdict(k Kind, won, second int) Verdict {
	v := Verdict{Kind: k.String()}
	switch {
	case won < 0:
		v.Why = "no rule that does this matches"
	case second < 0:
		v.Rule = e.ordered[won].rule.ID
		v.Why = "no other rule that does this matches"
	default:
		w, s := e.ordered[won], e.ordered[second]
		v.Rule = w.rule.ID
		v.Why = fmt.Sprintf("it comes before %q: %s", s.rule.ID, w.specificity.over(s.specificity))
	}
	return v
}

// words say what became of the i-th rule.
func (e *Engine) words(i int, t *Trial, won [kinds]int) string {
	if !t.Matched {
		var missed []string
		for _, k := range t.Checks {
			if k.OK {
				continue
			}
			words := fmt.Sprintf("%s is %s, not %s", k.What, k.Got, k.Wants)
			if k.Hint != "" {
				words += " (" + k.Hint + ")"
			}
			missed = append(missed, words)
		}
		return "doesn't match: " + strings.Join(missed, "; ")
	}
	var parts []string
	c := e.ordered[i]
	for k := range kinds {
		switch {
		case !c.rule.does(k):
		case won[k] == i:
			parts = append(parts, "wins "+k.String())
		default:
			w := e.ordered[won[k]]
			parts = append(parts, fmt.Sprintf("loses %s to %q, because %s", k, w.rule.ID, w.specificity.over(c.specificity)))
		}
	}
	return "matches; " + strings.Join(parts, "; ")
}

// explain checks every condition of a rule against the request, from the rule
// as it was written: it is the model that the index is tested against.
func (c *compiled) explain(r *Request) []Check {
	var checks []Check
	m := &c.rule.Match
	if m.Hosts != nil {
		host := hostname(r.Host)
		ok := slices.ContainsFunc(m.Hosts, func(h string) bool { return hostCovers(h, host) })
		checks = append(checks, Check{What: "host", Wants: Is(m.Hosts...).String(), Got: said(host), OK: ok})
	}
	if !c.pattern.any {
		k := Check{What: "path", Wants: m.Path, Got: said(r.Path), OK: c.pattern.matches(r.Path)}
		if plain := strings.TrimSuffix(m.Path, "/*"); !k.OK && strings.HasPrefix(r.Path, plain) {
			k.Hint = "a pattern is whole segments"
		}
		checks = append(checks, k)
	}
	for i, cond := range m.conditions() {
		from := &c.conds[i].from
		got := from.of(r)
		k := Check{What: string(cond.in), Wants: cond.value.String(), Got: said(got), OK: cond.value.matches(got)}
		open := *from
		if from.derived != nil {
			open = *from.derived
		}
		open.proxied = false
		if sent := open.of(r); got == "" && sent != "" {
			k.Hint = fmt.Sprintf("the client sent %q, but only a trusted proxy is believed", sent)
		}
		checks = append(checks, k)
	}
	if c.nets != nil {
		ok := false
		for _, n := range c.nets {
			ok = ok || n.Contains(r.Client.Unmap())
		}
		checks = append(checks, Check{What: "client", Wants: "in " + strings.Join(m.Client, ", "), Got: r.Client.String(), OK: ok})
	}
	if c.cohort != nil {
		checks = append(checks, c.cohort.explain(r, m.Proportion.Percent))
	}
	return checks
}

func (c *cohort) explain(r *Request, percent float64) Check {
	k := Check{What: "proportion", Wants: fmt.Sprintf("below %g%% by %s", percent, c.by.String())}
	key := c.by.of(r)
	if key == "" {
		k.Got, k.Hint = "absent", "without a key nobody is in a cohort"
		return k
	}
	at := partPerMillion(finish(fnv(c.state, key)))
	k.Got = fmt.Sprintf("at %.4f%%", float64(at)*100/million)
	k.OK = at < c.below
	return k
}

func said(value string) string {
	if value == "" {
		return "absent"
	}
	return fmt.Sprintf("%q", value)
}

// describe writes the request in a line.
func describe(r *Request) string {
	u := url.URL{Host: r.Host, Path: r.Path, RawQuery: r.Query}
	if plain, err := url.PathUnescape(r.Path); err == nil {
		u.Path, u.RawPath = plain, r.Path
	}
	text := r.Method + " " + u.String()
	if r.Client.IsValid() {
		text += " from " + r.Client.String()
	}
	if r.FromProxy {
		text += " by a trusted proxy"
	}
	return text
}
