package workspace_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/tools/workspace"
)

// tree is a workspace of three modules: c needs b, b needs a.
func tree() fstest.MapFS {
	return fstest.MapFS{
		"go.work": file(`go 1.26.0

use (
	./a
	./b
	./b/c
)

replace (
	example.org/x/a v0.1.0 => ./a
	example.org/x/b v0.2.0 => ./b
)
`),
		"a/go.mod":   file("module example.org/x/a\n\ngo 1.25.0\n"),
		"b/go.mod":   file("module example.org/x/b\n\ngo 1.25.0\n\nrequire example.org/x/a v0.1.0\n"),
		"b/c/go.mod": file("module example.org/x/b/c\n\ngo 1.25.0\n\nrequire example.org/x/b v0.2.0\n"),
	}
}

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func dirs(modules []*workspace.Module) []string {
	var names []string
	for _, m := range modules {
		names = append(names, m.Dir)
	}
	return names
}

func TestLoad(t *testing.T) {
	w, err := workspace.Load(tree())
	if err != nil {
		t.Fatal(err)
	}
	if w.Prefix != "example.org/x" {
		t.Errorf("prefix is %q: it must be the path that all modules share", w.Prefix)
	}
	var got []string
	for _, m := range w.Modules {
		got = append(got, fmt.Sprintf("%s %s %s", m.Dir, m.Path, m.Version))
	}
	want := []string{"a example.org/x/a v0.1.0", "b example.org/x/b v0.2.0", "b/c example.org/x/b/c "}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("modules, and the versions that go.work maps to them (-want +got):\n%s", d)
	}
}

func TestLoadSaysWhatIsMissing(t *testing.T) {
	fsys := tree()
	delete(fsys, "b/go.mod")
	_, err := workspace.Load(fsys)
	if err == nil || !strings.Contains(err.Error(), "b/go.mod") {
		t.Errorf("error %v must name the go.mod that go.work uses and the tree lacks", err)
	}
}

func TestOwnerIsTheLongestMatch(t *testing.T) {
	w, err := workspace.Load(tree())
	if err != nil {
		t.Fatal(err)
	}
	for importPath, want := range map[string]string{
		"example.org/x/b/c/sub": "b/c",
		"example.org/x/b/sub":   "b",
		"example.org/x/b":       "b",
	} {
		if m := w.Owner(importPath); m == nil || m.Dir != want {
			t.Errorf("owner of %s is %v, not %s: a nested module takes its packages from its parent", importPath, m, want)
		}
	}
	if m := w.Owner("example.org/x/bb"); m != nil {
		t.Errorf("owner of example.org/x/bb is %s: a path that only begins alike is another one", m.Dir)
	}
}

func TestOrder(t *testing.T) {
	w, err := workspace.Load(tree())
	if err != nil {
		t.Fatal(err)
	}
	ordered, err := w.Order()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a", "b", "b/c"}, dirs(ordered)); d != "" {
		t.Errorf("a module must come after those that it requires (-want +got):\n%s", d)
	}
	needs, err := w.Needs(w.ByDir("b/c"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a", "b"}, dirs(needs)); d != "" {
		t.Errorf("needs of b/c, through b also a (-want +got):\n%s", d)
	}
}

func TestOrderRefusesACircle(t *testing.T) {
	fsys := tree()
	fsys["a/go.mod"] = file("module example.org/x/a\n\ngo 1.25.0\n\nrequire example.org/x/b/c v0.1.0\n")
	w, err := workspace.Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Order()
	if err == nil || !strings.Contains(err.Error(), "a → b/c → b → a") {
		t.Errorf("error %v must show the circle: none of its modules can be packed first", err)
	}
}

func ExampleWorkspace_Order() {
	w, err := workspace.Load(tree())
	if err != nil {
		fmt.Println(err)
		return
	}
	ordered, err := w.Order()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range ordered {
		fmt.Println(m.Dir)
	}
	// Output:
	// a
	// b
	// b/c
}
