package repotest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goswale/swale/internal/repotest"
)

// TestRepository applies every rule to the tree that this file stands in.
func TestRepository(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := repotest.Load(os.DirFS(root), tracked(t, root))
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Modules) < 10 || len(tree.Files) < 100 {
		t.Fatalf("found %d modules and %d files below %s: the rules would pass over nothing", len(tree.Modules), len(tree.Files), root)
	}
	for _, rule := range repotest.Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			for _, f := range rule.Check(tree) {
				t.Errorf("%s\n\trule %q: %s.", f, rule.Name, rule.Why)
			}
		})
	}
}

// tracked returns what git knows of the tree, and new files that it does not
// ignore. Without git every file counts.
func tracked(t *testing.T, root string) func(string) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	out, err := cmd.Output()
	if err != nil {
		t.Logf("git does not list the files of %s, so all of them count: %v", root, err)
		return nil
	}
	ours := make(map[string]bool)
	for name := range strings.SplitSeq(string(out), "\x00") {
		ours[name] = true
	}
	return func(name string) bool { return ours[name] }
}
