package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	reference "github.com/goswale/swale/reference-services"
	"github.com/goswale/swale/reference-services/internal/scaffold"
)

const newAbout = `Makes a service of your own: a Go module that builds, passes its tests and runs.

  swale new domain menus         owns menus and announces every change of one
  swale new edge near-menus      shows menus, which the service above owns

It is a copy of one of the reference services, renamed in code and in words: package,
program, topic, paths, tables, types, tests and README.`

func runNew(_ context.Context, env environment, args []string) error {
	f := newFlags(env, "new domain|edge NAME", newAbout)
	var dir string
	var r scaffold.Request
	f.StringVar(&r.Module, "module", "", "the module's `path`; default: example.com/NAME")
	f.StringVar(&dir, "dir", "", "`directory` to make, or an empty one; default: ./NAME")
	f.StringVar(&r.Singular, "singular", "", "one of what it is about, a `word`, where it isn't that of a regular plural: person for people")
	f.StringVar(&r.Of, "of", "", "what an edge service shows, the `plural` that names its owner; default: the last plural in NAME")
	said := 0
	for said < min(2, len(args)) && !strings.HasPrefix(args[said], "-") {
		said++
	}
	if err := f.parse(args[said:]); err != nil {
		return err
	}
	if said < 2 {
		return fmt.Errorf("%w: say what to make and its name, such as swale new domain menus", errUsage)
	}
	r.Kind, r.Name = scaffold.Kind(args[0]), args[1]
	c, err := scaffold.Plan(reference.Sources(), r)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if dir == "" {
		dir = c.Name
	}
	if err := c.Write(dir); err != nil {
		return err
	}
	tellNew(env, c, dir)
	return nil
}

// tellNew says what was made, and what to do with it.
func tellNew(env environment, c *scaffold.Copy, dir string) {
	w := env.stdout
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(w, "Made %s in %s: %d files.\n\n", c.Name, dir, len(c.Files()))
	line("module", "%s", c.Module)
	line("package", "%s", c.Package)
	line("program", "cmd/%s", c.Name)
	if c.Kind == scaffold.Domain {
		line("type", "%s, in text %s %s and many %s", c.Type, c.Article, c.Singular, c.Of)
		line("paths", "/%s and /%s/{id}", c.Of, c.Of)
		line("topic", "%s", c.Of)
		line("tables", "%s and %s_counter", c.Of, c.Of)
		line("fields", "%s; yours to change in state.go and store.go", strings.Join(c.Fields, ", "))
	} else {
		line("shows", "%s: %s %s is a %s in the code", c.Of, c.Article, c.Singular, c.Type)
		line("owner", "the domain service %s, at %s_URL; %q leads from its root to them", c.Of, strings.ToUpper(c.Of), c.Of)
	}
	fmt.Fprintf(w, "\nNext:\n  cd %s%s\n  go test ./...\n  go run ./cmd/%s\n\n", dir, prepare(env, dir), c.Name)
	if c.Kind == scaffold.Edge {
		fmt.Fprintf(w, "It wants its owner to run: swale new domain %s makes one, which brings a bus.\n", c.Of)
	}
	fmt.Fprintln(w, "README.md there says what to try by curl, what is where, and what it promises.")
}

// prepare is what has to be done once before the copy builds: its requirements are
// fetched, and in a workspace it is added to those that are built together. One that
// has Swale's modules itself fetches nothing.
func prepare(env environment, dir string) string {
	name, workspace := goWork(env, dir)
	switch {
	case name == "":
		return " && go mod tidy"
	case strings.Contains(workspace, "github.com/goswale/swale/"):
		return " && go work use ."
	}
	return " && go work use . && go mod tidy"
}

// goWork finds the workspace that the go command would use in a directory.
func goWork(env environment, dir string) (name, text string) {
	said, _ := env.lookup("GOWORK")
	if said == "off" {
		return "", ""
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", ""
	}
	for {
		if name = said; name == "" {
			name = filepath.Join(dir, "go.work")
		}
		if data, err := os.ReadFile(name); err == nil { //nolint:gosec // what the go command reads too
			return name, string(data)
		}
		up := filepath.Dir(dir)
		if said != "" || up == dir {
			return "", ""
		}
		dir = up
	}
}
