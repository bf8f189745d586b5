package repotest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goswale/swale/internal/repotest"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// good is a small repository that obeys every rule.
func good() fstest.MapFS {
	fsys := fstest.MapFS{
		"go.work": file(`go 1.26.0

use (
	./bus
	./bus/natsbus
	./cache
	./resn
	./tools
)

replace (
	example.org/s/bus v0.1.0 => ./bus
	example.org/s/bus/natsbus v0.1.0 => ./bus/natsbus
	example.org/s/cache v0.1.0 => ./cache
)
`),
		"bus/go.mod":            file("module example.org/s/bus\n\ngo 1.25.0\n"),
		"bus/doc.go":            file("// Package bus carries events.\npackage bus\n"),
		"bus/bus.go":            file("package bus\n\nimport (\n\t\"example.org/s/bus/driver\"\n\n\t_ \"example.com/events\"\n)\n\ntype Bus struct{ D driver.Driver }\n"),
		"bus/driver/doc.go":     file("// Package driver is the contract.\npackage driver\n\ntype Driver interface{}\n"),
		"bus/membus/doc.go":     file("// Package membus is the model.\npackage membus\n\nimport _ \"example.org/s/bus\"\n"),
		"bus/bustest/doc.go":    file("// Package bustest is the proof.\npackage bustest\n\nimport (\n\t\"testing\"\n\n\t_ \"example.com/events\"\n)\n\nfunc Run(t *testing.T) {}\n"),
		"bus/natsbus/go.mod":    file("module example.org/s/bus/natsbus\n\ngo 1.26.0\n\nrequire example.org/s/bus v0.1.0\n"),
		"bus/natsbus/doc.go":    file("// Package natsbus is one vendor.\npackage natsbus\n\nimport _ \"example.org/s/bus/driver\"\n"),
		"bus/natsbus/n_test.go": file("package natsbus\n\nimport _ \"example.org/s/bus/bustest\"\n"),
		"cache/go.mod":          file("module example.org/s/cache\n\ngo 1.25.0\n"),
		"cache/doc.go":          file("// Package cache keeps.\npackage cache\n"),
		"cache/time_test.go": file(`package cache

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { time.Sleep(time.Hour) })
}

// age runs in a synctest bubble.
func age() { time.Sleep(time.Hour) }

func day(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

func TestDay(t *testing.T) {
	day(t, func(t *testing.T) { time.Sleep(24 * time.Hour) })
}

func settle() {
	time.Sleep(time.Hour)
	synctest.Wait()
}
`),
		"resn/go.mod":       file("module example.org/s/resn\n\ngo 1.25.0\n\nrequire (\n\texample.org/s/bus v0.1.0\n\texample.org/s/bus/natsbus v0.1.0\n\texample.org/s/cache v0.1.0\n)\n"),
		"resn/doc.go":       file("// Package resn keeps caches true.\npackage resn\n\nimport (\n\t_ \"example.org/s/bus\"\n\t_ \"example.org/s/cache\"\n)\n"),
		"resn/real_test.go": file("package resn_test\n\nimport (\n\t_ \"example.org/s/bus/membus\"\n\t_ \"example.org/s/bus/natsbus\"\n)\n"),
		"tools/go.mod":      file("module example.org/s/tools\n\ngo 1.26.0\n"),
		"tools/cmd/t/t.go":  file("// T is a tool.\npackage main\n\nfunc main() {}\n"),
		"tools/lint/go.mod": file("module example.org/s/tools/lint\n\ngo 1.26.0\n\ntool example.com/lint\n"),
	}
	fsys["docs/page.md"] = file(`# A page's first heading

[cache](../cache), [itself](#a-pages-first-heading), [far](https://example.org/x), ` + "`[no](link)`" + `.

    go run ./tools/cmd/t -n
`)
	for _, dir := range []string{"bus", "bus/natsbus", "cache", "resn", "tools"} {
		fsys[dir+"/README.md"] = file("# " + dir + "\n")
		fsys[dir+"/CHANGELOG.md"] = file("# Changes\n\n## [Unreleased]\n")
		fsys[dir+"/LICENSE"] = file("Apache License\n")
		name := dir[strings.LastIndex(dir, "/")+1:]
		fsys[dir+"/example_test.go"] = file("package " + name + "_test\n\nfunc Example() {\n\t// Output:\n}\n")
	}
	fsys["tools/t_test.go"] = file("package tools_test\n\nimport (\n\t_ \"bufio\"\n\t_ \"strings\"\n)\n")
	fsys["tools/README.md"] = file("# tools\n\n<!-- given: r *strings.Reader;\n other string -->\n" +
		"```go\nlines := bufio.NewScanner(r)\nif lines.Scan() { … }\nreturn lines.Err()\n```\n\n" +
		"```go\ntype shown struct{ a string }\n\n…\nvar first = shown{other}\n```\n\n" +
		"```go\npackage main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"…\") }\n```\n")
	return fsys
}

// breakage is a change to the good repository that one rule must notice.
type breakage struct {
	rule string
	what string // what is broken
	do   func(fstest.MapFS)
	want string // part of the finding
}

// put returns a change that writes one file.
func put(name, text string) func(fstest.MapFS) {
	return func(fsys fstest.MapFS) { fsys[name] = file(text) }
}

// edit returns a change that replaces text in one file.
func edit(name, from, to string) func(fstest.MapFS) {
	return func(fsys fstest.MapFS) {
		data := string(fsys[name].Data)
		if !strings.Contains(data, from) {
			panic(fmt.Sprintf("%s does not contain %q", name, from))
		}
		fsys[name] = file(strings.Replace(data, from, to, 1))
	}
}

func remove(name string) func(fstest.MapFS) {
	return func(fsys fstest.MapFS) { delete(fsys, name) }
}

func broken() []breakage {
	return []breakage{
		{"imports", "a core imports another core", put("cache/b.go", "package cache\n\nimport _ \"example.org/s/bus\"\n"), "the table lets cache import none of our modules"},
		{"imports", "a core's test imports another core", put("cache/b_test.go", "package cache\n\nimport _ \"example.org/s/bus\"\n"), "the table lets cache import none of our modules"},
		{"imports", "a core's test imports another core's driver", put("cache/b_test.go", "package cache\n\nimport _ \"example.org/s/bus/natsbus\"\n"), "none of our modules"},
		{"imports", "a library imports a driver", put("resn/d.go", "package resn\n\nimport _ \"example.org/s/bus/natsbus\"\n"), "the table lets resn import only bus, cache, hal"},
		{"imports", "a driver imports more than its core", put("bus/natsbus/c.go", "package natsbus\n\nimport _ \"example.org/s/cache\"\n"), "the table lets bus/natsbus import only bus"},
		{"imports", "a library imports another module's in-memory driver", put("resn/m.go", "package resn\n\nimport _ \"example.org/s/bus/membus\"\n"), "an in-memory driver or conformance package"},
		{"imports", "a module without a row", func(fsys fstest.MapFS) {
			put("queue/go.mod", "module example.org/s/queue\n")(fsys)
			edit("go.work", "\t./resn\n", "\t./queue\n\t./resn\n")(fsys)
		}, "no row in the import table"},
		{"circles", "two modules require each other", edit("bus/go.mod", "go 1.25.0\n", "go 1.25.0\n\nrequire example.org/s/bus/natsbus v0.1.0\n"), "bus → bus/natsbus → bus"},
		{"replace", "a replace in a go.mod", edit("cache/go.mod", "go 1.25.0\n", "go 1.25.0\n\nreplace example.org/s/bus => ../bus\n"), "cache/go.mod: replaces example.org/s/bus"},
		{"workspace", "go.work forgets a module", edit("go.work", "\t./cache\n", ""), "does not use cache"},
		{"workspace", "go.work uses a tool pin", edit("go.work", "\t./tools\n", "\t./tools\n\t./tools/lint\n"), "only pins tools"},
		{"workspace", "go.work does not map a required sibling", edit("go.work", "\texample.org/s/cache v0.1.0 => ./cache\n", ""), "has no line `replace example.org/s/cache"},
		{"workspace", "a replace without a version", edit("go.work", "cache v0.1.0 =>", "cache =>"), "at every version"},
		{"workspace", "a replace by the wrong folder", edit("go.work", "=> ./cache", "=> ./bus"), "but the module is in ./cache"},
		{"workspace", "a replace of a stranger", edit("go.work", "replace (\n", "replace (\n\texample.com/other v1.0.0 => ./bus\n"), "no module of the workspace"},
		{"requires", "two versions of one sibling", edit("resn/go.mod", "bus v0.1.0", "bus v0.2.0"), "requires bus at v0.2.0, but the tree is v0.1.0"},
		{"requires", "a sibling imported, not required", edit("resn/go.mod", "\texample.org/s/cache v0.1.0\n", ""), "does not require example.org/s/cache"},
		{"module files", "no README", remove("cache/README.md"), "cache/README.md: is missing"},
		{"module files", "no LICENSE", remove("bus/natsbus/LICENSE"), "bus/natsbus/LICENSE: is missing"},
		{"module files", "no Unreleased section", put("cache/CHANGELOG.md", "# Changes\n"), "## [Unreleased]"},
		{"package doc", "no package doc", put("cache/doc.go", "package cache\n"), "no file of package cache says what it is"},
		{"package doc", "two package docs", put("cache/again.go", "// Package cache keeps again.\npackage cache\n"), "cache/again.go and cache/doc.go"},
		{"package doc", "a doc in another form", put("cache/doc.go", "// This keeps.\npackage cache\n"), `does not begin with "Package cache "`},
		{"package name", "a drawer", put("cache/util/doc.go", "// Package util has leftovers.\npackage util\n"), "package util says nothing"},
		{"examples", "no example", remove("cache/example_test.go"), "cache: no Example function"},
		{"examples", "an example that is not checked", put("cache/example_test.go", "package cache_test\n\nfunc Example() {}\n"), "cache: no Example function"},
		{"testing", "a library imports testing", put("cache/t.go", "package cache\n\nimport _ \"testing\"\n"), "cache/t.go: imports testing"},
		{"testing", "a library imports a subpackage of testing", put("cache/t.go", "package cache\n\nimport _ \"testing/iotest\"\n"), "cache/t.go: imports testing/iotest"},
		{"conformance", "a conformance package takes a library", put("bus/bustest/c.go", "package bustest\n\nimport _ \"example.com/cmp\"\n"), "the conformance package imports example.com/cmp"},
		{"length", "a long file", put("cache/long.go", "package cache\n"+strings.Repeat("\n", 700)), "has 701 lines"},
		{"sleep", "a sleeping test", put("cache/s_test.go", "package cache\n\nimport \"time\"\n\nfunc wait() { time.Sleep(1) }\n"), "line 5 sleeps"},
		{"sleep", "a sleep under another name", put("cache/s_test.go", "package cache\n\nimport clock \"time\"\n\nvar nap = clock.Sleep\n"), "line 5 sleeps"},
		{"links", "a link to no file", put("docs/x.md", "# X\n\nSee [cache](../cahce).\n"), "docs/x.md: line 3 links to ../cahce: there is no such file"},
		{"links", "a link to no heading", put("docs/x.md", "[cache](../cache/README.md#why)\n"), "links to ../cache/README.md#why: there is no such heading"},
		{"links", "a picture that is not there", put("docs/x.md", "![flow](flow.svg)\n"), "links to flow.svg"},
		{"links", "a command on no folder", put("docs/x.md", "```sh\ngo run ./tools/cmd/u -x\n```\n"), "docs/x.md: line 2 runs ./tools/cmd/u, which is not there"},
		{"links", "a target that cannot be made", put("docs/x.md", "Say `make peace`.\n"), "says `make peace`"},
		{"links", "a test that is not there", put("docs/x.md", "Proved by `TestNothing`.\n"), "line 1 names the test TestNothing"},
		{"README code", "a name that is not there", code("resp, err := http.Fetch(\"/\")\n"), "cache/README.md:4: undefined: http.Fetch"},
		{"README code", "a variable from nowhere", code("mux.Handle(\"/\", http.NotFoundHandler())\n"), "undefined: mux"},
		{"README code", "a wrong type", code("func get(ctx context.Context) string {\n\treturn ctx\n}\n"), "cannot use ctx"},
		{"README code", "a program without its import", code("package main\n\nfunc main() { fmt.Println() }\n"), "undefined: fmt"},
		{"README code", "no Go", code("get the page\n"), "the Go code at line 4 is none"},
		{"README code", "not in gofmt's form", code("client := &http.Client{Timeout:1}\n"), "gofmt would change the code at line 4"},
		{"traces", "a registry's host", put("docs/x.md", "\nset GOPROXY=https://proxy."+"golang.org\n"), "docs/x.md: line 2 names the host of a package registry"},
		{"traces", "a machine's path", put("docs/x.md", "see /"+"home/ann/swale\n"), "names a path of one machine"},
	}
}

// code gives the README of cache a block of Go.
func code(text string) func(fstest.MapFS) {
	return func(fsys fstest.MapFS) {
		fsys["cache/http.go"] = file("package cache\n\nimport (\n\t_ \"context\"\n\t_ \"net/http\"\n)\n")
		fsys["cache/README.md"] = file("# cache\n\n```go\n" + text + "```\n")
	}
}

func load(t *testing.T, fsys fstest.MapFS) *repotest.Tree {
	t.Helper()
	tree, err := repotest.Load(fsys, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestGoodTreePasses(t *testing.T) {
	tree := load(t, good())
	for _, rule := range repotest.Rules() {
		for _, f := range rule.Check(tree) {
			t.Errorf("rule %q finds in a tree without fault: %s", rule.Name, f)
		}
	}
}

func TestEachRuleSeesItsBreakage(t *testing.T) {
	rules := make(map[string]repotest.Rule)
	for _, rule := range repotest.Rules() {
		rules[rule.Name] = rule
	}
	tried := make(map[string]bool)
	for _, b := range broken() {
		tried[b.rule] = true
		t.Run(b.rule+"/"+b.what, func(t *testing.T) {
			fsys := good()
			b.do(fsys)
			var all []string
			for _, f := range rules[b.rule].Check(load(t, fsys)) {
				all = append(all, f.String())
			}
			if got := strings.Join(all, "\n"); !strings.Contains(got, b.want) {
				t.Errorf("the rule must say %q about %s; it says %q", b.want, b.what, got)
			}
		})
	}
	for name := range rules {
		if !tried[name] {
			t.Errorf("rule %q was never seen to fail: add a tree that breaks it to broken", name)
		}
	}
}

func TestOursLimitsWhatCounts(t *testing.T) {
	fsys := good()
	fsys["cache/notes.go"] = file("package notes // another package, nobody's")
	tree, err := repotest.Load(fsys, func(name string) bool { return name != "cache/notes.go" })
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tree.Files {
		if name == "cache/notes.go" {
			t.Error("a file that is not ours counts as part of the repository")
		}
	}
}

func TestGoFileOutsideEveryModule(t *testing.T) {
	fsys := good()
	fsys["main.go"] = file("package main\n")
	if _, err := repotest.Load(fsys, nil); err == nil || !strings.Contains(err.Error(), "no root module") {
		t.Errorf("error %v must say that main.go belongs to no module", err)
	}
}
