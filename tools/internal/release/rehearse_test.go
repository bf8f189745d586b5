package release

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rehearseSandbox returns what the rehearsal says and how it ends.
func rehearseSandbox(t *testing.T, s *sandbox, opts *RehearseOptions) (string, error) {
	t.Helper()
	var said bytes.Buffer
	opts.Progress, opts.Cold = &said, true
	err := s.open().Rehearse(t.Context(), opts)
	return said.String(), err
}

func TestRehearse(t *testing.T) {
	s := newSandbox(t)
	modCache := filepath.Join(t.TempDir(), "mod")
	said, err := rehearseSandbox(t, s, &RehearseOptions{ModCache: modCache})
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for _, want := range []string{
		"core                     v0.1.0 tidies, vets, builds, packed",
		"go get example.org/s/core@v0.1.0 compiles 1 package, 1 module",
		"go get example.org/s/core/drv@v0.1.0 compiles 1 package, 2 modules",
		"go get example.org/s/app@v0.1.0 compiles 0 packages",
		"4 modules, 0 failures",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("progress lacks %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, "go get example.org/s/tools") {
		t.Errorf("tools is never released, so no stranger gets it:\n%s", said)
	}
	if status := s.git("status", "--porcelain"); status != "" {
		t.Errorf("the rehearsal changed the tree: %s", status)
	}

	// The same versions with other content: a module cache that is kept must not
	// answer from the last rehearsal.
	s.write("core/core.go", "// Package core is first.\npackage core\n\n// Uno is 1.\nconst Uno = 1\n")
	if said, err = rehearseSandbox(t, s, &RehearseOptions{ModCache: modCache}); err == nil || !strings.Contains(err.Error(), "core.One") {
		t.Errorf("error %v: the kept module cache answered with the core of the rehearsal before\n%s", err, said)
	}
}

func TestRehearseFindsWhatTheWorkspaceHides(t *testing.T) {
	for _, c := range []struct {
		what, want string
		do         func(s *sandbox)
	}{
		{"a sibling imported, not required", "core/drv: is not tidy", func(s *sandbox) {
			s.write("core/drv/go.mod", "module example.org/s/core/drv\n\ngo 1.25.0\n")
		}},
		{"a requirement without use", "- require example.org/s/core v0.1.0", func(s *sandbox) {
			s.write("core/drv/drv.go", "// Package drv stands alone.\npackage drv\n\n// Two is 2.\nconst Two = 2\n")
		}},
		{"a file that git ignores", "undefined: hidden", func(s *sandbox) {
			s.write(".gitignore", "hidden.go\n")
			s.write("core/hidden.go", "package core\n\nconst hidden = 1\n")
			s.write("core/core.go", "// Package core is first.\npackage core\n\n// One is 1.\nconst One = hidden\n")
		}},
		{"a program that cannot be installed", "go.mod file for the module providing named packages contains one or more replace directives", func(s *sandbox) {
			s.write("app/go.mod", s.read("app/go.mod")+"\nreplace example.com/unused => example.com/fork v1.0.0\n")
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := newSandbox(t)
			c.do(s)
			said, err := rehearseSandbox(t, s, &RehearseOptions{})
			if err == nil || !strings.Contains(squeeze(err.Error()), c.want) {
				t.Errorf("the rehearsal must fail with %q; it says %v\n%s", c.want, err, said)
			}
		})
	}
}

// squeeze joins lines and spaces, for messages that the go command wraps.
func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }

func TestRehearseSomeModules(t *testing.T) {
	said, err := rehearseSandbox(t, newSandbox(t), &RehearseOptions{Modules: []string{"core/drv"}})
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if !strings.Contains(said, "2 modules, 0 failures") || strings.Contains(said, "app") {
		t.Errorf("core/drv needs core and nothing else:\n%s", said)
	}
}

func TestRehearseLeavesNothingBehind(t *testing.T) {
	tmp := t.TempDir()
	s := newSandbox(t)
	t.Setenv("TMPDIR", tmp)
	if _, err := rehearseSandbox(t, s, &RehearseOptions{Modules: []string{"core"}}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(tmp)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range left {
		if strings.HasPrefix(entry.Name(), "release-") {
			t.Errorf("%s was left behind", entry.Name())
		}
	}
}

// copies is a program that makes a module as `swale new` does, which requires this.
const copies = `// Command swale makes a copy.
package main

import (
	"os"
	"path/filepath"
)

func main() {
	dir := os.Args[5]
	_ = os.MkdirAll(dir, 0o755)
	for name, text := range map[string]string{
		"go.mod":  "module example.com/x\n\ngo 1.25.0\n\nREQUIRES\n",
		"x_test.go": "package x\n\nimport (\n\t\"testing\"\n\n\t\"example.org/s/core\"\n)\n\nfunc TestX(t *testing.T) {\n\tif core.One != 1 {\n\t\tt.Fail()\n\t}\n}\n",
	} {
		_ = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
	}
}
`

func TestRehearseCopies(t *testing.T) {
	s := newSandbox(t)
	s.write("app/cmd/swale/main.go", strings.Replace(copies, "REQUIRES", "require example.org/s/core v0.1.0", 1))
	said, err := rehearseSandbox(t, s, &RehearseOptions{})
	if err != nil || !strings.Contains(said, "swale new domain menus tidies, vets, passes its tests") || !strings.Contains(said, "swale new edge near-menus tidies") {
		t.Errorf("%v\n%s", err, said)
	}
	s.write("app/cmd/swale/main.go", strings.Replace(copies, "REQUIRES", "", 1))
	if said, err = rehearseSandbox(t, s, &RehearseOptions{}); err == nil || !strings.Contains(err.Error(), "go mod tidy says\nexample.org/s/core@v0.1.0") {
		t.Errorf("a copy that doesn't require what it imports must fail; it says %v\n%s", err, said)
	}
}
