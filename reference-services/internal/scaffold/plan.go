package scaffold

import (
	"cmp"
	"errors"
	"fmt"
	"go/format"
	"go/token"
	"go/types"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// Kind is what can be copied.
type Kind string

// The kinds.
const (
	Domain Kind = "domain" // owns its data and announces every change
	Edge   Kind = "edge"   // shows what another owns, and owns nothing
)

// Request says what to make.
type Request struct {
	Kind Kind
	// Name is the service's. A domain service is named by the plural of what it
	// owns, an edge service by a DNS label.
	Name string
	// Of is the plural of what an edge service shows, the name of the domain service
	// that owns it. Default: the last word of Name that is a plural.
	Of string
	// Singular is one of them. Default: that of a regular plural.
	Singular string
	// Module is the path of the module. Default: example.com/ and the name.
	Module string
}

// Copy is a module that can be written.
type Copy struct {
	Request              // with its defaults
	Package, Type string // as they are in the code
	Article       string // of the singular
	Fields        []string

	files []file
}

type file struct {
	name string // with slashes
	data []byte
}

// Files returns the names of the files, sorted.
func (c *Copy) Files() []string {
	names := make([]string, len(c.files))
	for i, f := range c.files {
		names[i] = f.name
	}
	return names
}

// stays are the files that only this city's service needs.
var stays = regexp.MustCompile(`/(city|importer)(_test)?\.go$`)

// Plan makes a copy out of the sources. Its error says what is wrong with the
// request.
func Plan(sources fs.FS, r Request) (*Copy, error) {
	n, err := r.complete()
	if err != nil {
		return nil, err
	}
	from := about + "s"
	id := identity{r.Name}
	if r.Kind == Edge {
		from = edgeName
	}
	c := &Copy{Request: r, Package: id.name(), Type: title(n.singular), Article: n.article(), Fields: fields(n)}
	rename := func(text string) string {
		to := `"` + r.Module + `"`
		if path.Base(r.Module) != c.Package {
			to = c.Package + " " + to
		}
		text = n.rename(strings.ReplaceAll(text, `"`+ownPath+from+`"`, to))
		if r.Kind == Edge {
			text = id.rename(text)
		}
		return text
	}
	used := make(map[string]identifiers) // by file
	err = fs.WalkDir(sources, from, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || stays.MatchString(name) {
			return err
		}
		data, err := fs.ReadFile(sources, name)
		if err != nil {
			return err
		}
		if path.Ext(name) == ".go" {
			used[name] = identifiersOf(data)
		}
		// The same rules hold for the names of files.
		to := rename(strings.TrimPrefix(name, from+"/"))
		text := []byte(rename(string(data)))
		if path.Ext(to) == ".go" {
			if text, err = format.Source(text); err != nil {
				return fmt.Errorf("%s can't be %s: %w", name, to, err)
			}
		}
		c.files = append(c.files, file{to, text})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if name := clash(used, rename); name != "" {
		return nil, fmt.Errorf("the code that is copied has something else that is called %s: name the service by another word", name)
	}
	goMod, err := requirements(sources, r.Module, c.files)
	if err != nil {
		return nil, err
	}
	c.files = append(c.files, file{"go.mod", goMod}, file{".gitignore", ignored(r)})
	slices.SortFunc(c.files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return c, nil
}

var (
	word  = regexp.MustCompile(`^[a-z][a-z0-9]{0,39}$`)
	words = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	// reserved can't be tables.
	reserved = []string{"exists", "references", "values"}
)

// complete checks the request and fills in what it leaves out.
func (r *Request) complete() (noun, error) {
	switch r.Kind {
	case Domain:
		if r.Of != "" {
			return noun{}, errors.New("--of is for an edge service; a domain service owns what it is named for")
		}
		if !word.MatchString(r.Name) {
			return noun{}, fmt.Errorf("the name is %q; it must be one word of lower-case letters and digits, at most 40, such as menus: it becomes a package, a topic, a path and a table", r.Name)
		}
		r.Of = r.Name
	case Edge:
		if !words.MatchString(r.Name) || len(r.Name) > 40 {
			return noun{}, fmt.Errorf("the name is %q; it must be words of lower-case letters and digits with hyphens between them, at most 40, such as near-menus: it is what others find the service by", r.Name)
		}
		if r.Of == "" && r.shown() == "" {
			return noun{}, fmt.Errorf("no word of %q is a plural that ends in s: say what the service shows by --of, such as --of menus", r.Name)
		}
		if r.Of = cmp.Or(r.Of, r.shown()); !word.MatchString(r.Of) {
			return noun{}, fmt.Errorf("--of is %q; it must be one word of lower-case letters and digits, at most 40, the name of the domain service", r.Of)
		}
	default:
		return noun{}, fmt.Errorf("%q can't be made; what can is domain, a service that owns its data, and edge, one that shows what another owns", r.Kind)
	}
	n, err := newNoun(r.Of, r.Singular)
	if err != nil {
		return n, err
	}
	if !word.MatchString(n.singular) {
		return n, fmt.Errorf("--singular is %q; it must be one word of lower-case letters and digits", n.singular)
	}
	for _, name := range []string{n.plural, n.singular, identity{r.Name}.name()} {
		if token.IsKeyword(name) || types.Universe.Lookup(name) != nil {
			return n, fmt.Errorf("%q is a word of the Go language and can't be a name in it: take another, or say the singular by --singular", name)
		}
		if slices.Contains(reserved, name) {
			return n, fmt.Errorf("%q is a word of SQL and can't be a table: take another", name)
		}
	}
	r.Singular = n.singular
	if r.Module == "" {
		r.Module = "example.com/" + r.Name
	}
	if err := module.CheckPath(r.Module); err != nil {
		return n, fmt.Errorf("--module: %w; it must be such as example.com/%s", err, r.Name)
	}
	return n, nil
}

// shown is the last word of an edge service's name that is a plural.
func (r *Request) shown() string {
	for _, w := range slices.Backward(strings.Split(r.Name, "-")) {
		if _, err := newNoun(w, ""); err == nil {
			return w
		}
	}
	return ""
}

// fields are those that clients write, in the copy's words.
func fields(n noun) []string {
	names := []string{"name", "cuisine", "borough", "address", "location", "status", "prep_minutes"}
	for i := range names {
		names[i] = n.rename(names[i])
	}
	return names
}

// ignored is what git shall not keep: what the program writes, and the program.
func ignored(r Request) []byte {
	return []byte("/data/\n/" + r.Name + "\n")
}
