package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/goswale/swale/tools/workspace"
)

// A Step is what the plan says about one module.
type Step struct {
	Module *workspace.Module
	// Last is the version of the last tag, empty before the first release.
	Last string
	// Next is the version to release now, empty when nothing changed.
	Next string
	// Why says where Next comes from.
	Why string
	// Commits are the subjects of the commits since Last, newest first.
	Commits []string
	// Notes are the change notes that Next would carry.
	Notes string
}

// Plan says for every released module, in the order in which they build, what
// changed since its last tag and which version comes next. The next version is
// the newest that CHANGELOG.md has a section for and no tag; otherwise the notes
// under [Unreleased] decide how far it moves.
func (r *Repo) Plan(ctx context.Context) ([]Step, error) {
	ordered, err := r.Work.Order()
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, m := range ordered {
		if !Released(m) {
			continue
		}
		s, err := r.step(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("plan %s: %w", m.Dir, err)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func (r *Repo) step(ctx context.Context, m *workspace.Module) (Step, error) {
	s := Step{Module: m}
	var err error
	if s.Last, err = r.git.lastTag(ctx, m.Dir); err != nil {
		return s, err
	}
	tag := ""
	if s.Last != "" {
		tag = m.Dir + "/" + s.Last
	}
	if s.Commits, err = r.git.commits(ctx, tag, m.Dir, r.nested(m)); err != nil {
		return s, err
	}
	notes, err := r.changelog(m)
	if err != nil {
		return s, err
	}
	s.Notes = notes.notes()
	if len(s.Commits) == 0 && s.Last != "" {
		s.Why = "nothing changed since " + s.Last
		return s, nil
	}
	newest := notes.newest()
	switch {
	case newest != "" && (s.Last == "" || semver.Compare(newest, s.Last) > 0):
		s.Next, s.Why = newest, "CHANGELOG.md has its section"
		s.Notes, _ = notes.section(strings.TrimPrefix(newest, "v"))
	case s.Last == "":
		s.Next, s.Why = FirstVersion, "the first release"
	default:
		b := bumpOf(s.Notes)
		s.Next, s.Why = b.next(s.Last), fmt.Sprintf("the notes under [%s] are a %s step", unreleased, b)
	}
	return s, nil
}

// changelog reads the module's change notes; a module without any has none.
func (r *Repo) changelog(m *workspace.Module) (changelog, error) {
	data, err := os.ReadFile(r.file(m, "CHANGELOG.md"))
	if errors.Is(err, fs.ErrNotExist) {
		return changelog{}, nil
	}
	return parseChangelog(string(data)), err
}

// treeVersion is the version that the tree stands for: the one siblings require,
// else the planned one, else the last released.
func treeVersion(m *workspace.Module, steps []Step) string {
	if m.Version != "" {
		return m.Version
	}
	for _, s := range steps {
		switch {
		case s.Module != m:
		case s.Next != "":
			return s.Next
		case s.Last != "":
			return s.Last
		}
	}
	return FirstVersion
}
