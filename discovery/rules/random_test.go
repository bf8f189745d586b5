package rules_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/goswale/swale/discovery/rules"
)

// maker makes random rules and requests out of few words, so that they meet.
type maker struct {
	*rand.Rand
	dense bool // many rules of one path, so that the index has to tell them apart
}

func (m maker) pick(words ...string) string { return words[m.IntN(len(words))] }

func (m maker) path(pattern bool) string {
	var b strings.Builder
	if m.dense && !pattern {
		return m.pick("/a", "/a/b", "/b")
	}
	for range m.IntN(4) {
		words := []string{"a", "b", "v1", "caf%C3%A9", "x%2Fy", "a"}
		if pattern {
			words = append(words, fmt.Sprintf("{p%d}", b.Len()))
		} else {
			words = append(words, "v10", "", "%zz", "café")
		}
		b.WriteString("/" + m.pick(words...))
	}
	if pattern && m.IntN(3) == 0 {
		return b.String() + "/*"
	}
	if b.Len() == 0 || m.IntN(8) == 0 {
		b.WriteString("/")
	}
	return b.String()
}

func (m maker) value() rules.Value {
	switch m.IntN(6) {
	case 0:
		return rules.Value{Prefix: m.pick("L", "1", "D")}
	case 1:
		return rules.Value{Present: true}
	case 2:
		return rules.Value{Absent: true}
	case 3:
		return rules.Is("LON", m.pick("DUB", "1", "2"))
	}
	return rules.Is(m.pick("LON", "DUB", "1", "2", "3", "4"))
}

// names are few, or in a dense set more than the index holds in a list.
func (m maker) names() []string {
	if m.dense {
		return []string{"One", "Two", "A", "B", "C", "D", "E", "F", "G", "H"}
	}
	return []string{"One", "Two"}
}

func (m maker) match() rules.Match {
	var out rules.Match
	switch {
	case m.dense:
		out.Path = m.pick("/a/*", "/a/*", "")
	case m.IntN(4) > 0:
		out.Path = m.path(true)
	}
	if m.IntN(4) == 0 {
		out.Methods = []string{m.pick("GET", "PUT"), m.pick("POST", "HEAD")}
	}
	if m.IntN(4) == 0 {
		out.Hosts = []string{m.pick("a.example", "b.a.example", "*.example", "*.a.example"), "c.example"}
	}
	if m.IntN(4) == 0 {
		out.Client = []string{m.pick("10.1.2.0/24", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "2001:db8::/32", "0.0.0.0/0")}
	}
	if m.IntN(3) == 0 {
		out.Region = m.value()
	}
	if m.IntN(5) == 0 {
		out.Source = m.value()
	}
	for _, named := range []*map[string]rules.Value{&out.Headers, &out.Query, &out.Cookies, &out.Attributes} {
		if m.IntN(4) == 0 {
			*named = map[string]rules.Value{m.pick(m.names()...): m.value()}
		}
	}
	if m.IntN(4) == 0 {
		out.Proportion = &rules.Proportion{Percent: float64(m.IntN(101)), By: rules.Input(m.pick("request", "attr:region", "client", "cookie:One"))}
	}
	return out
}

func (m maker) rule(id int) rules.Rule {
	r := rules.Rule{ID: fmt.Sprintf("r%d", id), Match: m.match(), Disabled: m.IntN(20) == 0}
	if m.IntN(6) == 0 {
		r.Priority = m.IntN(3) - 1
	}
	does := 1 + m.IntN(15)
	if does&1 != 0 {
		r.Route = &rules.Route{Service: "s"}
	}
	if does&2 != 0 {
		r.Throttle = &rules.Throttle{Rate: 1}
	}
	if does&4 != 0 {
		r.Shadow = &rules.Shadow{Service: "s"}
	}
	if does&8 != 0 || r.Route == nil && m.IntN(2) == 0 {
		if r.Route == nil {
			r.Respond = &rules.Respond{Status: 204}
		}
	}
	if r.Route == nil && r.Respond == nil && r.Throttle == nil && r.Shadow == nil {
		r.Respond = &rules.Respond{Status: 204}
	}
	return r
}

func trusts() map[rules.Input]rules.Trust {
	out := map[rules.Input]rules.Trust{"header:Region": rules.TrustProxy}
	for _, name := range []string{"One", "Two", "A", "B", "C", "D", "E", "F", "G", "H"} {
		for _, kind := range []rules.Input{"header:", "query:", "cookie:"} {
			out[kind+rules.Input(name)] = rules.TrustClient
		}
	}
	out["header:One"] = rules.TrustProxy
	return out
}

func (m maker) set(n int) *rules.Set {
	set := &rules.Set{Trust: trusts(), Derive: map[string]rules.Input{"region": "header:Region"}}
	for i := range n {
		set.Rules = append(set.Rules, m.rule(i))
	}
	return set
}

func (m maker) request() *rules.Request {
	r := &rules.Request{
		Method: m.pick("GET", "PUT", "POST", "OPTIONS"), Path: m.path(false), ID: fmt.Sprint(m.Uint64()), FromProxy: m.IntN(2) == 0,
		Host:   m.pick("a.example", "B.A.example:8080", "c.example.", "example", "x.y.a.example", ""),
		Header: http.Header{}, Attributes: map[string]string{},
	}
	if m.IntN(5) > 0 {
		r.Client = netip.MustParseAddr(m.pick("10.1.2.3", "10.9.9.9", "::ffff:10.1.2.3", "2001:db8::7", "192.0.2.1"))
	}
	words := []string{"LON", "DUB", "1", "2", "3", "4", "L", "12"}
	for _, name := range append(m.names(), "Region") {
		for range m.IntN(3) {
			r.Header.Add(name, m.pick(words...))
		}
		if m.IntN(2) == 0 {
			r.Header.Add("Cookie", name+"="+m.pick(words...))
		}
		if m.IntN(2) == 0 {
			r.Query += "&" + name + "=" + m.pick(words...)
		}
	}
	for _, name := range append(m.names(), "region", "source") {
		if m.IntN(2) == 0 {
			r.Attributes[name] = m.pick(words...)
		}
	}
	return r
}

// The index decides as going through all rules one after another does.
func TestDecideIsTheScan(t *testing.T) {
	for seed := range uint64(100) {
		m := maker{rand.New(rand.NewPCG(seed, 1)), seed%2 == 0}
		engine, err := rules.Compile(m.set(1 + m.IntN(120)))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for range 40 {
			compareWithScan(t, seed, engine, m.request())
		}
	}
}

func compareWithScan(t *testing.T, seed uint64, engine *rules.Engine, r *rules.Request) {
	t.Helper()
	d := engine.Decide(r)
	for k, v := range engine.Explain(r).Verdicts {
		got := ""
		if rule := d.Rule(rules.Kind(k)); rule != nil {
			got = rule.ID
		}
		if got != v.Rule {
			t.Errorf("seed %d, %s: the index lets %q win %s, the scan %q, because %s", seed, engine.Explain(r).Request, got, v.Kind, v.Rule, v.Why)
		}
	}
}

// The order in which rules are stored decides nothing: ties were unstable in
// Hailo's thin API.
func TestHailoTiesAreStable(t *testing.T) {
	for seed := range uint64(50) {
		m := maker{rand.New(rand.NewPCG(seed, 2)), false}
		set := m.set(60)
		first, err := rules.Compile(set)
		if err != nil {
			t.Fatal(err)
		}
		m.Shuffle(len(set.Rules), func(i, j int) { set.Rules[i], set.Rules[j] = set.Rules[j], set.Rules[i] })
		second, err := rules.Compile(set)
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			r := m.request()
			a, b := first.Decide(r), second.Decide(r)
			for k := rules.Answer; k <= rules.Shadowing; k++ {
				if x, y := a.Rule(k), b.Rule(k); (x == nil) != (y == nil) || x != nil && x.ID != y.ID {
					t.Fatalf("seed %d: the same rules in another order decide differently: %v, then %v", seed, x, y)
				}
			}
		}
	}
}

// What lint calls shadowed or unreachable wins nothing.
func TestLintIsRight(t *testing.T) {
	for seed := range uint64(40) {
		m := maker{rand.New(rand.NewPCG(seed, 3)), seed%2 == 0}
		engine, err := rules.Compile(m.set(40))
		if err != nil {
			t.Fatal(err)
		}
		dead := map[string]rules.Finding{}
		for _, f := range engine.Lint() {
			if f.Kind == rules.Shadowed || f.Kind == rules.Unreachable {
				dead[f.Rule] = f
			}
		}
		for range 300 {
			r := m.request()
			d := engine.Decide(r)
			for k := rules.Answer; k <= rules.Shadowing; k++ {
				if rule := d.Rule(k); rule != nil && dead[rule.ID].Rule != "" {
					t.Fatalf("seed %d: %s, but it wins %s of %s", seed, dead[rule.ID], k, engine.Explain(r).Request)
				}
			}
		}
	}
}
