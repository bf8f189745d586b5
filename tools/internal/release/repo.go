package release

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/goswale/swale/tools/workspace"
)

// FirstVersion is the version of a module that was never released.
const FirstVersion = "v0.1.0"

// A Repo is a workspace in a git repository.
type Repo struct {
	// Root is the folder of go.work.
	Root string
	// Work is what go.work and the modules say.
	Work *workspace.Workspace

	git git
}

// Open reads the workspace in the folder root or in one above it.
func Open(ctx context.Context, root string) (*Repo, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	for dir := root; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			root = dir
			break
		}
		if dir == filepath.Dir(dir) {
			return nil, fmt.Errorf("no go.work in %s or above it: run the tool inside the workspace", root)
		}
	}
	work, err := workspace.Load(os.DirFS(root))
	if err != nil {
		return nil, err
	}
	r := &Repo{Root: root, Work: work, git: git{root: root}}
	if _, err := r.git.run(ctx, "rev-parse", "--git-dir"); err != nil {
		return nil, fmt.Errorf("the workspace must be a git repository: %w", err)
	}
	return r, nil
}

// Released reports whether the module is published: all are but the benchmarks,
// the tools and what is internal.
func Released(m *workspace.Module) bool {
	top, _, _ := strings.Cut(m.Dir, "/")
	return top != "benchmarks" && top != "tools" && top != "internal"
}

// Select returns the modules whose folders are named, or all without names.
func (r *Repo) Select(names []string) ([]*workspace.Module, error) {
	if len(names) == 0 {
		return r.Work.Modules, nil
	}
	var modules []*workspace.Module
	for _, name := range names {
		m := r.Work.ByDir(filepath.ToSlash(name))
		if m == nil {
			return nil, fmt.Errorf("%s is no module of the workspace; modules are named by folder: bus/natsbus", name)
		}
		modules = append(modules, m)
	}
	return modules, nil
}

// file returns the path on disk of a file of the module.
func (r *Repo) file(m *workspace.Module, name string) string {
	return filepath.Join(r.Root, filepath.FromSlash(path.Join(m.Dir, name)))
}

// nested returns the folders of the modules inside m, which belong to
// themselves.
func (r *Repo) nested(m *workspace.Module) []string {
	var dirs []string
	for _, o := range r.Work.Modules {
		if strings.HasPrefix(o.Dir, m.Dir+"/") {
			dirs = append(dirs, o.Dir)
		}
	}
	return dirs
}
