package workspace

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// A Workspace is the modules that one go.work lists.
type Workspace struct {
	// File is go.work as parsed.
	File *modfile.WorkFile
	// Modules are the modules that go.work uses, sorted by folder.
	Modules []*Module
	// Prefix is the path that all modules share, without a trailing slash.
	Prefix string
}

// A Module is one go.mod of the tree.
type Module struct {
	// Dir is the folder, slash-separated and relative to go.work: "bus/natsbus".
	Dir string
	// Path is the module path.
	Path string
	// Version is the version that go.work maps to Dir, or empty where it maps
	// none.
	Version string
	// File is go.mod as parsed.
	File *modfile.File
}

// Load reads go.work at the root of fsys and every go.mod that it uses.
func Load(fsys fs.FS) (*Workspace, error) {
	data, err := fs.ReadFile(fsys, "go.work")
	if err != nil {
		return nil, fmt.Errorf("read the workspace: %w", err)
	}
	file, err := modfile.ParseWork("go.work", data, nil)
	if err != nil {
		return nil, fmt.Errorf("parse the workspace: %w", err)
	}
	w := &Workspace{File: file}
	for _, use := range file.Use {
		m, err := LoadModule(fsys, path.Clean(use.Path))
		if err != nil {
			return nil, err
		}
		w.Modules = append(w.Modules, m)
	}
	slices.SortFunc(w.Modules, func(a, b *Module) int { return strings.Compare(a.Dir, b.Dir) })
	for _, r := range file.Replace {
		if m := w.ByPath(r.Old.Path); m != nil && r.Old.Version != "" && path.Clean(r.New.Path) == m.Dir {
			m.Version = r.Old.Version
		}
	}
	w.Prefix = commonPrefix(w.Modules)
	return w, nil
}

// LoadModule reads the go.mod in the folder dir of fsys.
func LoadModule(fsys fs.FS, dir string) (*Module, error) {
	name := path.Join(dir, "go.mod")
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("read a module of the workspace: %w", err)
	}
	file, err := modfile.Parse(name, data, nil)
	if err != nil {
		return nil, fmt.Errorf("parse a module of the workspace: %w", err)
	}
	if file.Module == nil {
		return nil, fmt.Errorf("parse a module of the workspace: %s names no module", name)
	}
	return &Module{Dir: dir, Path: file.Module.Mod.Path, File: file}, nil
}

// ByPath returns the module whose path is modPath, or nil.
func (w *Workspace) ByPath(modPath string) *Module {
	for _, m := range w.Modules {
		if m.Path == modPath {
			return m
		}
	}
	return nil
}

// ByDir returns the module in the folder dir, or nil.
func (w *Workspace) ByDir(dir string) *Module {
	dir = path.Clean(dir)
	for _, m := range w.Modules {
		if m.Dir == dir {
			return m
		}
	}
	return nil
}

// Owner returns the module that the import path belongs to, which is the one
// with the longest matching module path, or nil when none of the workspace's
// modules holds it.
func (w *Workspace) Owner(importPath string) *Module {
	var owner *Module
	for _, m := range w.Modules {
		if within(importPath, m.Path) && (owner == nil || len(m.Path) > len(owner.Path)) {
			owner = m
		}
	}
	return owner
}

// Siblings returns the modules of the workspace that m requires, sorted by
// folder.
func (w *Workspace) Siblings(m *Module) []*Module {
	var siblings []*Module
	for _, r := range m.File.Require {
		if s := w.ByPath(r.Mod.Path); s != nil && s != m {
			siblings = append(siblings, s)
		}
	}
	slices.SortFunc(siblings, func(a, b *Module) int { return strings.Compare(a.Dir, b.Dir) })
	return siblings
}

// commonPrefix is the longest path that is a parent of every module path.
func commonPrefix(modules []*Module) string {
	if len(modules) == 0 {
		return ""
	}
	prefix := path.Dir(modules[0].Path)
	for _, m := range modules {
		for prefix != "." && !within(m.Path, prefix) {
			prefix = path.Dir(prefix)
		}
	}
	return prefix
}

// within reports whether the import path is parent or lies below it.
func within(importPath, parent string) bool {
	return importPath == parent || strings.HasPrefix(importPath, parent+"/")
}
