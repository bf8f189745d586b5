package repotest

import (
	"bytes"
	"go/ast"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// Length checks that no Go file has over 700 lines.
func Length(t *Tree) []Finding {
	const most = 700
	var findings []Finding
	for p := range packages(t) {
		for _, s := range p.Sources {
			if s.Lines > most {
				findings = append(findings, found(s.Name, "has %d lines, at most %d: split it where the second thing begins", s.Lines, most))
			}
		}
	}
	return findings
}

// NoSleep checks that no test calls time.Sleep outside a testing/synctest
// bubble, where sleeping takes no time and cannot be too short. A call counts as
// inside a bubble when it stands in the function passed to synctest.Test or to a
// function of the package that calls it, in a function that itself calls
// synctest.Wait, which panics outside, or in one whose comment says that it runs
// in a synctest bubble.
func NoSleep(t *Tree) []Finding {
	var findings []Finding
	for p := range packages(t) {
		blowers := blowers(p)
		for _, s := range p.Sources {
			if !s.Test {
				continue
			}
			for _, call := range sleeps(s.File, blowers) {
				findings = append(findings, found(s.Name, "line %d sleeps on the wall clock", s.Line(call.Pos())))
			}
		}
	}
	return findings
}

// blowers are the names of the package's functions that make a bubble: what is
// passed to them runs inside.
func blowers(p *Package) map[string]bool {
	names := make(map[string]bool)
	for _, s := range p.Sources {
		bubble := imported(s.File, "testing/synctest", "synctest")
		for _, d := range s.File.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.Test && calls(f, bubble, "Test") {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}

// sleeps returns the calls of time.Sleep that stand outside a bubble.
func sleeps(file *ast.File, blowers map[string]bool) []ast.Node {
	clock, bubble := imported(file, "time", "time"), imported(file, "testing/synctest", "synctest")
	var outside []ast.Node
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			return !strings.Contains(n.Doc.Text(), "synctest") && !calls(n, bubble, "Wait")
		case *ast.CallExpr:
			name, ok := n.Fun.(*ast.Ident)
			if isSelector(n.Fun, bubble, "Test") || ok && blowers[name.Name] {
				return false
			}
		case *ast.SelectorExpr:
			if isSelector(n, clock, "Sleep") {
				outside = append(outside, n)
			}
		}
		return true
	})
	return outside
}

// calls reports whether pkg.name is used anywhere in the node.
func calls(n ast.Node, pkg, name string) bool {
	uses := false
	ast.Inspect(n, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok {
			uses = uses || isSelector(e, pkg, name)
		}
		return !uses
	})
	return uses
}

// isSelector reports whether e is pkg.name.
func isSelector(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok || pkg == "" || sel.Sel.Name != name {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg
}

// NoTraces checks that no file names the host of a package registry or a path
// of the machine that it was written on.
func NoTraces(t *Tree) []Finding {
	traces := traces()
	var findings []Finding
	for _, name := range t.Files {
		data, err := fs.ReadFile(t.FS, name)
		if err != nil {
			findings = append(findings, found(name, "cannot be read: %v", err))
			continue
		}
		if bytes.IndexByte(data[:min(len(data), 8000)], 0) >= 0 {
			continue // no text
		}
		for _, trace := range traces {
			if at := trace.pattern.FindIndex(data); at != nil {
				line := 1 + bytes.Count(data[:at[0]], []byte("\n"))
				findings = append(findings, found(name, "line %d names %s: %s", line, trace.what, data[at[0]:at[1]]))
			}
		}
	}
	return findings
}

// trace is a pattern that must not stand in the tree.
type trace struct {
	what    string
	pattern *regexp.Regexp
}

// traces are written in pieces so that this file does not find itself.
func traces() []trace {
	host := func(labels ...string) string { return regexp.QuoteMeta(strings.Join(labels, ".")) }
	hosts := strings.Join([]string{
		host("proxy", "golang", "org"), host("sum", "golang", "org"), host("pkg", "go", "dev"),
		host("registry", "npmjs", "org"), host("registry", "yarnpkg", "com"),
		host("deb", "debian", "org"), host("security", "debian", "org"),
		host("index", "docker", "io"), host("pypi", "org"), host("index", "crates", "io"),
	}, "|")
	folders := strings.Join([]string{path.Join("/", "root") + "/", path.Join("/", "home") + "/[a-z]+/", path.Join("/", "Users") + "/[A-Za-z]+/", path.Join("/", "work") + "/", path.Join("/", "tmp") + "/bg"}, "|")
	return []trace{
		{"the host of a package registry", regexp.MustCompile(`\b(?:` + hosts + `)\b`)},
		{"a path of one machine", regexp.MustCompile(`(?:^|[\s"'=(:` + "`" + `])(?:` + folders + `)`)},
	}
}
