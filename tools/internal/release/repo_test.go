package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sandbox is a workspace in a git repository of its own.
type sandbox struct {
	t    *testing.T
	root string
}

// newSandbox makes and commits a workspace of four modules: core, its nested
// driver core/drv, app, which has a program, and tools, which is never released.
func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	s := &sandbox{t: t, root: t.TempDir()}
	for name, value := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_SYSTEM": os.DevNull,
		"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org",
		"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org",
		"GOPROXY": "off", "GOWORK": "", "GOFLAGS": "",
	} {
		t.Setenv(name, value)
	}
	s.write("go.work", `go 1.26.0

use (
	./app
	./core
	./core/drv
	./tools
)

replace (
	example.org/s/core v0.1.0 => ./core
	example.org/s/core/drv v0.1.0 => ./core/drv
)
`)
	s.write("core/go.mod", "module example.org/s/core\n\ngo 1.25.0\n")
	s.write("core/core.go", "// Package core is first.\npackage core\n\n// One is 1.\nconst One = 1\n")
	s.write("core/drv/go.mod", "module example.org/s/core/drv\n\ngo 1.25.0\n\nrequire example.org/s/core v0.1.0\n")
	s.write("core/drv/drv.go", "// Package drv builds on core.\npackage drv\n\nimport \"example.org/s/core\"\n\n// Two is 2.\nconst Two = 2 * core.One\n")
	s.write("app/go.mod", "module example.org/s/app\n\ngo 1.25.0\n\nrequire (\n\texample.org/s/core v0.1.0\n\texample.org/s/core/drv v0.1.0\n)\n")
	s.write("app/cmd/app/main.go", "// App is a program.\npackage main\n\nimport (\n\t\"example.org/s/core\"\n\t\"example.org/s/core/drv\"\n)\n\nfunc main() { println(core.One + drv.Two) }\n")
	s.write("tools/go.mod", "module example.org/s/tools\n\ngo 1.25.0\n")
	for _, dir := range []string{"core", "core/drv", "app"} {
		s.write(dir+"/CHANGELOG.md", "# Changes\n\n## [Unreleased]\n\n### Added\n\n- All of it.\n")
	}
	s.git("init", "--quiet")
	s.commit("begin")
	return s
}

func (s *sandbox) write(name, text string) {
	s.t.Helper()
	name = filepath.Join(s.root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *sandbox) read(name string) string {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.root, filepath.FromSlash(name)))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

func (s *sandbox) git(args ...string) string {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), "git", append([]string{"-C", s.root}, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (s *sandbox) commit(subject string) {
	s.t.Helper()
	s.git("add", "--all")
	s.git("commit", "--quiet", "--message", subject)
}

// open reads the sandbox as it is now.
func (s *sandbox) open() *Repo {
	s.t.Helper()
	repo, err := Open(s.t.Context(), s.root)
	if err != nil {
		s.t.Fatal(err)
	}
	return repo
}

func TestOpenFromBelow(t *testing.T) {
	s := newSandbox(t)
	repo, err := Open(t.Context(), filepath.Join(s.root, "core", "drv"))
	if err != nil {
		t.Fatal(err)
	}
	if repo.Root != s.root {
		t.Errorf("root is %s, not %s: the tool runs in any folder of the workspace", repo.Root, s.root)
	}
	if _, err := Open(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "no go.work") {
		t.Errorf("error %v must say that there is no workspace", err)
	}
}

func TestSelectNamesUnknownModule(t *testing.T) {
	if _, err := newSandbox(t).open().Select([]string{"core", "cor"}); err == nil || !strings.Contains(err.Error(), "cor is no module") {
		t.Errorf("error %v must name the folder that is no module", err)
	}
}
