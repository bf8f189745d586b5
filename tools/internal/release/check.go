package release

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/goswale/swale/tools/workspace"
)

// Check returns what stands against a release, one sentence each: missing change
// notes, versions that do not agree, a released module that requires one that
// never is.
func (r *Repo) Check(ctx context.Context) ([]string, error) {
	steps, err := r.Plan(ctx)
	if err != nil {
		return nil, err
	}
	var problems []string
	for _, m := range r.Work.Modules {
		problems = append(problems, r.checkRequires(m)...)
	}
	for _, s := range steps {
		notes, err := r.changelog(s.Module)
		if err != nil {
			return nil, err
		}
		problems = append(problems, checkNotes(s, notes)...)
		problems = append(problems, checkVersion(s)...)
	}
	return problems, nil
}

func (r *Repo) checkRequires(m *workspace.Module) []string {
	var problems []string
	if len(m.File.Replace) > 0 {
		problems = append(problems, fmt.Sprintf("%s/go.mod has a replace, which nobody who depends on the module would get: run `release tidy %s`", m.Dir, m.Dir))
	}
	for _, req := range m.File.Require {
		s := r.Work.ByPath(req.Mod.Path)
		switch {
		case s == nil:
		case s.Version == "":
			problems = append(problems, fmt.Sprintf("%s requires %s, but go.work maps no version of it to ./%s", m.Dir, s.Dir, s.Dir))
		case s.Version != req.Mod.Version:
			problems = append(problems, fmt.Sprintf("%s requires %s at %s, but the tree is %s", m.Dir, s.Dir, req.Mod.Version, s.Version))
		}
		if s != nil && Released(m) && !Released(s) {
			problems = append(problems, fmt.Sprintf("%s is released but requires %s, which never is", m.Dir, s.Dir))
		}
	}
	return problems
}

func checkNotes(s Step, notes changelog) []string {
	var problems []string
	if _, ok := notes.section(unreleased); !ok {
		problems = append(problems, fmt.Sprintf("%s/CHANGELOG.md has no section [%s]", s.Module.Dir, unreleased))
	}
	if s.Next != "" && !strings.Contains(s.Notes, "- ") {
		problems = append(problems, fmt.Sprintf("%s changed (%d commits since %s) but its CHANGELOG.md does not say how", s.Module.Dir, len(s.Commits), orNothing(s.Last)))
	}
	if s.Last != "" {
		if _, ok := notes.section(strings.TrimPrefix(s.Last, "v")); !ok {
			problems = append(problems, fmt.Sprintf("%s/CHANGELOG.md has no section for %s, which is tagged", s.Module.Dir, s.Last))
		}
	}
	return problems
}

func checkVersion(s Step) []string {
	var problems []string
	if v := s.Module.Version; v != "" && v != s.Last && v != s.Next {
		problems = append(problems, fmt.Sprintf("siblings require %s at %s, which is neither its last release (%s) nor its next (%s)", s.Module.Dir, v, orNothing(s.Last), orNothing(s.Next)))
	}
	if m := semver.Major(s.Next); s.Next != "" && m != "v0" && m != "v1" && !strings.HasSuffix(s.Module.Path, "/"+m) {
		problems = append(problems, fmt.Sprintf("%s goes to %s, so its module path must end in /%s", s.Module.Dir, s.Next, m))
	}
	return problems
}

func orNothing(version string) string {
	if version == "" {
		return "none yet"
	}
	return version
}
