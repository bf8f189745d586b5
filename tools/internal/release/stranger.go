package release

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goswale/swale/tools/workspace"
)

// stranger does what somebody does who has only the module's name: an empty
// folder, go get, a file that imports the packages, go build; and go install for
// the programs.
func (h *rehearsal) stranger(ctx context.Context, m *workspace.Module) error {
	version, started := treeVersion(m, h.steps), time.Now()
	libraries, programs, err := h.packages(ctx, m)
	if err != nil {
		return err
	}
	brought, err := h.get(ctx, m, version, libraries)
	if err == nil {
		err = h.install(ctx, version, programs)
	}
	if err != nil {
		h.say("go get %s@%s FAILED (%s)", m.Path, version, round(time.Since(started)))
		return fmt.Errorf("a stranger's go get %s@%s: %w", m.Path, version, err)
	}
	h.say("go get %s@%s compiles %s, %s (%s)", m.Path, version,
		count(len(libraries), "package"), count(brought, "module"), round(time.Since(started)))
	if slices.ContainsFunc(programs, func(p string) bool { return path.Base(p) == copier }) {
		return h.copies(ctx)
	}
	return nil
}

// packages returns the import paths of the module's packages that others can
// import, and those of its programs.
func (h *rehearsal) packages(ctx context.Context, m *workspace.Module) (libraries, programs []string, err error) {
	golang := h.golang.in(filepath.Join(h.dir, "stage", filepath.FromSlash(m.Dir)))
	out, err := golang.run(ctx, "list", "-f", "{{.Name}} {{.ImportPath}} {{len .GoFiles}}", "./...")
	if err != nil {
		return nil, nil, err
	}
	for _, line := range lines(out) {
		var name, importPath string
		var files int
		if _, err := fmt.Sscanf(line, "%s %s %d", &name, &importPath, &files); err != nil {
			return nil, nil, fmt.Errorf("read the package list: %q: %w", line, err)
		}
		switch {
		case files == 0 || strings.Contains(importPath+"/", "/internal/"):
		case name == "main":
			programs = append(programs, importPath)
		default:
			libraries = append(libraries, importPath)
		}
	}
	return libraries, programs, nil
}

// get fetches the module into a new one and compiles a file that imports the
// packages. It returns how many modules the build then takes code from.
func (h *rehearsal) get(ctx context.Context, m *workspace.Module, version string, libraries []string) (int, error) {
	dir := filepath.Join(h.dir, "stranger", filepath.FromSlash(m.Dir))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	golang := h.golang.in(dir)
	if _, err := golang.run(ctx, "mod", "init", "stranger.example/x"); err != nil {
		return 0, err
	}
	if _, err := golang.run(ctx, "get", m.Path+"@"+version); err != nil {
		return 0, err
	}
	if len(libraries) == 0 {
		return 0, nil
	}
	var use strings.Builder
	use.WriteString("package main\n\nimport (\n")
	for _, importPath := range libraries {
		fmt.Fprintf(&use, "\t_ %q\n", importPath)
	}
	use.WriteString(")\n\nfunc main() {}\n")
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(use.String()), 0o644); err != nil {
		return 0, err
	}
	// The sums of what the packages import are not known before the import
	// stands there: -mod=mod adds them, as go mod tidy would.
	if _, err := golang.run(ctx, "build", "-mod=mod", "-o", os.DevNull, "."); err != nil {
		return 0, err
	}
	out, err := golang.run(ctx, "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")
	if err != nil {
		return 0, err
	}
	taken := lines(out)
	slices.Sort(taken)
	return len(slices.Compact(taken)) - 1, nil // without the stranger's own
}

// install puts the programs into a folder of the rehearsal.
func (h *rehearsal) install(ctx context.Context, version string, programs []string) error {
	golang := h.golang.in(h.dir).with("GOBIN=" + filepath.Join(h.dir, "bin"))
	for _, program := range programs {
		if _, err := golang.run(ctx, "install", program+"@"+version); err != nil {
			return err
		}
	}
	return nil
}

// count is n with its noun in the right number.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
