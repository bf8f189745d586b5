package liveops

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Kinds returns the names of all kinds of issues.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// kind is a kind of trouble that an order may be in. find says whether it is, or
// was, from the order's own times wherever it has them: so that what is made of
// them is the same whenever, and how often, somebody looks.
type kind struct {
	find func(o *order, href string, r *rider) (trouble, bool)
	// why is the issue's sentence. %s is how long the rule allows.
	why string
}

// trouble is something that is wrong with an order, or was.
type trouble struct {
	// since tells one time of it from the next.
	since time.Time
	// from is what a rule's steps count from. Default: since.
	from time.Time
	// over says that it is no more, until when it was; zero if nobody knows.
	over  bool
	until time.Time
}

var kinds = map[string]*kind{
	"not-accepted": {why: "The restaurant hasn't accepted it %s after it was placed.", find: func(o *order, _ string, _ *rider) (trouble, bool) {
		return trouble{
			since: o.PlacedAt, over: o.Status != "placed",
			until: earliest(o.AcceptedAt, o.ReadyAt, o.CollectedAt, o.DeliveredAt, o.CancelledAt),
		}, !o.PlacedAt.IsZero()
	}},
	"not-ready": {why: "The kitchen hasn't got it ready %s after it accepted it.", find: func(o *order, _ string, _ *rider) (trouble, bool) {
		return trouble{
			since: o.AcceptedAt, over: o.Status != "accepted",
			until: earliest(o.ReadyAt, o.CollectedAt, o.DeliveredAt, o.CancelledAt),
		}, !o.AcceptedAt.IsZero()
	}},
	"no-rider": {why: "It is ready, and has no rider %s later.", find: func(o *order, _ string, _ *rider) (trouble, bool) {
		t := trouble{since: o.ReadyAt, over: o.Status != "ready" || o.link(relRider) != ""}
		// One may have been assigned before the food was ready: then it was over before
		// it began.
		if t.until = o.AssignedAt; o.link(relRider) == "" {
			t.until = o.CancelledAt
		}
		return t, !o.ReadyAt.IsZero()
	}},
	"late": {why: "It is on its way, and not there %s after it was promised.", find: func(o *order, _ string, _ *rider) (trouble, bool) {
		return trouble{
			since: o.CollectedAt, from: o.PromisedAt, over: o.Status != "collected",
			until: earliest(o.DeliveredAt, o.CancelledAt),
		}, !o.CollectedAt.IsZero() && !o.PromisedAt.IsZero()
	}},
	"wasted-ride": {why: "It was cancelled, and its rider is still busy with it %s later.", find: func(o *order, href string, r *rider) (trouble, bool) {
		return trouble{since: o.CancelledAt, over: o.Status != "cancelled" || r.busyWith() != href}, !o.CancelledAt.IsZero()
	}},
}

// verdict is what there is to say about a kind of trouble with an order.
type verdict struct {
	kind  string
	since time.Time

	issue    bool // it is one, or was one
	opened   time.Time
	resolved time.Time // zero: it still is
	severity string
	why      string

	gone bool      // no issue, because the trouble is over rather than because of the rules
	next time.Time // when there will be something else to say, if nothing changes
}

// judge says of each kind what there is to say at a time. It looks at nothing but
// its arguments.
func judge(o *order, href string, r *rider, set *ruleSet, now time.Time) []verdict {
	var all []verdict
	for _, name := range Kinds() {
		t, ok := kinds[name].find(o, href, r)
		if !ok {
			continue
		}
		v := verdict{kind: name, since: t.since}
		if rule := set.decide(name, o.attributes()); rule != nil {
			v.apply(t, rule.Steps, kinds[name].why, now)
		} else {
			v.gone = t.over
		}
		all = append(all, v)
	}
	return all
}

// apply is a rule's word about trouble.
func (v *verdict) apply(t trouble, steps []Step, why string, now time.Time) {
	if t.from.IsZero() {
		t.from = t.since
	}
	end := now // of what can be told
	if t.over {
		v.gone = true
		if t.until.IsZero() {
			return // nobody knows for how long it was
		}
		end = t.until
	}
	for _, step := range steps {
		due := t.from.Add(time.Duration(step.After))
		if due.Before(t.since) {
			due = t.since
		}
		// What is over when a step would begin has never been that bad.
		if due.After(end) || t.over && due.Equal(end) {
			if !t.over {
				v.next = due
			}
			break
		}
		if !v.issue {
			v.issue, v.opened = true, due
			v.why = fmt.Sprintf(why, spoken(time.Duration(steps[0].After)))
		}
		v.severity = step.Severity
	}
	if v.issue && t.over {
		v.resolved = t.until
	}
}

// spoken writes how long something is as people say it.
func spoken(d time.Duration) string {
	switch {
	case d == 0:
		return "a moment"
	case d < time.Second:
		return d.String()
	}
	text := d.String()
	for _, zeros := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zeros) {
			text = text[:len(text)-2]
		}
	}
	for unit, word := range map[string]string{"h": " h ", "m": " min ", "s": " s "} {
		text = strings.Replace(text, unit, word, 1)
	}
	return strings.TrimSpace(text)
}
