package repotest

import (
	"go/ast"
	"go/doc"
	"slices"
	"strings"
)

// PackageDoc checks that exactly one file of each package opens it, in the form
// that go doc expects.
func PackageDoc(t *Tree) []Finding {
	var findings []Finding
	for p := range packages(t) {
		var opened []string
		for _, s := range p.Sources {
			if s.Test || s.File.Doc.Text() == "" {
				continue
			}
			opened = append(opened, s.Name)
			if start := "Package " + s.File.Name.Name + " "; p.Name() != "main" && !strings.HasPrefix(s.File.Doc.Text(), start) {
				findings = append(findings, found(s.Name, "the package doc does not begin with %q", start))
			}
		}
		switch {
		case len(opened) == 0 && !onlyTests(p):
			findings = append(findings, found(p.Dir, "no file of package %s says what it is: write doc.go", p.Name()))
		case len(opened) > 1:
			findings = append(findings, found(p.Dir, "package %s is described in %s: keep one", p.Name(), strings.Join(opened, " and ")))
		}
	}
	return findings
}

// PackageName checks that no package is a drawer for leftovers.
func PackageName(t *Tree) []Finding {
	drawers := []string{"util", "utils", "common", "helper", "helpers", "model", "models", "types", "misc", "shared", "base"}
	var findings []Finding
	for p := range packages(t) {
		if slices.Contains(drawers, p.Name()) {
			findings = append(findings, found(p.Dir, "package %s says nothing about what is in it", p.Name()))
		}
	}
	return findings
}

// Examples checks that every module that others import has an example with
// checked output. Programs show themselves by running.
func Examples(t *Tree) []Finding {
	var findings []Finding
	for _, m := range t.Modules {
		if m.Pin || programs(m.Dir) {
			continue
		}
		if !slices.ContainsFunc(m.Packages, hasExample) {
			findings = append(findings, found(m.Dir, "no Example function with an `// Output:` comment"))
		}
	}
	return findings
}

// programs reports whether the module holds programs or is never released.
func programs(dir string) bool {
	return slices.ContainsFunc([]string{"reference-services", "benchmarks", "tools", "internal"}, func(top string) bool {
		return dir == top || strings.HasPrefix(dir, top+"/")
	})
}

func hasExample(p *Package) bool {
	for _, s := range p.Sources {
		if !s.Test {
			continue
		}
		for _, e := range doc.Examples(s.File) {
			if e.Output != "" || e.EmptyOutput {
				return true
			}
		}
	}
	return false
}

// NoTesting checks that only tests and the packages made for tests import
// testing and its subpackages.
func NoTesting(t *Tree) []Finding {
	var findings []Finding
	for p := range packages(t) {
		if strings.HasSuffix(p.Name(), "test") {
			continue
		}
		for _, s := range p.Sources {
			for _, importPath := range s.Imports {
				if !s.Test && (importPath == "testing" || strings.HasPrefix(importPath, "testing/")) {
					findings = append(findings, found(s.Name, "imports %s outside a test and a *test package", importPath))
				}
			}
		}
	}
	return findings
}

// Conformance checks that the conformance packages of the cores, bustest and
// its like, need nothing but the standard library and what the core itself
// imports.
func Conformance(t *Tree) []Finding {
	var findings []Finding
	for p := range packages(t) {
		if !strings.HasSuffix(p.Name(), "test") || p.Name() == "test" || programs(p.Module.Dir) || strings.Contains(p.Dir, "internal/") {
			continue
		}
		for _, s := range p.Sources {
			for _, importPath := range s.Imports {
				if !s.Test && foreign(t, importPath) && !importedByLibrary(p.Module, importPath) {
					findings = append(findings, found(s.Name, "the conformance package imports %s: the standard library and what the core imports have to do", importPath))
				}
			}
		}
	}
	return findings
}

// foreign reports whether the path is neither ours nor the standard library's.
func foreign(t *Tree, importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return strings.Contains(first, ".") && t.Work.Owner(importPath) == nil
}

// importedByLibrary reports whether a package of the module that is not for
// tests imports the path.
func importedByLibrary(m *Module, importPath string) bool {
	for _, p := range m.Packages {
		for _, s := range p.Sources {
			if !s.Test && !strings.HasSuffix(p.Name(), "test") && slices.Contains(s.Imports, importPath) {
				return true
			}
		}
	}
	return false
}

// packages yields every package of the tree.
func packages(t *Tree) func(yield func(*Package) bool) {
	return func(yield func(*Package) bool) {
		for _, m := range t.Modules {
			for _, p := range m.Packages {
				if !yield(p) {
					return
				}
			}
		}
	}
}

func onlyTests(p *Package) bool {
	return !slices.ContainsFunc(p.Sources, func(s *Source) bool { return !s.Test })
}

// imported returns the name under which the file knows the import path, or
// nothing.
func imported(file *ast.File, importPath, name string) string {
	for _, spec := range file.Imports {
		if spec.Path.Value != `"`+importPath+`"` {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return name
	}
	return ""
}
