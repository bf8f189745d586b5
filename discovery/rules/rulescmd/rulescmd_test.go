package rulescmd_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goswale/swale/discovery/rules"
	"github.com/goswale/swale/discovery/rules/rulescmd"
)

const good = `{"trust": {"header:X-Region": "proxy"}, "derive": {"region": "header:X-Region"}, "rules": [
	{"id": "v1", "match": {"path": "/v1/*"}, "route": {"service": "old"}},
	{"id": "points", "match": {"path": "/v1/point/*", "region": ["LON"]}, "route": {"service": "points"}},
	{"id": "other", "match": {"path": "/v2/*"}, "route": {"service": "two"}}]}`

func run(stdin string, args ...string) (int, string, string) {
	var out, errs bytes.Buffer
	code := rulescmd.Main(context.Background(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func TestCommands(t *testing.T) {
	bad := strings.ReplaceAll(good, `"/v2/*"`, `"/v1/*"`)
	for _, c := range []struct {
		name, stdin string
		args        []string
		code        int
		out, errs   string
	}{
		{"lint good", good, []string{"lint", "-"}, 0, "3 rules, nothing to say\n", ""},
		{"lint bad", bad, []string{"lint", "-"}, 1, "", `shadowed: rule "v1"`},
		{"lint broken", "{", []string{"lint", "-"}, 1, "", "not a valid set"},
		{"order", good, []string{"order", "-"}, 0, "1  points  answer  (0 0 2.0.0 1.0 0 0)\n2  other", ""},
		{"explain winner", good, []string{"explain", "-path", "/v1/point/7?x=1", "-attr", "region=LON", "-"}, 0, "answer     points  it comes before \"v1\"", ""},
		{"explain hides", good, []string{"explain", "-path", "/v1/x", "-"}, 0, "-all shows the 2 that don't match", ""},
		{"explain all", good, []string{"explain", "-all", "-path", "/v1/points", "-"}, 0, "a pattern is whole segments", ""},
		{"explain trust", good, []string{"explain", "-all", "-path", "/v1/point", "-header", "X-Region=LON", "-"}, 0, "only a trusted proxy is believed", ""},
		{"explain proxy", good, []string{"explain", "-proxy", "-client", "192.0.2.1", "-path", "/v1/point", "-header", "X-Region=LON", "-"}, 0, "answer     points", ""},
		{"explain json", good, []string{"explain", "-json", "-path", "/v1/x", "-"}, 0, `"rule": "v1"`, ""},
		{"schema", "", []string{"schema"}, 0, rules.Schema(), ""},
		{"bad address", good, []string{"explain", "-client", "here", "-"}, 2, "", "no address"},
		{"bad pair", good, []string{"explain", "-attr", "region", "-"}, 2, "", "NAME=VALUE"},
		{"no file", good, []string{"lint"}, 2, "", "usage"},
		{"missing file", good, []string{"lint", "/nowhere/rules.json"}, 1, "", "no such file"},
		{"no command", "", nil, 2, "", "usage"},
		{"wrong command", "", []string{"lnit"}, 2, "", `no command "lnit"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := run(c.stdin, c.args...)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) {
				t.Errorf("exit %d\n%s\n%s", code, out, errs)
			}
		})
	}
}

func TestReadsFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(name, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := run("", "lint", name); code != 0 {
		t.Error(out, errs)
	}
}

func Example() {
	in := strings.NewReader(`{"rules": [
		{"id": "v1", "match": {"path": "/v1/*"}, "route": {"service": "old"}},
		{"id": "points", "match": {"path": "/v1/point/*"}, "route": {"service": "points"}}]}`)
	rulescmd.Main(context.Background(), []string{"order", "-"}, in, os.Stdout, os.Stderr)
	// Output:
	// 1  points  answer  (0 0 2.0.0 0.0 0 0)
	// 2  v1      answer  (0 0 1.0.0 0.0 0 0)
}
