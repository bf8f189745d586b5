package liveops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/discovery/rules"
)

// Document says when something becomes an issue: the JSON at [Key] in the
// configuration.
type Document struct {
	Rules []Rule `json:"rules"`
}

// Rule says when a kind of trouble with some orders becomes an issue. Of those of
// a kind that match an order the most specific one decides alone, in the order of
// precedence of discovery/rules.
type Rule struct {
	// ID names the rule. It is unique.
	ID string `json:"id"`
	// Note is for people.
	Note string `json:"note,omitempty"`
	// Kind is the kind of trouble, one of [Kinds].
	Kind string `json:"kind"`
	// Match narrows to orders with these attributes: "area", the geohash, and
	// "restaurant" and "rider", hrefs. Default: every order.
	Match map[string]rules.Value `json:"match,omitempty"`
	// Priority comes before specificity.
	Priority int `json:"priority,omitempty"`
	// Steps say how bad it is after which time, the shortest first.
	Steps []Step `json:"steps,omitempty"`
	// Off makes no issue of it. There are no Steps then.
	Off bool `json:"off,omitempty"`
}

// Step is when an issue has become how bad.
type Step struct {
	After    Duration `json:"after"`
	Severity string   `json:"severity"`
}

// Duration is a time.Duration that JSON has as text: "90s".
type Duration time.Duration

// MarshalText writes it as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	got, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration; write it as \"90s\" or \"3m\"", text)
	}
	*d = Duration(got)
	return nil
}

// How bad an issue is.
const (
	Info     = "info"
	Warning  = "warning"
	Critical = "critical"
)

// maxAfter bounds how long a step waits: an order isn't open for longer.
const maxAfter = 24 * time.Hour

// maxBytes bounds the document.
const maxBytes = 1 << 20

// ErrInvalid is wrapped by the error of a document that can't be used.
var ErrInvalid = errors.New("liveops: rules are not valid")

// ruleSet is a document, compiled.
type ruleSet struct {
	engine *rules.Engine
	byID   map[string]*Rule
}

// Check says what is wrong with a document of rules, and where. The error wraps
// [ErrInvalid].
func Check(text []byte) error {
	_, err := compile(text)
	return err
}

// compile reads a document and checks all of it.
func compile(text []byte) (*ruleSet, error) {
	doc, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	set := &rules.Set{Rules: make([]rules.Rule, 0, len(doc.Rules))}
	s := &ruleSet{byID: make(map[string]*Rule, len(doc.Rules))}
	var errs []error
	for i := range doc.Rules {
		r := &doc.Rules[i]
		for _, wrong := range r.validate() {
			errs = append(errs, fmt.Errorf("/rules/%d%s (rule %q): %s", i, wrong.at, r.ID, wrong.words))
		}
		s.byID[r.ID] = r
		set.Rules = append(set.Rules, r.compiled())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	// Which rule of several decides is that engine's business, and so is to find
	// those that never do, and those of which only the ids decide.
	if s.engine, err = rules.Accept(set); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return s, nil
}

// parse decodes a document strictly, and names the place of what can't be.
func parse(text []byte) (*Document, error) {
	if len(text) > maxBytes {
		return nil, fmt.Errorf("the document has %d bytes; at most %d are allowed", len(text), maxBytes)
	}
	var raw struct {
		Rules []json.RawMessage `json:"rules"`
	}
	if err := strictly(text, &raw); err != nil {
		return nil, err
	}
	if raw.Rules == nil {
		return nil, errors.New(`/rules is missing; write {"rules": […]}`)
	}
	doc := &Document{Rules: make([]Rule, len(raw.Rules))}
	for i, one := range raw.Rules {
		if err := strictly(one, &doc.Rules[i]); err != nil {
			var named struct {
				ID string `json:"id"`
			}
			_ = json.Unmarshal(one, &named) // for the message, if it has one
			return nil, fmt.Errorf("/rules/%d (rule %q): %w", i, named.ID, err)
		}
	}
	return doc, nil
}

// strictly decodes JSON that has no member which v doesn't know.
func strictly(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	return nil
}

// fault is what is wrong at a place below a rule.
type fault struct{ at, words string }

func (r *Rule) validate() (wrong []fault) {
	say := func(at, format string, args ...any) { wrong = append(wrong, fault{at, fmt.Sprintf(format, args...)}) }
	if kinds[r.Kind] == nil {
		say("/kind", "%q is no kind of issue; write one of %s", r.Kind, strings.Join(Kinds(), ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Match)) {
		if !slices.Contains(attributes, name) {
			say("/match/"+name, "orders have no such attribute; write one of %s", strings.Join(attributes, ", "))
		}
	}
	switch {
	case r.Off && len(r.Steps) > 0:
		say("/steps", "a rule that is off has none")
	case !r.Off && len(r.Steps) == 0:
		say("/steps", "there is none; write when it becomes an issue, [{\"after\": \"3m\", \"severity\": \"warning\"}], or \"off\": true")
	case len(r.Steps) > 10:
		say("/steps", "there are %d; at most 10 are allowed", len(r.Steps))
	}
	for i, step := range r.Steps {
		at := "/steps/" + strconv.Itoa(i)
		if d := time.Duration(step.After); d < 0 || d > maxAfter {
			say(at+"/after", "it is %s; it must be from 0s to %s", d, maxAfter)
		}
		if !slices.Contains([]string{Info, Warning, Critical}, step.Severity) {
			say(at+"/severity", "it is %q; write info, warning or critical", step.Severity)
		}
		if i > 0 && step.After <= r.Steps[i-1].After {
			say(at+"/after", "it is %s, no longer than the step before", time.Duration(step.After))
		}
	}
	return wrong
}

// compiled is the rule as the engine has it: kinds are paths there, and what a rule
// does is an answer that holds its steps, so that rules which do the same are known
// as such. Nothing is ever sent.
func (r *Rule) compiled() rules.Rule {
	steps, _ := json.Marshal(r.Steps) // strings and numbers
	return rules.Rule{
		ID: r.ID, Priority: r.Priority,
		Match:   rules.Match{Path: "/" + r.Kind, Attributes: r.Match},
		Respond: &rules.Respond{Status: 200, JSON: steps},
	}
}

// decide returns the rule that decides about a kind of trouble with an order; nil
// if there is none, or it is off.
func (s *ruleSet) decide(kind string, attributes map[string]string) *Rule {
	d := s.engine.Decide(&rules.Request{Path: "/" + kind, Attributes: attributes})
	won := d.Rule(rules.Answer)
	if won == nil {
		return nil
	}
	if r := s.byID[won.ID]; !r.Off {
		return r
	}
	return nil
}
