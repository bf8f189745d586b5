package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/mod/modfile"
)

// TestNewServicesStandAlone makes both kinds, has them vetted, built and tested
// outside of the tree, with its modules, and runs one in front of the other.
func TestNewServicesStandAlone(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"new", "domain", "menus", "--dir", filepath.Join(dir, "menus")},
		{"new", "edge", "near-menus", "--dir", filepath.Join(dir, "near-menus"), "--module", "example.org/near/menus"},
	} {
		stdout, stderr, code := called(t, nil, args...)
		if code != 0 || !strings.Contains(stdout, "go test ./...") {
			t.Fatalf("swale %v: exit code %d, %s%s", args, code, stdout, stderr)
		}
	}
	workspace(t, dir, "menus", "near-menus")
	golang := func(args ...string) {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir, cmd.Env = dir, append(cleanEnv(), "GOWORK="+filepath.Join(dir, "go.work"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	golang("vet", "./menus/...", "./near-menus/...")
	golang("test", "./menus/...", "./near-menus/...")
	bin := filepath.Join(dir, "bin") + string(filepath.Separator)
	golang("build", "-o", bin, "./menus/cmd/menus", "./near-menus/cmd/near-menus")

	bus := address(t)
	domain := "http://" + address(t) + "/"
	owner := running(t, bin+"menus", "LISTEN="+host(domain), "ADMIN_LISTEN=off", "NATS_LISTEN="+bus, "DATA="+filepath.Join(dir, "data"))
	eventually(t, "the domain service answers", func() bool { return status(t, domain) == http.StatusOK })
	var root struct {
		Links map[string]struct{ Href string } `json:"_links"`
	}
	if h := fetch(t, domain, &root); h.Get("Content-Type") != "application/hal+json" {
		t.Errorf("the root is %s", h.Get("Content-Type"))
	}
	collection, _, _ := strings.Cut(root.Links["menus"].Href, "{")
	made, tag := create(t, collection, `{"name":"Alder","status":"open","kind":"Plain","location":{"lat":40.71,"lon":-74}}`)

	front, admin := "http://"+address(t)+"/", "http://"+address(t)+"/"
	edge := running(t, bin+"near-menus", "LISTEN="+host(front), "ADMIN_LISTEN="+host(admin), "NATS_URL=nats://"+bus, "MENUS_URL="+domain)
	eventually(t, "the edge service answers", func() bool { return status(t, front) == http.StatusOK })
	eventually(t, "notices reach its page", func() bool {
		p := nearby(t, front)
		return len(p.Topics) == 1 && p.Topics[0].Live && len(p.Embedded.Items) == 1 && p.Embedded.Items[0].Source == "cache"
	})
	if _, err := rename(t.Context(), made, tag, "Beech"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the change is announced", func() bool {
		var topics []struct{ Sequence int } // 1 is that it was made
		fetch(t, admin+"state/topics", &topics)
		return len(topics) == 1 && topics[0].Sequence == 2
	})
	if p := nearby(t, front); p.Embedded.Items[0].Name != "Beech" {
		t.Errorf("after its notice the page shows %q", p.Embedded.Items[0].Name)
	}
	for what, cmd := range map[string]*exec.Cmd{"edge": edge, "domain": owner} {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("asked to stop, the %s service ended with %v\n%s", what, err, cmd.Stderr)
		}
	}
}

// workspace makes one of the tree's modules and those in the directory.
func workspace(t *testing.T, dir string, modules ...string) {
	t.Helper()
	name, text := goWork(environment{lookup: os.LookupEnv}, ".")
	if name == "" {
		t.Skip("this module isn't in its workspace: a copy would have none to take Swale's modules from")
	}
	work, err := modfile.ParseWork(name, []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	tree := filepath.Dir(name)
	made := "go " + work.Go.Version + "\n"
	for _, m := range modules {
		made += "use ./" + m + "\n"
	}
	for _, u := range work.Use {
		made += "use " + modfile.AutoQuote(filepath.Join(tree, u.Path)) + "\n"
	}
	for _, r := range work.Replace {
		made += "replace " + r.Old.Path + " " + r.Old.Version + " => " + modfile.AutoQuote(filepath.Join(tree, r.New.Path)) + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "go.work"), []byte(made), 0o600); err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(tree, "go.work.sum"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.work.sum"), sums, 0o600); err != nil {
		t.Fatal(err)
	}
}

// running starts a program with nothing in its environment but the variables.
func running(t *testing.T, program string, variables ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), program)
	cmd.Env, cmd.Stderr = variables, new(bytes.Buffer)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if t.Failed() {
			t.Logf("%s said\n%s", program, cmd.Stderr)
		}
	})
	return cmd
}

// host is that of the URL of a root.
func host(url string) string { return strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/") }

// create makes a member of a collection and returns where it is, and its version.
func create(t *testing.T, collection, body string) (href, tag string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, collection, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var doc map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("POST %s: %s %v %v", collection, resp.Status, doc, err)
	}
	return resp.Header.Get("Location"), resp.Header.Get("Etag")
}

// called calls swale in this process.
func called(t *testing.T, variables map[string]string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), environment{stdout: &out, stderr: &errs, lookup: func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}}, args)
	return out.String(), errs.String(), code
}

func TestNewSaysWhatToDo(t *testing.T) {
	t.Chdir(t.TempDir())
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		say  string
	}{
		{[]string{"new"}, 2, "swale new domain menus"},
		{[]string{"new", "domain"}, 2, "swale new domain menus"},
		{[]string{"new", "domain", "--dir", "x"}, 2, "swale new domain menus"},
		{[]string{"new", "service", "menus"}, 2, "domain"},
		{[]string{"new", "domain", "../menus"}, 2, "one word"},
		{[]string{"new", "domain", "menus", "stray"}, 2, "not a flag"},
		{[]string{"new", "domain", "menus", "--dir", full}, 1, "notes.txt"},
		{[]string{"new", "domain", "menus", "--dir", filepath.Join(full, "notes.txt")}, 1, "notes.txt"},
	} {
		if stdout, stderr, code := called(t, nil, c.args...); code != c.code || stdout != "" || !strings.Contains(stderr, c.say) {
			t.Errorf("swale %v: exit code %d, %s%s; want %d and a word about %q", c.args, code, stdout, stderr, c.code, c.say)
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("refused, it wrote %v, %v", left, err)
	}

	for _, c := range []struct {
		workspace, next string
	}{
		{"", "  cd menus && go mod tidy\n  go test ./...\n  go run ./cmd/menus\n"},
		{"go 1.26.0\n", "  cd menus && go work use . && go mod tidy\n"},
		{"go 1.26.0\nreplace github.com/goswale/swale/bus v0.1.0 => ./bus\n", "  cd menus && go work use .\n"},
	} {
		t.Chdir(t.TempDir())
		if c.workspace != "" {
			if err := os.WriteFile("go.work", []byte(c.workspace), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		stdout, stderr, code := called(t, nil, "new", "domain", "menus")
		if code != 0 || !strings.Contains(stdout, c.next) {
			t.Errorf("in the workspace %q: exit code %d, %s%s; want %q", c.workspace, code, stdout, stderr, c.next)
		}
	}
}
