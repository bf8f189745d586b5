package repotest

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A block is the Go code of one fence of a Markdown file.
type block struct {
	// name is the file, line that of the first line of code.
	name string
	line int
	code string
	// elided says that code stood there which the page leaves out.
	elided bool
	// given are the variables and imports that the page takes for granted up
	// to here: `b *bus.Bus`, `import example.org/x`.
	given []string
}

var (
	fence    = regexp.MustCompile("(?m)^([ \t]*)```go[ \t]*\n((?s).*?)^[ \t]*```[ \t]*$")
	omission = regexp.MustCompile(`(?m)(^[ \t]*|\{ ?)…( ?\}|[ \t]*$)`)
	comment  = regexp.MustCompile(`(?s)<!--\s*given:(.*?)-->`)
)

// READMECode checks that the Go code of every README compiles. A block may be a
// program, declarations, or statements; statements are read as the body of a
// function that has a ctx and returns an error. The packages that a block names
// are imported for it, "…" stands for what is left out, and a variable may be
// left unused. Variables that a block takes for granted are declared in a
// comment in front of it, which holds until the end of the file and which
// nobody sees on the rendered page:
//
//	<!-- given: b *bus.Bus; handler http.Handler -->
//
// It needs the go command, and the current directory inside the workspace, to
// know the packages that are imported.
func READMECode(t *Tree) []Finding {
	var blocks []block
	for _, name := range t.Files {
		if path.Base(name) != "README.md" {
			continue
		}
		data, err := fs.ReadFile(t.FS, name)
		if err != nil {
			return []Finding{found(name, "cannot be read: %v", err)}
		}
		blocks = append(blocks, goBlocks(name, data)...)
	}
	if len(blocks) == 0 {
		return nil
	}
	var findings []Finding
	fset := token.NewFileSet()
	files := make([]*ast.File, len(blocks))
	needed := make(map[string]bool)
	for i, b := range blocks {
		file, err := b.parse(fset, t)
		if err != nil {
			findings = append(findings, found(b.name, "the Go code at line %d is none: %v", b.line, err))
			continue
		}
		files[i] = file
		if code, err := format.Source([]byte(b.code)); err == nil && string(code) != b.code && !b.elided {
			findings = append(findings, found(b.name, "gofmt would change the code at line %d", b.line))
		}
		for _, spec := range file.Imports {
			needed[strings.Trim(spec.Path.Value, `"`)] = true
		}
	}
	exports, err := exported(slices.Sorted(maps.Keys(needed)))
	if err != nil {
		return append(findings, found("go.work", "the packages that READMEs use don't compile: %v", err))
	}
	imports := importer.ForCompiler(fset, "gc", func(importPath string) (io.ReadCloser, error) {
		return exports.open(importPath)
	})
	for i, b := range blocks {
		if files[i] == nil {
			continue
		}
		conf := types.Config{Importer: imports, Error: func(err error) {
			var e types.Error
			if errors.As(err, &e) && e.Soft && strings.HasPrefix(e.Msg, "declared and not used") {
				return
			}
			findings = append(findings, found(b.name, "the code doesn't compile: %v; declare what it takes for granted in a comment before it: <!-- given: b *bus.Bus -->", err))
		}}
		_, _ = conf.Check("readme", fset, []*ast.File{files[i]}, nil) // every error went to Error
	}
	return findings
}

// goBlocks returns the Go code in a Markdown file.
func goBlocks(name string, data []byte) []block {
	var blocks []block
	for _, at := range fence.FindAllSubmatchIndex(data, -1) {
		b := block{
			name: name,
			line: 1 + bytes.Count(data[:at[4]], []byte("\n")),
		}
		b.code, b.elided = elide(string(data[at[4]:at[5]]))
		for _, m := range comment.FindAllSubmatch(data[:at[0]], -1) {
			for item := range strings.SplitSeq(string(m[1]), ";") {
				if item = strings.Join(strings.Fields(item), " "); item != "" {
					b.given = append(b.given, item)
				}
			}
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// elide takes out every "…" that stands for code: alone on a line or between
// braces.
func elide(code string) (rest string, elided bool) {
	rest = omission.ReplaceAllString(code, "$1$2")
	return rest, rest != code
}

// parse reads the block as a file: as it stands, or with a package clause and
// the imports and variables that it takes for granted, or as a function's body.
func (b block) parse(fset *token.FileSet, t *Tree) (*ast.File, error) {
	const mode = parser.AllErrors
	line := fmt.Sprintf("\n//line %s:%d\n", b.name, b.line)
	if file, err := parser.ParseFile(fset, "", line[1:]+b.code, mode); err == nil {
		return file, nil
	}
	var imports, head strings.Builder
	for _, item := range b.given {
		if importPath, ok := strings.CutPrefix(item, "import "); ok {
			fmt.Fprintf(&imports, "import %q\n", importPath)
			continue
		}
		fmt.Fprintf(&head, "//line %s:%d\nvar %s\n", b.name, b.line, item)
	}
	head.WriteString("var ctx context.Context\n")
	forms := []string{line + b.code, "func _() error {" + line + b.code + "\nreturn nil\n}\n"}
	var first error
	for _, form := range forms {
		file, err := parser.ParseFile(fset, "", "package readme\n"+imports.String()+head.String()+form, mode)
		if err != nil {
			first = err // of the last form: what stands in a function is the common case
			continue
		}
		for _, importPath := range missing(t, b.name, file) {
			fmt.Fprintf(&imports, "import %q\n", importPath)
		}
		return parser.ParseFile(fset, "", "package readme\n"+imports.String()+head.String()+form, mode)
	}
	return nil, first
}

// missing are the paths of the packages that the file names and does not
// import.
func missing(t *Tree, name string, file *ast.File) []string {
	qualifiers := make(map[string]bool)
	unresolved := make(map[*ast.Ident]bool)
	for _, id := range file.Unresolved {
		unresolved[id] = true
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && unresolved[id] {
				qualifiers[id.Name] = true
			}
		}
		return true
	})
	for _, spec := range file.Imports {
		delete(qualifiers, baseName(strings.Trim(spec.Path.Value, `"`)))
	}
	var paths []string
	for _, q := range slices.Sorted(maps.Keys(qualifiers)) {
		if importPath := pathOf(t, path.Dir(name), q); importPath != "" {
			paths = append(paths, importPath)
		}
	}
	return paths
}

// pathOf returns the import path that a README in dir means by a package's
// name: a package below dir, one that the module imports, one of ours, one that
// is imported anywhere.
func pathOf(t *Tree, dir, name string) string {
	below := func(d string) bool { return d == dir || strings.HasPrefix(d, dir+"/") }
	best, rank := "", 9
	take := func(importPath string, r int) {
		if r < rank || r == rank && (len(importPath) < len(best) || len(importPath) == len(best) && importPath < best) {
			best, rank = importPath, r
		}
	}
	for p := range packages(t) {
		if p.Name() == name && !onlyTests(p) && !strings.Contains(p.Path, "/internal/") {
			switch {
			case below(p.Dir):
				take(p.Path, 0)
			default:
				take(p.Path, 2)
			}
		}
		for _, s := range p.Sources {
			for _, importPath := range s.Imports {
				switch {
				case baseName(importPath) != name || strings.Contains(importPath, "/internal/"):
				case below(p.Dir):
					take(importPath, 1)
				default:
					take(importPath, 3)
				}
			}
		}
	}
	if best == "" && name == "context" {
		return "context"
	}
	return best
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// baseName is the name that a package with the path most likely has.
func baseName(importPath string) string {
	dir, base := path.Split(importPath)
	if majorVersion.MatchString(base) && dir != "" {
		base = path.Base(dir)
	}
	base, _, _ = strings.Cut(base, ".")
	return strings.TrimPrefix(base, "go-")
}

// exportData tells for import paths which file holds the compiled package.
type exportData map[string]string

// exported compiles the packages and what they depend on.
func exported(importPaths []string) (exportData, error) {
	if len(importPaths) == 0 {
		return nil, nil
	}
	args := append([]string{"list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", "--"}, importPaths...)
	cmd := exec.Command("go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list -export: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	exports := make(exportData)
	for line := range strings.Lines(string(out)) {
		importPath, file, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		exports[importPath] = file
	}
	return exports, nil
}

func (e exportData) open(importPath string) (io.ReadCloser, error) {
	file := e[importPath]
	if file == "" {
		return nil, fmt.Errorf("no compiled package %s", importPath)
	}
	return os.Open(file)
}
