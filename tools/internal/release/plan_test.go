package release

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// planned is the plan as one line per module.
func planned(t *testing.T, s *sandbox) []string {
	t.Helper()
	steps, err := s.open().Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, step := range steps {
		all = append(all, fmt.Sprintf("%s %s→%s", step.Module.Dir, step.Last, step.Next))
	}
	return all
}

func TestPlanBeforeTheFirstRelease(t *testing.T) {
	want := []string{"core →v0.1.0", "core/drv →v0.1.0", "app →v0.1.0"}
	if d := cmp.Diff(want, planned(t, newSandbox(t))); d != "" {
		t.Errorf("each released module starts at v0.1.0, needed ones first; tools is never released (-want +got):\n%s", d)
	}
}

func TestPlanAfterChanges(t *testing.T) {
	s := newSandbox(t)
	for _, dir := range []string{"core", "core/drv", "app"} {
		s.write(dir+"/CHANGELOG.md", "## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n\n- All of it.\n")
	}
	s.commit("release")
	for _, dir := range []string{"core", "core/drv", "app"} {
		s.git("tag", dir+"/v0.1.0")
	}
	s.write("core/drv/more.go", "package drv\n")
	s.write("core/drv/CHANGELOG.md", "## [Unreleased]\n\n### Fixed\n\n- It.\n\n## [0.1.0]\n\n- All of it.\n")
	s.write("app/more.txt", "more\n")
	s.write("app/CHANGELOG.md", "## [Unreleased]\n\n## [0.5.0]\n\n- A leap.\n\n## [0.1.0]\n\n- All of it.\n")
	s.commit("drv, app: change")

	want := []string{"core v0.1.0→", "core/drv v0.1.0→v0.1.1", "app v0.1.0→v0.5.0"}
	if d := cmp.Diff(want, planned(t, s)); d != "" {
		t.Errorf("a nested module's change is not its parent's; notes or a section without a tag decide the version (-want +got):\n%s", d)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		what, want string
		do         func(s *sandbox)
	}{
		{"a tree without fault", "", func(*sandbox) {}},
		{"no change notes", "core/CHANGELOG.md has no section [Unreleased]", func(s *sandbox) {
			s.write("core/CHANGELOG.md", "# Changes\n")
		}},
		{"empty change notes", "core changed (1 commits since none yet) but its CHANGELOG.md does not say how", func(s *sandbox) {
			s.write("core/CHANGELOG.md", "## [Unreleased]\n")
		}},
		{"a sibling at another version", "app requires core at v0.2.0, but the tree is v0.1.0", func(s *sandbox) {
			s.write("app/go.mod", "module example.org/s/app\n\nrequire example.org/s/core v0.2.0\n")
		}},
		{"a sibling that go.work does not map", "app requires tools, but go.work maps no version", func(s *sandbox) {
			s.write("app/go.mod", "module example.org/s/app\n\nrequire example.org/s/tools v0.1.0\n")
		}},
		{"a requirement that is never released", "app is released but requires tools, which never is", func(s *sandbox) {
			s.write("app/go.mod", "module example.org/s/app\n\nrequire example.org/s/tools v0.1.0\n")
		}},
		{"a replace", "app/go.mod has a replace", func(s *sandbox) {
			s.write("app/go.mod", "module example.org/s/app\n\nreplace example.org/s/core => ../core\n")
		}},
		{"a tree version from nowhere", "siblings require core at v0.1.0, which is neither its last release (v0.3.0) nor its next (v0.4.0)", func(s *sandbox) {
			s.git("tag", "core/v0.3.0")
			s.write("core/more.go", "package core\n")
			s.commit("core: more")
		}},
		{"a tag without a section", "core/CHANGELOG.md has no section for v0.3.0, which is tagged", func(s *sandbox) {
			s.git("tag", "core/v0.3.0")
		}},
		{"a second major version under the old path", "core goes to v2.0.0, so its module path must end in /v2", func(s *sandbox) {
			s.write("core/CHANGELOG.md", "## [Unreleased]\n\n## [2.0.0]\n\n- All new.\n")
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := newSandbox(t)
			c.do(s)
			problems, err := s.open().Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(problems, "\n"); !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("check must say %q; it says %q", c.want, got)
			}
		})
	}
}

func TestPromoteAndTag(t *testing.T) {
	s := newSandbox(t)
	if _, err := s.open().Tags(t.Context()); err == nil || !strings.Contains(err.Error(), "core/CHANGELOG.md has no section for v0.1.0") {
		t.Errorf("error %v must ask for the section: what is tagged says what it is", err)
	}
	promoted, err := s.open().Promote(t.Context(), time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"core/v0.1.0", "core/drv/v0.1.0", "app/v0.1.0"}
	if d := cmp.Diff(want, promoted); d != "" {
		t.Errorf("promoted (-want +got):\n%s", d)
	}
	if _, err := s.open().Tags(t.Context()); err == nil || !strings.Contains(err.Error(), "not committed") {
		t.Errorf("error %v must refuse a tree that is not committed", err)
	}
	s.commit("promote")
	repo := s.open()
	tags, err := repo.Tags(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.git("tag") != "" {
		t.Error("asking for the tags made some")
	}
	if err := repo.Create(t.Context(), tags); err != nil {
		t.Fatal(err)
	}
	made := strings.Fields(s.git("tag"))
	slices.Sort(want)
	if d := cmp.Diff(want, made); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	if text := s.git("tag", "--list", "--format=%(objecttype) %(contents)", "core/v0.1.0"); !strings.HasPrefix(text, "tag core v0.1.0") || !strings.Contains(text, "### Added\n\n- All of it.") {
		t.Errorf("the tag must be annotated with the notes; it says %q", text)
	}
}
