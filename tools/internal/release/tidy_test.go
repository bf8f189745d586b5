package release

import (
	"strings"
	"testing"
)

func TestTidy(t *testing.T) {
	s := newSandbox(t)
	s.write("app/go.mod", "module example.org/s/app\n\ngo 1.25.0\n") // forgets both siblings
	repo := s.open()
	changed, err := repo.Tidy(t.Context(), repo.Work.ByDir("app"), nil)
	if err != nil {
		t.Fatal(err)
	}
	goMod := s.read("app/go.mod")
	if !changed || !strings.Contains(goMod, "example.org/s/core v0.1.0\n") || !strings.Contains(goMod, "example.org/s/core/drv v0.1.0\n") {
		t.Errorf("tidy must require imported siblings at the version of the tree; go.mod is\n%s", goMod)
	}
	if strings.Contains(goMod, "replace") {
		t.Errorf("tidy must leave no replace; go.mod is\n%s", goMod)
	}
	if changed, err = repo.Tidy(t.Context(), repo.Work.ByDir("app"), nil); changed || err != nil {
		t.Errorf("a tidy module changed (%v), error %v", changed, err)
	}
}

func TestTidyFailsInTheCommandsWords(t *testing.T) {
	s := newSandbox(t)
	s.write("core/far.go", "package core\n\nimport _ \"example.com/far\"\n")
	repo := s.open()
	if _, err := repo.Tidy(t.Context(), repo.Work.ByDir("core"), nil); err == nil || !strings.Contains(err.Error(), "example.com/far") {
		t.Errorf("error %v must carry what the go command said", err)
	}
	if got := s.read("core/go.mod"); got != "module example.org/s/core\n\ngo 1.25.0\n" {
		t.Errorf("a failed tidy changed go.mod to\n%s", got)
	}
}
