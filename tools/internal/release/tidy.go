package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/modfile"

	"github.com/goswale/swale/tools/workspace"
)

// Tidy does for one module what go mod tidy would do if its siblings were
// published: it resolves them from the tree, through a copy of go.mod that
// replaces them, and writes go.mod and go.sum back without a replace. get are
// module queries to add first, like "github.com/google/go-cmp@v0.7.0". It
// reports whether a file changed.
func (r *Repo) Tidy(ctx context.Context, m *workspace.Module, get []string) (changed bool, err error) {
	tmp, err := os.MkdirTemp("", "release-tidy-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	modFile, sumFile := filepath.Join(tmp, "go.mod"), filepath.Join(tmp, "go.sum")

	before, err := r.withSiblings(m)
	if err != nil {
		return false, err
	}
	if err := os.WriteFile(modFile, before, 0o600); err != nil {
		return false, err
	}
	sum, err := os.ReadFile(r.file(m, "go.sum"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := os.WriteFile(sumFile, sum, 0o600); err != nil {
		return false, err
	}

	golang := goCommand{dir: r.file(m, "."), env: []string{"GOWORK=off"}}
	if len(get) > 0 {
		if _, err := golang.run(ctx, append([]string{"get", "-modfile=" + modFile}, get...)...); err != nil {
			return false, err
		}
	}
	if _, err := golang.run(ctx, "mod", "tidy", "-modfile="+modFile); err != nil {
		return false, err
	}
	return r.takeBack(m, modFile, sumFile)
}

// withSiblings returns the module's go.mod with every sibling replaced by its
// folder.
func (r *Repo) withSiblings(m *workspace.Module) ([]byte, error) {
	name := r.file(m, "go.mod")
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f, err := modfile.Parse(name, data, nil)
	if err != nil {
		return nil, err
	}
	for _, s := range r.Work.Modules {
		if s == m {
			continue
		}
		if err := f.AddReplace(s.Path, "", r.file(s, "."), ""); err != nil {
			return nil, err
		}
	}
	f.Cleanup()
	return f.Format()
}

// takeBack writes the tidied copy over go.mod and go.sum, without replaces and
// with siblings at the version that the tree stands for.
func (r *Repo) takeBack(m *workspace.Module, modFile, sumFile string) (changed bool, err error) {
	data, err := os.ReadFile(modFile)
	if err != nil {
		return false, err
	}
	f, err := modfile.Parse(modFile, data, nil)
	if err != nil {
		return false, err
	}
	for _, replace := range f.Replace {
		if err := f.DropReplace(replace.Old.Path, replace.Old.Version); err != nil {
			return false, err
		}
	}
	for _, require := range f.Require {
		s := r.Work.ByPath(require.Mod.Path)
		if s == nil {
			continue
		}
		version := s.Version
		if version == "" {
			version = FirstVersion
		}
		if err := f.AddRequire(s.Path, version); err != nil {
			return false, err
		}
	}
	f.Cleanup()
	tidied, err := f.Format()
	if err != nil {
		return false, err
	}
	sum, err := os.ReadFile(sumFile)
	if err != nil {
		return false, err
	}
	modChanged, err := overwrite(r.file(m, "go.mod"), tidied)
	if err != nil {
		return false, err
	}
	sumChanged, err := overwrite(r.file(m, "go.sum"), sum)
	return modChanged || sumChanged, err
}

// overwrite writes the file when its content differs. Empty content stands for
// no file.
func overwrite(name string, data []byte) (changed bool, err error) {
	old, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if len(data) == 0 {
			return false, nil
		}
	case err != nil:
		return false, err
	case bytes.Equal(old, data):
		return false, nil
	case len(data) == 0:
		return true, os.Remove(name)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		return false, fmt.Errorf("write back the tidied %s: %w", filepath.Base(name), err)
	}
	return true, nil
}
