package repotest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/goswale/swale/tools/workspace"
)

// A Tree is everything that a rule may look at.
type Tree struct {
	// FS is the root of the repository.
	FS fs.FS
	// Work is go.work and the modules that it uses.
	Work *workspace.Workspace
	// Modules are all modules found in the tree, also those that go.work
	// forgets.
	Modules []*Module
	// Files are the names of all files that belong to the repository.
	Files []string
}

// A Module is one folder with a go.mod, and the packages in it.
type Module struct {
	*workspace.Module
	// Listed says that go.work uses the module.
	Listed bool
	// Pin says that the module only pins tools: it has tool lines and no Go
	// files. Such a module stands outside go.work.
	Pin bool
	// Packages are the module's packages, sorted by folder.
	Packages []*Package
}

// A Package is the Go files of one folder.
type Package struct {
	// Dir is the folder, relative to the root.
	Dir string
	// Path is the import path.
	Path string
	// Module is the module that the package belongs to.
	Module *Module
	// Sources are the Go files, tests too, sorted by name.
	Sources []*Source
}

// A Source is one parsed Go file.
type Source struct {
	// Name is the file's name, relative to the root.
	Name string
	// Test says that the name ends in _test.go.
	Test bool
	// File is the file as parsed, with comments.
	File *ast.File
	// Imports are the import paths, in the order of the file.
	Imports []string
	// Lines is how many lines the file has.
	Lines int

	fset *token.FileSet
}

// Line returns the line of a position in the file.
func (s *Source) Line(pos token.Pos) int { return s.fset.Position(pos).Line }

// Name returns the package's name: that of its first file that is no test, and
// that of its tests where there is nothing else.
func (p *Package) Name() string {
	name := ""
	for _, s := range p.Sources {
		if !s.Test {
			return s.File.Name.Name
		}
		name = strings.TrimSuffix(s.File.Name.Name, "_test")
	}
	return name
}

// Load reads the repository whose root is fsys. Where ours is not nil it tells
// which files belong to the repository, and others are ignored: build output, a
// colleague's notes. Hidden folders, testdata and node_modules hold no packages.
func Load(fsys fs.FS, ours func(name string) bool) (*Tree, error) {
	work, err := workspace.Load(fsys)
	if err != nil {
		return nil, err
	}
	t := &Tree{FS: fsys, Work: work}
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules"):
			return fs.SkipDir
		case d.Type().IsRegular() && (ours == nil || ours(name)):
			t.Files = append(t.Files, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("walk the repository: %w", err)
	}
	if err := t.findModules(); err != nil {
		return nil, err
	}
	if err := t.findPackages(); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Tree) findModules() error {
	for _, name := range t.Files {
		if path.Base(name) != "go.mod" || !holdsPackages(name) {
			continue
		}
		m, err := workspace.LoadModule(t.FS, path.Dir(name))
		if err != nil {
			return err
		}
		listed := t.Work.ByDir(m.Dir)
		if listed != nil {
			m = listed
		}
		t.Modules = append(t.Modules, &Module{Module: m, Listed: listed != nil, Pin: len(m.File.Tool) > 0})
	}
	slices.SortFunc(t.Modules, func(a, b *Module) int { return strings.Compare(a.Dir, b.Dir) })
	return nil
}

func (t *Tree) findPackages() error {
	packages := make(map[string]*Package)
	fset := token.NewFileSet()
	for _, name := range t.Files {
		if path.Ext(name) != ".go" || !holdsPackages(name) {
			continue
		}
		dir := path.Dir(name)
		p := packages[dir]
		if p == nil {
			m := t.moduleOf(dir)
			if m == nil {
				return fmt.Errorf("%s belongs to no module: the workspace has no root module, so every Go file lives below a go.mod", name)
			}
			p = &Package{Dir: dir, Path: path.Join(m.Path, strings.TrimPrefix(dir, m.Dir)), Module: m}
			packages[dir] = p
			m.Packages = append(m.Packages, p)
			m.Pin = false
		}
		s, err := t.parse(fset, name)
		if err != nil {
			return err
		}
		p.Sources = append(p.Sources, s)
	}
	return nil
}

func (t *Tree) parse(fset *token.FileSet, name string) (*Source, error) {
	data, err := fs.ReadFile(t.FS, name)
	if err != nil {
		return nil, fmt.Errorf("read a source file: %w", err)
	}
	file, err := parser.ParseFile(fset, name, data, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse a source file: %w", err)
	}
	s := &Source{
		Name:  name,
		Test:  strings.HasSuffix(name, "_test.go"),
		File:  file,
		Lines: bytes.Count(data, []byte("\n")),
		fset:  fset,
	}
	for _, spec := range file.Imports {
		importPath, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("parse an import of %s: %w", name, err)
		}
		s.Imports = append(s.Imports, importPath)
	}
	return s, nil
}

// moduleOf returns the innermost module that holds the folder.
func (t *Tree) moduleOf(dir string) *Module {
	var inner *Module
	for _, m := range t.Modules {
		if (dir == m.Dir || strings.HasPrefix(dir, m.Dir+"/")) && (inner == nil || len(m.Dir) > len(inner.Dir)) {
			inner = m
		}
	}
	return inner
}

// holdsPackages reports whether the go command looks into the file's folder.
func holdsPackages(name string) bool {
	for elem := range strings.SplitSeq(path.Dir(name), "/") {
		if elem == "testdata" || elem != "." && (strings.HasPrefix(elem, ".") || strings.HasPrefix(elem, "_")) {
			return false
		}
	}
	return true
}
