package rules_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/goswale/swale/discovery/rules"
)

func schemaOf(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(rules.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("rules.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("rules.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fits(t testing.TB, s *jsonschema.Schema, data []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

// Everything that a set can say in JSON, it says by the schema, and reads
// again as it was.
func TestSchemaFitsWhatIsWritten(t *testing.T) {
	schema := schemaOf(t)
	for seed := range uint64(60) {
		set := maker{rand.New(rand.NewPCG(seed, 4)), false}.set(30)
		data, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		if err := fits(t, schema, data); err != nil {
			t.Fatalf("the schema refuses what Compile accepts: %v\n%s", err, data)
		}
		again, err := rules.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(set.Rules, again.Rules, cmp.Transformer("bytes", func(d json.RawMessage) string { return string(d) })); diff != "" {
			t.Fatalf("a set must survive being written and read: %s", diff)
		}
	}
	for _, text := range []string{everything, `{"rules": []}`} {
		if err := fits(t, schema, []byte(text)); err != nil {
			t.Errorf("the schema refuses a good set: %v", err)
		}
		set, err := rules.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rules.Accept(set); err != nil {
			t.Errorf("a good set isn't accepted: %v", err)
		}
	}
}

// everything uses each member once.
const everything = `{
	"trust": {"header:X-Region": "proxy", "query:preview": "client", "cookie:beta": "client", "header:Accept-Language": "client"},
	"derive": {"region": "header:X-Region"},
	"rules": [
		{"id": "all", "note": "the whole of it", "priority": 3, "allow": ["client-chosen"],
			"match": {"methods": ["GET", "HEAD"], "hosts": ["api.example", "*.api.example"], "path": "/v1/orders/{id}/*",
				"client": ["10.0.0.0/8", "2001:db8::1"], "region": ["LON", "DUB"], "source": "app",
				"headers": {"accept-language": {"prefix": "de"}}, "query": {"preview": true}, "cookies": {"beta": "yes"},
				"attributes": {"staff": false},
				"proportion": {"percent": 12.5, "by": "attr:customer", "salt": "s"}},
			"route": {"service": "orders", "path": "/orders/{id}/*", "versions": [{"version": "v2", "weight": 9}, {"version": "v1", "weight": 0}],
				"fallback": "v1", "minHealthy": 2, "by": "attr:customer", "salt": "t", "timeout": "1m30s"},
			"throttle": {"rate": 0.5, "burst": 3, "by": "client", "shared": true},
			"deprecate": {"at": "2026-01-01T00:00:00Z", "sunset": "2027-01-01T00:00:00Z", "link": "https://docs.example/v1", "successor": "/v2/orders"},
			"shadow": {"url": "https://next.example", "maxBody": 1024, "timeout": "2s"}},
		{"id": "old", "match": {"path": "/*"}, "route": {"url": "http://old.example"}},
		{"id": "gone", "match": {"path": "/gone"}, "respond": {"status": 410, "headers": {"Cache-Control": "max-age=60"}, "json": {"gone": true}}},
		{"id": "off", "disabled": true, "match": {"path": "/gone"}, "respond": {"status": 200, "body": "no"}}
	]}`

// What is wrong is refused, and the error says where.
func TestRefused(t *testing.T) {
	schema := schemaOf(t)
	for _, c := range []struct {
		name, rule, says string
		shape            bool // the schema sees it too
	}{
		{"no id", `{"route": {"service": "s"}}`, "id", true},
		{"spaces in the id", `{"id": "a b", "route": {"service": "s"}}`, "id", true},
		{"does nothing", `{"id": "r"}`, "does nothing", true},
		{"misspelt condition", `{"id": "r", "match": {"pth": "/"}, "route": {"service": "s"}}`, "pth", true},
		{"route and respond", `{"id": "r", "route": {"service": "s"}, "respond": {"status": 200}}`, "one answer", true},
		{"service and url", `{"id": "r", "route": {"service": "s", "url": "http://x"}}`, "not both", true},
		{"relative path", `{"id": "r", "match": {"path": "v1"}, "route": {"service": "s"}}`, "begin with /", true},
		{"star inside", `{"id": "r", "match": {"path": "/a*/b"}, "route": {"service": "s"}}`, "whole segments", false},
		{"parameter twice", `{"id": "r", "match": {"path": "/{a}/{a}"}, "route": {"service": "s"}}`, "twice", false},
		{"rewriting from nowhere", `{"id": "r", "match": {"path": "/{a}"}, "route": {"service": "s", "path": "/{b}"}}`, "{b}", false},
		{"empty list", `{"id": "r", "match": {"methods": []}, "route": {"service": "s"}}`, "empty", true},
		{"small method", `{"id": "r", "match": {"methods": ["get"]}, "route": {"service": "s"}}`, "capitals", true},
		{"host with port", `{"id": "r", "match": {"hosts": ["a.example:80"]}, "route": {"service": "s"}}`, "without port", true},
		{"no network", `{"id": "r", "match": {"client": ["10.0.0.0/40"]}, "route": {"service": "s"}}`, "10.0.0.0/40", false},
		{"undeclared header", `{"id": "r", "match": {"headers": {"X-Version": "2"}}, "route": {"service": "s"}}`, "trust", false},
		{"undeclared cohort", `{"id": "r", "match": {"proportion": {"percent": 5, "by": "cookie:c"}}, "route": {"service": "s"}}`, "trust", false},
		{"too much", `{"id": "r", "match": {"proportion": {"percent": 101, "by": "client"}}, "route": {"service": "s"}}`, "101", true},
		{"no such input", `{"id": "r", "match": {"proportion": {"percent": 1, "by": "customer"}}, "route": {"service": "s"}}`, "customer", true},
		{"nobody answers", `{"id": "r", "route": {"service": "s", "versions": [{"version": "v1", "weight": 0}]}}`, "nobody would answer", false},
		{"version twice", `{"id": "r", "route": {"service": "s", "versions": [{"version": "v1", "weight": 1}, {"version": "v1", "weight": 1}]}}`, "twice", false},
		{"sunset first", `{"id": "r", "deprecate": {"at": "2027-01-01T00:00:00Z", "sunset": "2026-01-01T00:00:00Z"}}`, "before", false},
		{"split header", `{"id": "r", "respond": {"status": 200, "headers": {"A": "b\r\nC: d"}}}`, "can't be sent", false},
		{"body of 204", `{"id": "r", "respond": {"status": 204, "body": "x"}}`, "no body", false},
		{"no rate", `{"id": "r", "throttle": {"rate": 0}}`, "rate", true},
		{"negative time", `{"id": "r", "route": {"service": "s", "timeout": "-1s"}}`, "negative", true},
		{"password in url", `{"id": "r", "route": {"url": "http://u:secret@old.example"}}`, "origin", true},
		{"twice", `{"id": "r", "respond": {"status": 200}}, {"id": "r", "respond": {"status": 200}}`, "twice", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := []byte(`{"rules": [` + c.rule + `]}`)
			set, err := rules.Parse(data)
			if err == nil {
				_, err = rules.Compile(set)
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error must speak of %q: %v", c.says, err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells a password: %v", err)
			}
			if bad := fits(t, schema, data); (bad != nil) != c.shape {
				t.Errorf("the schema says %v", bad)
			}
		})
	}
}

// A document about something else isn't a set without rules.
func TestRulesAreNotForgotten(t *testing.T) {
	for _, text := range []string{`{}`, `null`, `{"rules": null}`, `{"trust": {}}`, `[]`, `{"rules": []} {}`,
		`{"rules": [], "rules": []}`, `{"rules": [{"id": "r", "match": {"path": "/a"}, "Match": {"region": "x"}, "respond": {"status": 200}}]}`,
	} {
		if _, err := rules.Parse([]byte(text)); err == nil {
			t.Errorf("%s must be refused", text)
		}
	}
	for _, text := range []string{
		`{"rules": [{"id": "r", "match": {"attributes": {"A": "x", "a": "y"}}, "respond": {"status": 200, "json": [{"a": 1, "A": {"b": 1}}]}}]}`,
	} {
		if _, err := rules.Parse([]byte(text)); err != nil {
			t.Errorf("names of the writer's own may differ by case: %v", err)
		}
	}
	data, err := json.Marshal(rules.Set{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rules.Parse(data); err != nil {
		t.Errorf("an empty set is read again: %v", err)
	}
}

// Trust is not for sale: the client's own hand can't be declared a proxy's.
func TestTrustIsChecked(t *testing.T) {
	for _, text := range []string{
		`{"trust": {"query:region": "proxy"}, "rules": []}`,
		`{"trust": {"cookie:region": "proxy"}, "rules": []}`,
		`{"trust": {"attr:region": "client"}, "rules": []}`,
		`{"trust": {"header:X": "yes"}, "rules": []}`,
		`{"derive": {"region": "header:X-Region"}, "rules": []}`,
		`{"derive": {"region": "attr:zone"}, "rules": []}`,
	} {
		set, err := rules.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rules.Compile(set); err == nil {
			t.Errorf("%s must be refused", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte(`{"rules": [{"id": "r", "match": {"path": "/a/{b}/*", "region": ["x"]}, "respond": {"status": 200}}]}`))
	schema := schemaOf(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := rules.Parse(data)
		if err != nil {
			return
		}
		engine, err := rules.Compile(set)
		if err != nil {
			return
		}
		engine.Lint()
		r := &rules.Request{Method: "GET", Path: "/a/b/c", Host: "api.example"}
		compareWithScan(t, 0, engine, r)
		written, err := json.Marshal(set)
		if err != nil {
			t.Fatalf("a set that was read can't be written: %v", err)
		}
		if err := fits(t, schema, written); err != nil {
			t.Fatalf("the schema refuses what Compile accepts: %v\n%s", err, written)
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, pair := range [][2]string{{"/a/{b}/*", "/a/x/y"}, {"/caf%C3%A9", "/café"}, {"/", "//"}, {"/{a}", "/%2F"}, {"/a/", "/a/%zz"}} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		set := &rules.Set{Rules: []rules.Rule{
			{ID: "r", Match: rules.Match{Path: pattern}, Route: &rules.Route{Service: "s", Path: pattern}},
			{ID: "other", Match: rules.Match{Path: "/a/{x}/*"}, Throttle: &rules.Throttle{Rate: 1}},
		}}
		engine, err := rules.Compile(set)
		if err != nil {
			return
		}
		r := &rules.Request{Path: path}
		compareWithScan(t, 0, engine, r)
		d := engine.Decide(r)
		if d.Rule(rules.Answer) == nil || pattern == "" {
			return
		}
		again := &rules.Request{Path: d.Path(r)}
		if d := engine.Decide(again); d.Rule(rules.Answer) == nil {
			t.Errorf("a path rewritten by its own pattern must match it: %q became %q under %q", path, again.Path, pattern)
		}
	})
}
