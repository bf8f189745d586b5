package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/discovery/rules"
)

func TestLint(t *testing.T) {
	for _, c := range []struct {
		name, rules string
		want        []string // kind rule other
	}{
		{"priority covers", `{"id": "top", "priority": 1, "match": {"path": "/v1/*"}, "route": {"service": "a"}},
			{"id": "low", "match": {"path": "/v1/orders/{id}"}, "route": {"service": "b"}}`, []string{"shadowed low top"}},
		{"for one kind of two", `{"id": "top", "priority": 1, "match": {"path": "/v1/*"}, "route": {"service": "a"}},
			{"id": "low", "match": {"path": "/v1/x"}, "route": {"service": "b"}, "throttle": {"rate": 1}}`, nil},
		{"two cover together by kind", `{"id": "a", "priority": 1, "match": {"path": "/v1/*"}, "route": {"service": "a"}},
			{"id": "b", "priority": 1, "match": {"path": "/v1/*"}, "throttle": {"rate": 2}},
			{"id": "low", "match": {"path": "/v1/x"}, "route": {"service": "b"}, "throttle": {"rate": 1}}`, []string{"shadowed low b"}},
		{"two cover together by method", `{"id": "get", "match": {"path": "/x", "methods": ["GET"], "region": ["1", "2"]}, "route": {"service": "a"}},
			{"id": "post", "match": {"path": "/x", "methods": ["POST", "PUT"], "region": ["1", "2"]}, "route": {"service": "b"}},
			{"id": "low", "priority": -1, "match": {"path": "/x", "methods": ["GET", "POST"], "region": "2"}, "route": {"service": "c"}}`, []string{"shadowed low get"}},
		{"two leave something", `{"id": "get", "match": {"path": "/x", "methods": ["GET"]}, "route": {"service": "a"}},
			{"id": "post", "match": {"path": "/x", "methods": ["POST"]}, "route": {"service": "b"}},
			{"id": "low", "priority": -1, "match": {"path": "/x", "methods": ["GET", "POST", "PUT"]}, "route": {"service": "c"}}`, nil},
		{"hosts and regions between four", `{"id": "a", "match": {"hosts": ["a.example"], "region": "1"}, "route": {"service": "a"}},
			{"id": "b", "match": {"hosts": ["a.example"], "region": "2"}, "route": {"service": "b"}},
			{"id": "c", "match": {"hosts": ["b.example"], "region": ["1", "2"]}, "route": {"service": "c"}},
			{"id": "low", "priority": -1, "match": {"hosts": ["a.example", "b.example"], "region": ["1", "2"]}, "route": {"service": "d"}}`, []string{"shadowed low a"}},
		{"networks between two", `{"id": "a", "match": {"client": ["10.0.0.0/8"]}, "route": {"service": "a"}},
			{"id": "b", "match": {"client": ["192.0.2.0/24"]}, "route": {"service": "b"}},
			{"id": "low", "priority": -1, "match": {"client": ["10.1.0.0/16", "192.0.2.1"]}, "route": {"service": "c"}}`, []string{"shadowed low a"}},
		{"a part only in a proportion", `{"id": "get", "match": {"path": "/x", "methods": ["GET"], "proportion": {"percent": 50, "by": "client"}}, "route": {"service": "a"}},
			{"id": "post", "match": {"path": "/x", "methods": ["POST"]}, "route": {"service": "b"}},
			{"id": "low", "priority": -1, "match": {"path": "/x", "methods": ["GET", "POST"]}, "route": {"service": "c"}}`, nil},
		{"one kind of two is left", `{"id": "get", "match": {"path": "/x", "methods": ["GET"]}, "route": {"service": "a"}},
			{"id": "post", "match": {"path": "/x", "methods": ["POST"]}, "route": {"service": "b"}},
			{"id": "low", "priority": -1, "match": {"path": "/x", "methods": ["GET", "POST"]}, "route": {"service": "c"}, "throttle": {"rate": 1}}`, nil},
		{"the same twice", `{"id": "a", "match": {"path": "/x"}, "route": {"service": "a"}},
			{"id": "b", "match": {"path": "/x"}, "route": {"service": "b"}}`, []string{"shadowed b a"}},
		{"meeting", `{"id": "a", "match": {"path": "/{x}/b"}, "route": {"service": "a"}},
			{"id": "b", "match": {"path": "/a/{y}"}, "route": {"service": "b"}}`, []string{"ambiguous b a"}},
		{"meeting in agreement", `{"id": "a", "match": {"path": "/{x}/b"}, "route": {"service": "a"}},
			{"id": "b", "match": {"path": "/a/{y}"}, "route": {"service": "a"}}`, nil},
		{"never meeting", `{"id": "a", "match": {"path": "/x", "region": "1"}, "route": {"service": "a"}},
			{"id": "b", "match": {"path": "/x", "region": ["2", "3"]}, "route": {"service": "b"}}`, nil},
		{"conditions on different things", `{"id": "a", "match": {"region": "1"}, "route": {"service": "a"}},
			{"id": "b", "match": {"source": "app"}, "route": {"service": "b"}}`, []string{"ambiguous b a"}},
		{"allowed", `{"id": "a", "match": {"region": "1"}, "route": {"service": "a"}},
			{"id": "b", "allow": ["ambiguous"], "match": {"source": "app"}, "route": {"service": "b"}}`, nil},
		{"nobody", `{"id": "a", "match": {"proportion": {"percent": 0, "by": "request"}}, "route": {"service": "a"}}`, []string{"unreachable a "}},
		{"dots", `{"id": "a", "match": {"path": "/a/../b"}, "route": {"service": "a"}}`, []string{"unreachable a "}},
		{"two regions at once", `{"id": "a", "match": {"region": "1", "attributes": {"region": "2"}}, "route": {"service": "a"}}`, []string{"unreachable a "}},
		{"cohorts in line", `{"id": "a", "priority": 1, "match": {"proportion": {"percent": 50, "by": "client", "salt": "s"}}, "route": {"service": "a"}},
			{"id": "b", "match": {"proportion": {"percent": 10, "by": "client", "salt": "s"}}, "route": {"service": "b"}}`, []string{"shadowed b a"}},
		{"cohorts apart", `{"id": "a", "priority": 1, "match": {"proportion": {"percent": 50, "by": "client"}}, "route": {"service": "a"}},
			{"id": "b", "match": {"proportion": {"percent": 10, "by": "client"}}, "route": {"service": "b"}}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, f := range compile(t, `{"rules": [`+c.rules+`]}`).Lint() {
				got = append(got, fmt.Sprintf("%s %s %s", f.Kind, f.Rule, f.Other))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What isn't accepted is said before it is used, all of it at once.
func TestAcceptNamesEveryFinding(t *testing.T) {
	set, err := rules.Parse([]byte(`{"rules": [
		{"id": "a", "match": {"path": "/x"}, "route": {"service": "a"}},
		{"id": "b", "match": {"path": "/x"}, "route": {"service": "b"}},
		{"id": "c", "match": {"proportion": {"percent": 0, "by": "request"}}, "route": {"service": "a"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = rules.Accept(set)
	if err == nil || !strings.Contains(err.Error(), `shadowed: rule "b"`) || !strings.Contains(err.Error(), `unreachable: rule "c"`) {
		t.Errorf("both findings must be named: %v", err)
	}
}

// Explain says who won, why, and what was missing, in words.
func TestExplainInWords(t *testing.T) {
	e := compile(t, `{"rules": [
		{"id": "v1", "match": {"path": "/v1/*"}, "route": {"service": "old"}},
		{"id": "london", "match": {"path": "/v1/point/*", "region": "LON"}, "route": {"service": "points"}},
		{"id": "point", "match": {"path": "/v1/poin/*"}, "route": {"service": "points"}, "throttle": {"rate": 1}}]}`)
	x := e.Explain(&rules.Request{Method: "GET", Host: "api.example", Path: "/v1/point/7", Query: "q=1", Attributes: map[string]string{"region": "LON"}})
	var got []string
	for _, t := range x.Trials {
		got = append(got, t.Rule+" "+t.Words)
	}
	for _, v := range x.Verdicts {
		got = append(got, v.Kind+" "+v.Rule+": "+v.Why)
	}
	want := []string{
		`london matches; wins answer`,
		`point doesn't match: path is "/v1/point/7", not /v1/poin/* (a pattern is whole segments)`,
		`v1 matches; loses answer to "london", because its path writes out 2 segments, not 1`,
		`answer london: it comes before "v1": its path writes out 2 segments, not 1`,
		`throttle : no rule that does this matches`, `deprecate : no rule that does this matches`, `shadow : no rule that does this matches`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if x.Request != "GET //api.example/v1/point/7?q=1" {
		t.Errorf("the request is told as %q", x.Request)
	}
}
