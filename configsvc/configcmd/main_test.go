package configcmd_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/goswale/swale/configsvc/configcmd"
	"github.com/goswale/swale/configsvc/memconfig"
	"github.com/goswale/swale/configsvc/server"
	"github.com/goswale/swale/configsvc/store"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

func serve(t *testing.T) {
	t.Helper()
	h := server.New(store.New(memconfig.New(), nil), &server.Options{
		Allow: server.Grants{{Who: "*", Action: server.Read}, {Who: "*", Action: server.Write}, {Who: "*", Action: server.Write, Prefix: "_schemas"}}.Allow,
	})
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	t.Setenv("SWALE_CONFIG_URL", s.URL)
}

// run returns the exit code and what was printed.
func run(t *testing.T, input string, args ...string) (code int, out, errors string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = configcmd.Main(t.Context(), args, strings.NewReader(input), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// ok expects success with all of these texts.
func ok(t *testing.T, wants []string, args ...string) string {
	t.Helper()
	code, out, errors := run(t, "", args...)
	if code != 0 {
		t.Fatalf("%v: exit %d: %s", args, code, errors)
	}
	for _, want := range wants {
		if !strings.Contains(out, want) {
			t.Errorf("%v must print %q:\n%s", args, want, out)
		}
	}
	return out
}

// fails expects an exit code and a text among the errors.
func fails(t *testing.T, code int, want string, args ...string) {
	t.Helper()
	got, out, errors := run(t, "", args...)
	if got != code || !strings.Contains(errors, want) {
		t.Errorf("%v: exit %d, want %d and %q: %s%s", args, got, code, want, out, errors)
	}
}

func TestEveryVerb(t *testing.T) {
	serve(t)
	ok(t, []string{"base is v1"}, "set", "base", `{"pool":5,"db":{"host":"a"}}`, "-m", "begin")
	file := filepath.Join(t.TempDir(), "orders.json")
	if err := os.WriteFile(file, []byte(`{"pool":7}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ok(t, []string{"base/orders is v2"}, "set", "base/orders", "@"+file)
	if code, out, errors := run(t, `{"pool":6}`, "set", "base", "-"); code != 0 || !strings.Contains(out, "base is v3") {
		t.Errorf("from the input: %s%s", out, errors)
	}
	ok(t, []string{"{\n  \"pool\": 6\n}"}, "get", "base")
	ok(t, []string{`"host": "a"`}, "get", "base", "-version", "1")
	ok(t, []string{"base         v3", "base/orders  v2"}, "ls")
	ok(t, []string{`- /db: {"host":"a"}`, "~ /pool: 5 -> 6"}, "diff", "base")
	ok(t, []string{`+ /db: {"host":"a"}`, "~ /pool: 6 -> 5"}, "diff", "base", "3", "1")
	ok(t, []string{"3  ", "anonymous", "changed base", "~ /pool: 5 -> 6", "1  ", "begin", "created base"}, "history", "base")
	ok(t, []string{"\"pool\": 7"}, "compile", "base", "base/orders")
	ok(t, []string{"\"pool\": 7"}, "compile", "-service", "orders")
	ok(t, []string{"/pool  7         base/orders (version 2)", "over 6", "base (version 3)"}, "explain", "base", "base/orders")
	ok(t, []string{"~ /pool: 6 -> 9", "alters 0 services"}, "set", "base", `{"pool":9}`, "-n")
	ok(t, []string{`"pool": 6`}, "get", "base")
	ok(t, []string{`+ /db: {"host":"a"}`}, "rollback", "base", "-to", "1", "-n")
	ok(t, []string{"changed base"}, "rollback", "-to", "1", "base")
	ok(t, []string{`"host": "a"`}, "get", "base")
	ok(t, []string{"nothing to do"}, "rollback", "base", "-to", "1")
	ok(t, []string{"deleted base/orders"}, "delete", "base/orders", "-m", "no longer")
	ok(t, nil, "instances")
	ok(t, nil, "help")
	ok(t, nil, "get", "-h")
}

func TestWhatGoesWrongIsSaid(t *testing.T) {
	serve(t)
	ok(t, nil, "set", "base", `{}`)
	ok(t, nil, "set", "_schemas/base", `{"properties":{"pool":{"minimum":1}}}`)
	fails(t, 1, "base /pool: minimum: got 0, want 1", "set", "base", `{"pool":0}`)
	fails(t, 1, "412", "set", "base", `{}`, "-version", "7")
	fails(t, 1, "not JSON", "set", "base", `{pool:1}`)
	fails(t, 1, "404", "get", "nothing")
	fails(t, 1, "there is no nothing", "delete", "nothing")
	fails(t, 2, "usage: get KEY", "get")
	fails(t, 2, "usage: set KEY", "set", "base")
	fails(t, 2, `there is no "fetch"`, "fetch", "base")
	fails(t, 2, "-to", "rollback", "base")
	fails(t, 2, "usage", "get", "-wrong", "base")
	fails(t, 2, "a verb is missing")
	t.Setenv("SWALE_CONFIG_URL", "")
	fails(t, 2, "SWALE_CONFIG_URL", "get", "base")
}

func TestEdit(t *testing.T) {
	serve(t)
	editor := func(script string) {
		t.Helper()
		name := filepath.Join(t.TempDir(), "editor")
		if err := os.WriteFile(name, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("VISUAL", name)
	}
	t.Setenv("TMPDIR", t.TempDir())
	editor(`echo '{"pool":5}' > "$1"`)
	ok(t, []string{"base is v1"}, "edit", "base", "-m", "by hand")
	editor(`sed -i s/5/6/ "$1"`)
	ok(t, []string{"base is v2"}, "edit", "base")
	ok(t, []string{`"pool": 6`}, "get", "base")
	editor(`true`)
	ok(t, []string{"nothing changed"}, "edit", "base")
	if left, _ := filepath.Glob(os.Getenv("TMPDIR") + "/config-*"); len(left) != 0 {
		t.Errorf("what was written isn't kept: %v", left)
	}
	editor(`echo 'no json, but an hour of work' > "$1"`)
	fails(t, 1, "the text is kept in", "edit", "base")
	left, _ := filepath.Glob(os.Getenv("TMPDIR") + "/config-*")
	if len(left) != 1 {
		t.Fatalf("what can't be written is kept: %v", left)
	}
	if text, err := os.ReadFile(left[0]); err != nil || !strings.Contains(string(text), "an hour of work") {
		t.Errorf("what can't be written is kept: %s, %v", text, err)
	}
	editor(`exit 3`)
	fails(t, 1, "exit status 3", "edit", "base")
}

func ExampleMain() {
	h := server.New(store.New(memconfig.New(), nil), &server.Options{
		Allow: server.Grants{{Who: "*", Action: server.Read}, {Who: "*", Action: server.Write}}.Allow,
	})
	s := httptest.NewServer(h)
	defer s.Close()
	var out bytes.Buffer
	for _, args := range [][]string{
		{"set", "base", `{"pool":5}`, "-url", s.URL},
		{"set", "base/orders", `{"pool":7}`, "-url", s.URL},
		{"explain", "-service", "orders", "-url", s.URL},
	} {
		configcmd.Main(context.Background(), args, strings.NewReader(""), &out, &out)
	}
	fmt.Print(out.String())
	// Output:
	// base is v1
	// base/orders is v2
	// /pool  7         base/orders (version 2)
	//          over 5    base (version 1)
}
