package repotest

import (
	"bytes"
	"go/ast"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

var (
	link    = regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)|(?:src|href)="([^"]+)"`)
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.*?)[ #]*$`)
	scheme  = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
	// codeSpan and codeBlock are what Markdown does not read.
	codeBlock = regexp.MustCompile("(?ms)^[ \t]*```.*?^[ \t]*```[ \t]*$")
	codeSpan  = regexp.MustCompile("`[^`\n]+`")
	// command is a call of the go command on a folder of the tree.
	command = regexp.MustCompile(`\bgo (?:run|test|build|vet)(?: -[a-z]+(?:[= ][^\s./-][^\s]*)?)*((?: \./[\w./-]+)+)`)
	// tested is the name of a test or an example.
	tested = regexp.MustCompile("`((?:Test|Fuzz|Benchmark|Example)[A-Za-z0-9_]+)`")
	// target is a call of make.
	target = regexp.MustCompile("`make ([a-z-]+)`")
)

// Links checks that what Markdown files point at inside the repository is
// there: files, folders, headings, the packages that a go command in them names
// from the root or from the page's own folder, the targets of make, and, but in
// the history of a CHANGELOG, the tests that are said to prove something.
func Links(t *Tree) []Finding {
	var findings []Finding
	made, tests := targets(t), testNames(t)
	for _, name := range t.Files {
		if path.Ext(name) != ".md" || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		data, err := fs.ReadFile(t.FS, name)
		if err != nil {
			findings = append(findings, found(name, "cannot be read: %v", err))
			continue
		}
		say := func(at int, format string, args ...any) {
			line := 1 + bytes.Count(data[:at], []byte("\n"))
			findings = append(findings, found(name, "line %d "+format, append([]any{line}, args...)...))
		}
		prose := blank(data, codeBlock)
		for _, at := range link.FindAllSubmatchIndex(blank(prose, codeSpan), -1) {
			from, to := at[2], at[3]
			if from < 0 {
				from, to = at[4], at[5]
			}
			if what := t.broken(name, string(data[from:to])); what != "" {
				say(from, "links to %s: %s", data[from:to], what)
			}
		}
		for _, at := range command.FindAllSubmatchIndex(data, -1) {
			for dir := range strings.FieldsSeq(string(data[at[2]:at[3]])) {
				dir = strings.TrimSuffix(strings.TrimSuffix(strings.TrimRight(dir, "."), "/..."), "/")
				if dir != "." && !t.has(path.Clean(dir)) && !t.has(path.Join(path.Dir(name), dir)) {
					say(at[2], "runs %s, which is not there", dir)
				}
			}
		}
		for _, at := range target.FindAllSubmatchIndex(data, -1) {
			if word := string(data[at[2]:at[3]]); !slices.Contains(made, word) {
				say(at[2], "says `make %s`, which the Makefile does not know", word)
			}
		}
		if path.Base(name) == "CHANGELOG.md" {
			continue
		}
		for _, at := range tested.FindAllSubmatchIndex(data, -1) {
			if word := string(data[at[2]:at[3]]); !tests[word] {
				say(at[2], "names the test %s, which is not there", word)
			}
		}
	}
	return findings
}

// testNames are the functions of all test files.
func testNames(t *Tree) map[string]bool {
	names := make(map[string]bool)
	for p := range packages(t) {
		for _, s := range p.Sources {
			for _, d := range s.File.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
					names[f.Name.Name] = true
				}
			}
		}
	}
	return names
}

// broken says what is wrong with a link of the page, if anything.
func (t *Tree) broken(page, href string) string {
	if scheme.MatchString(href) || strings.HasPrefix(href, "//") {
		return ""
	}
	file, fragment, _ := strings.Cut(href, "#")
	file, _, _ = strings.Cut(file, "?")
	to := page
	if file != "" {
		to = path.Join(path.Dir(page), file)
		if to != "." && !t.has(to) {
			return "there is no such file"
		}
	}
	if fragment == "" || path.Ext(to) != ".md" {
		return ""
	}
	data, err := fs.ReadFile(t.FS, to)
	if err != nil {
		return err.Error()
	}
	if !slices.Contains(anchors(data), fragment) {
		return "there is no such heading"
	}
	return ""
}

// has reports whether the tree holds a file or a folder of that name.
func (t *Tree) has(name string) bool {
	return slices.ContainsFunc(t.Files, func(f string) bool { return f == name || strings.HasPrefix(f, name+"/") })
}

// anchors are the fragments by which the headings of a page are reached.
func anchors(data []byte) []string {
	var all []string
	for _, m := range heading.FindAllSubmatch(blank(data, codeBlock), -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, string(m[1])))
	}
	return all
}

// targets are what the Makefile at the root can make.
func targets(t *Tree) []string {
	data, err := fs.ReadFile(t.FS, "Makefile")
	if err != nil {
		return nil
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllSubmatch(data, -1) {
		names = append(names, string(m[1]))
	}
	return names
}

// blank returns data with every match overwritten, so that positions stay.
func blank(data []byte, re *regexp.Regexp) []byte {
	return re.ReplaceAllFunc(data, func(m []byte) []byte {
		spaces := bytes.Repeat([]byte{' '}, len(m))
		for i, c := range m {
			if c == '\n' {
				spaces[i] = c
			}
		}
		return spaces
	})
}
