package rules_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/discovery/rules"
)

// compile reads rules written in JSON, without lint.
func compile(t testing.TB, text string) *rules.Engine {
	t.Helper()
	set, err := rules.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	engine, err := rules.Compile(set)
	if err != nil {
		t.Fatal(err)
	}
	return engine
}

// answer is the id of the rule that answers, "" if none does.
func answer(e *rules.Engine, r *rules.Request) string {
	d := e.Decide(r)
	if rule := d.Rule(rules.Answer); rule != nil {
		return rule.ID
	}
	return ""
}

// Hailo's path prefixes were prefixes of text.
func TestHailoPathPrefixKeepsSegmentBorders(t *testing.T) {
	e := compile(t, `{"rules": [
		{"id": "exact", "match": {"path": "/v1/point"}, "route": {"service": "a"}},
		{"id": "below", "match": {"path": "/v1/experiment/*"}, "route": {"service": "b"}},
		{"id": "one", "match": {"path": "/v2/{name}"}, "route": {"service": "c"}},
		{"id": "slash", "match": {"path": "/v3/"}, "route": {"service": "d"}}
	]}`)
	for path, want := range map[string]string{
		"/v1/point": "exact", "/v1/points": "", "/v1/point/": "", "/v1/point/7": "",
		"/v1/experiment": "below", "/v1/experiment/": "below", "/v1/experiment/a/b": "below",
		"/v1/experiments": "", "/v1/experimental/a": "", "/v1/experiment%2Fa": "",
		"/v2/a": "one", "/v2/a%2Fb": "one", "/v2/": "", "/v2": "", "/v2/a/b": "",
		"/v3/": "slash", "/v3": "", "*": "", "": "", "/v1/%70oint": "exact",
	} {
		if got := answer(e, &rules.Request{Path: path}); got != want {
			t.Errorf("a pattern is compared in whole segments: %q went to %q instead of %q", path, got, want)
		}
	}
}

// Hailo gave 10 to any path, however long.
func TestHailoLongerPathIsMoreSpecific(t *testing.T) {
	e := compile(t, `{"rules": [
		{"id": "z-long", "match": {"path": "/v1/orders/items/*"}, "route": {"service": "a"}},
		{"id": "a-short", "match": {"path": "/v1/*", "region": "LON", "source": "app", "methods": ["GET"]}, "route": {"service": "b"}},
		{"id": "param", "match": {"path": "/v1/{kind}/items/*"}, "route": {"service": "c"}},
		{"id": "closed", "match": {"path": "/v1/orders/items/{id}"}, "route": {"service": "d"}}
	]}`)
	var order []string
	for _, r := range e.Rules() {
		order = append(order, r.ID)
	}
	if diff := cmp.Diff([]string{"closed", "z-long", "param", "a-short"}, order); diff != "" {
		t.Errorf("columns never carry: %s", diff)
	}
}

// Each column of the specificity decides where those before it are equal.
func TestSpecificityIsATotalOrder(t *testing.T) {
	e := compile(t, `{"trust": {"header:X": "proxy"}, "rules": [
		{"id": "priority", "priority": 1, "respond": {"status": 200}},
		{"id": "host", "match": {"hosts": ["a.example"]}, "respond": {"status": 200}},
		{"id": "wide-host", "match": {"hosts": ["*.example"]}, "respond": {"status": 200}},
		{"id": "hosts", "match": {"hosts": ["a.b.example", "*.org"]}, "respond": {"status": 200}},
		{"id": "literal", "match": {"path": "/a/*"}, "respond": {"status": 200}},
		{"id": "param", "match": {"path": "/{a}/{b}/*"}, "respond": {"status": 200}},
		{"id": "closed", "match": {"path": "/{a}/{b}"}, "respond": {"status": 200}},
		{"id": "values", "match": {"region": "a", "source": "b"}, "respond": {"status": 200}},
		{"id": "value", "match": {"region": "a"}, "respond": {"status": 200}},
		{"id": "presence", "match": {"headers": {"X": true}}, "respond": {"status": 200}},
		{"id": "narrow", "match": {"client": ["10.0.0.0/16"]}, "respond": {"status": 200}},
		{"id": "wide", "match": {"client": ["10.0.0.0/16", "10.0.0.0/8"]}, "respond": {"status": 200}},
		{"id": "few", "match": {"proportion": {"percent": 5, "by": "request"}}, "respond": {"status": 200}},
		{"id": "many", "match": {"proportion": {"percent": 50, "by": "request"}}, "respond": {"status": 200}},
		{"id": "any-a", "respond": {"status": 200}},
		{"id": "any-b", "respond": {"status": 200}},
		{"id": "below", "priority": -1, "match": {"path": "/a/b/c"}, "respond": {"status": 200}}
	]}`)
	var order []string
	for _, r := range e.Rules() {
		order = append(order, r.ID)
	}
	want := []string{
		"priority", "host", "hosts", "wide-host", "literal", "closed", "param", "values", "value", "presence",
		"narrow", "wide", "few", "many", "any-a", "any-b", "below",
	}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("the order is the documented one: %s", diff)
	}
}

// Each kind of thing is decided apart, as properties are in CSS.
func TestKindsAreDecidedApart(t *testing.T) {
	e := compile(t, `{"rules": [
		{"id": "v1", "match": {"path": "/v1/*"}, "deprecate": {"at": "2026-01-01T00:00:00Z"}, "throttle": {"rate": 5}},
		{"id": "orders", "match": {"path": "/v1/orders/*"}, "route": {"service": "orders"}},
		{"id": "bulk", "match": {"path": "/v1/orders/bulk"}, "throttle": {"rate": 1}, "shadow": {"service": "next"}}
	]}`)
	d := e.Decide(&rules.Request{Path: "/v1/orders/bulk"})
	var got []string
	for k := rules.Answer; k <= rules.Shadowing; k++ {
		got = append(got, d.Rule(k).ID)
	}
	if diff := cmp.Diff([]string{"orders", "bulk", "v1", "bulk"}, got); diff != "" {
		t.Errorf("answer, throttle, deprecate, shadow: %s", diff)
	}
}

// Hailo hashed without salt, so that the same tenth were in every experiment.
func TestHailoCohortsDifferByExperiment(t *testing.T) {
	e := compile(t, `{"rules": [
		{"id": "one", "match": {"path": "/one", "proportion": {"percent": 10, "by": "attr:customer"}}, "route": {"service": "a"}},
		{"id": "two", "match": {"path": "/two", "proportion": {"percent": 10, "by": "attr:customer"}}, "route": {"service": "a"}},
		{"id": "more", "match": {"path": "/more", "proportion": {"percent": 25, "by": "attr:customer", "salt": "one"}}, "route": {"service": "a"}}
	]}`)
	const n = 100_000
	var one, both, more int
	for i := range n {
		in := func(path string) bool {
			return answer(e, &rules.Request{Path: path, Attributes: map[string]string{"customer": fmt.Sprint("c", i)}}) != ""
		}
		a := in("/one")
		if a {
			one++
			if in("/two") {
				both++
			}
			if in("/more") {
				more++
			}
		}
	}
	if p := float64(one) / n; math.Abs(p-0.1) > 0.005 {
		t.Errorf("a tenth was asked for, %.4f came", p)
	}
	if p := float64(both) / float64(one); math.Abs(p-0.1) > 0.02 {
		t.Errorf("of one experiment's cohort a tenth must be in the other's, not %.3f", p)
	}
	if more != one {
		t.Errorf("a cohort that grows keeps its members: %d of %d stayed", more, one)
	}
	if got := answer(e, &rules.Request{Path: "/one"}); got != "" {
		t.Errorf("without a key nobody is in a cohort")
	}
}

// The hash is the same everywhere and for ever: other languages repeat it.
func TestCohortIsStable(t *testing.T) {
	for key, want := range map[string]uint64{"": 0x5511a88982134792, "customer-7": 0xfa85fdfea6b0b6ee} {
		if got := rules.Cohort("experiment", key); got != want {
			t.Errorf("the cohort of %q is %#x; it must stay %#x", key, got, want)
		}
	}
}

// Programs that choose by the same salt and key choose as a rule does.
func TestTakesIsAsARuleTakes(t *testing.T) {
	for _, percent := range []float64{0, 0.3, 7, 50, 99.9999, 100} {
		e := compile(t, fmt.Sprintf(`{"rules": [{"id": "r", "match": {"proportion": {"percent": %g, "by": "attr:key", "salt": "s"}}, "respond": {"status": 200}}]}`, percent))
		for i := range 2000 {
			key := ""
			if i > 0 {
				key = fmt.Sprint(i)
			}
			if got, want := rules.Takes("s", key, percent), answer(e, &rules.Request{Attributes: map[string]string{"key": key}}) == "r"; got != want {
				t.Fatalf("%g%% takes %q: %v, and a rule: %v", percent, key, got, want)
			}
		}
	}
	if rules.Takes("s", "key", math.NaN()) || rules.Takes("s", "key", -1) {
		t.Error("what is no percentage takes nobody")
	}
}

// Hailo believed a route header of clients.
func TestHailoRouteHeaderOfAClientIsIgnored(t *testing.T) {
	e := compile(t, `{"trust": {"header:X-Route": "proxy"}, "derive": {"region": "header:X-Route"}, "rules": [
		{"id": "secret", "match": {"headers": {"x-route": "v2"}}, "route": {"service": "v2"}},
		{"id": "london", "match": {"path": "/l", "region": "v2"}, "route": {"service": "v2"}},
		{"id": "cohort", "match": {"path": "/c", "proportion": {"percent": 100, "by": "header:X-Route"}}, "route": {"service": "v2"}},
		{"id": "without", "match": {"path": "/w", "headers": {"x-route": false}}, "route": {"service": "v1"}},
		{"id": "plain", "route": {"service": "v1"}}
	]}`)
	for _, c := range []struct {
		path, client, proxy string
	}{{"/", "plain", "secret"}, {"/l", "plain", "london"}, {"/c", "plain", "cohort"}, {"/w", "without", "secret"}} {
		r := &rules.Request{Path: c.path, Header: http.Header{"X-Route": {"v2"}}}
		if got := answer(e, r); got != c.client {
			t.Errorf("%s: a client's header chose %q instead of %q", c.path, got, c.client)
		}
		r.FromProxy = true
		if got := answer(e, r); got != c.proxy {
			t.Errorf("%s: a trusted proxy's header chose %q instead of %q", c.path, got, c.proxy)
		}
	}
	if diff := cmp.Diff([]string{"X-Route"}, e.ProxyHeaders()); diff != "" {
		t.Error(diff)
	}
	ex := e.Explain(&rules.Request{Path: "/", Header: http.Header{"X-Route": {"v2"}}})
	if i := slices.IndexFunc(ex.Trials, func(t rules.Trial) bool { return t.Rule == "secret" }); !strings.Contains(ex.Trials[i].Words, "only a trusted proxy is believed") {
		t.Errorf("the explanation must say why the header wasn't seen: %s", ex.Trials[i].Words)
	}
}

// A route that any client chooses isn't accepted, unless the rule says so
// itself.
func TestClientChosenRouteIsNotAccepted(t *testing.T) {
	const text = `{"trust": {"header:X-Version": "client"}, "derive": {"version": "header:X-Version"}, "rules": [
		{"id": "v2", "match": {%s}, "route": {"service": "v2"}%s}]}`
	for _, match := range []string{`"headers": {"X-Version": "2"}`, `"attributes": {"version": "2"}`} {
		set, err := rules.Parse(fmt.Appendf(nil, text, match, ""))
		if err != nil {
			t.Fatal(err)
		}
		var lint *rules.LintError
		if _, err := rules.Accept(set); !errors.As(err, &lint) || lint.Findings[0].Kind != rules.ClientChosen {
			t.Errorf("%s: a route by a client's header must be refused: %v", match, err)
		}
		set, err = rules.Parse(fmt.Appendf(nil, text, match, `, "allow": ["client-chosen"]`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rules.Accept(set); err != nil {
			t.Errorf("%s: said on purpose it is accepted: %v", match, err)
		}
	}
}

// A field that comes twice is its values joined, so that nobody is fooled by
// the first or the last.
func TestRepeatedInputsAreJoined(t *testing.T) {
	e := compile(t, `{"trust": {"header:X": "client", "query:q": "client"}, "rules": [
		{"id": "h", "match": {"headers": {"X": "a"}}, "respond": {"status": 200}},
		{"id": "q", "match": {"query": {"q": "a b"}}, "respond": {"status": 200}}]}`)
	for _, c := range []struct {
		header []string
		query  string
		want   string
	}{
		{[]string{"a"}, "", "h"}, {[]string{"a", "b"}, "", ""}, {nil, "q=a+b", "q"}, {nil, "%71=a%20b", "q"}, {nil, "q=a+b&q=c", ""}, {nil, "q=%zz", ""},
	} {
		if got := answer(e, &rules.Request{Path: "/", Header: http.Header{"X": c.header}, Query: c.query}); got != c.want {
			t.Errorf("%v %q went to %q instead of %q", c.header, c.query, got, c.want)
		}
	}
}

// An IPv6 host can't escape its bucket or cohort by another of the addresses
// that it has.
func TestClientKeyIsTheNetworkOfAnIPv6Host(t *testing.T) {
	e := compile(t, `{"rules": [{"id": "r", "throttle": {"rate": 1, "by": "client"}}]}`)
	key := func(addr string) string {
		r := &rules.Request{Path: "/", Client: netip.MustParseAddr(addr)}
		d := e.Decide(r)
		return d.ThrottleKey(r)
	}
	if a, b := key("2001:db8:1:2::7"), key("2001:db8:1:2:ffff::1"); a != b {
		t.Errorf("one network has two buckets: %q and %q", a, b)
	}
	if a, b := key("2001:db8:1:2::7"), key("2001:db8:1:3::7"); a == b {
		t.Errorf("two networks share the bucket %q", a)
	}
	if a, b := key("192.0.2.1"), key("::ffff:192.0.2.1"); a != b || a == key("192.0.2.2") {
		t.Errorf("an IPv4 address has its own bucket, however it is written: %q and %q", a, b)
	}
}

func TestRewriting(t *testing.T) {
	for _, c := range []struct{ pattern, target, path, want string }{
		{"/v1/orders/{id}/*", "/orders/{id}/*", "/v1/orders/7/items/2", "/orders/7/items/2"},
		{"/v1/orders/{id}/*", "/orders/{id}/*", "/v1/orders/a%2Fb", "/orders/a%2Fb"},
		{"/v1/*", "/*", "/v1", "/"},
		{"/v1/*", "/*", "/v1/", "/"},
		{"/v1/*", "/*", "/v1/x/", "/x/"},
		{"/v1/{a}/{b}", "/{b}/{a}", "/v1/x/y", "/y/x"},
		{"/v1/*", "/caf%C3%A9/*", "/v1/x", "/caf%C3%A9/x"},
	} {
		e := compile(t, fmt.Sprintf(`{"rules": [{"id": "r", "match": {"path": %q}, "route": {"service": "s", "path": %q}}]}`, c.pattern, c.target))
		r := &rules.Request{Path: c.path}
		d := e.Decide(r)
		if got := d.Path(r); got != c.want {
			t.Errorf("%s under %s to %s became %s instead of %s", c.path, c.pattern, c.target, got, c.want)
		}
	}
}

// Ten thousand rules cost what ten do: the index leaves few to compare, and
// the decision allocates nothing.
func TestDecisionIsNoScan(t *testing.T) {
	for _, c := range []struct {
		name string
		set  *rules.Set
		r    *rules.Request
	}{
		{"paths", byPath(10_000), &rules.Request{Method: "GET", Path: "/service-7/orders/9"}},
		{"regions", byRegion(10_000), &rules.Request{Method: "GET", Path: "/v1/orders/9", Attributes: map[string]string{"region": "city-7"}}},
		{"networks", byNetwork(10_000), &rules.Request{Method: "GET", Path: "/v1/orders/9", Client: netip.MustParseAddr("10.0.7.1")}},
		{"headers", byHeader(10_000), &rules.Request{Method: "GET", Path: "/v1/orders/9", Header: http.Header{"X-7": {"on"}}, FromProxy: true}},
		{"flags", byFlag(10_000), &rules.Request{Method: "GET", Path: "/v1/orders/9", Attributes: map[string]string{"flag-7": "on"}}},
		{"hosts", byHost(10_000), &rules.Request{Method: "GET", Path: "/", Host: "h7.example"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := rules.Accept(c.set)
			if err != nil {
				t.Fatal(err)
			}
			ex := e.Explain(c.r)
			if ex.Verdicts[0].Rule != "r7" || answer(e, c.r) != "r7" {
				t.Errorf("%q won, because %s, and the index says %q", ex.Verdicts[0].Rule, ex.Verdicts[0].Why, answer(e, c.r))
			}
			if ex.Compared > 10 {
				t.Errorf("%d of 10,000 rules were compared; the index should leave a handful", ex.Compared)
			}
			if n := testing.AllocsPerRun(100, func() { e.Decide(c.r) }); n != 0 {
				t.Errorf("a decision makes %g heap objects; it should make none", n)
			}
		})
	}
}

func many(n int, match func(i int) rules.Match) *rules.Set {
	set := &rules.Set{}
	for i := range n {
		set.Rules = append(set.Rules, rules.Rule{ID: fmt.Sprint("r", i), Match: match(i), Route: &rules.Route{Service: fmt.Sprint("s", i)}})
	}
	return set
}

func byPath(n int) *rules.Set {
	return many(n, func(i int) rules.Match { return rules.Match{Path: fmt.Sprintf("/service-%d/*", i)} })
}

func byRegion(n int) *rules.Set {
	return many(n, func(i int) rules.Match {
		return rules.Match{Path: "/v1/*", Methods: []string{"GET"}, Region: rules.Is(fmt.Sprint("city-", i))}
	})
}

func byNetwork(n int) *rules.Set {
	return many(n, func(i int) rules.Match {
		return rules.Match{Path: "/v1/*", Client: []string{fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)}}
	})
}

func byFlag(n int) *rules.Set {
	set := many(n, func(i int) rules.Match {
		return rules.Match{Path: "/v1/*", Attributes: map[string]rules.Value{fmt.Sprint("flag-", i): rules.Is("on")}}
	})
	for i := range set.Rules {
		set.Rules[i].Route.Service = "s" // the same for all: nothing is ambiguous
	}
	return set
}

func byHeader(n int) *rules.Set {
	set := many(n, func(i int) rules.Match {
		return rules.Match{Path: "/v1/*", Headers: map[string]rules.Value{fmt.Sprint("X-", i): rules.Is("on")}}
	})
	set.Trust = map[rules.Input]rules.Trust{}
	for i := range set.Rules {
		set.Trust[rules.Input(fmt.Sprint("header:X-", i))] = rules.TrustProxy
		set.Rules[i].Route.Service = "s"
	}
	return set
}

func byHost(n int) *rules.Set {
	return many(n, func(i int) rules.Match { return rules.Match{Hosts: []string{fmt.Sprintf("h%d.example", i)}} })
}
