package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// A Tag is one annotated tag to create.
type Tag struct {
	Name    string // "cache/v0.1.0"
	Message string
}

// Tags returns the tags of the planned release, in the order in which the
// modules build. It fails, naming every reason, when the tree is not what the
// tags would say.
func (r *Repo) Tags(ctx context.Context) ([]Tag, error) {
	problems, err := r.Check(ctx)
	if err != nil {
		return nil, err
	}
	dirty, err := r.git.dirty(ctx)
	if err != nil {
		return nil, err
	}
	if len(dirty) > 0 {
		problems = append(problems, "the tree has changes that are not committed: "+strings.Join(dirty, ", "))
	}
	steps, err := r.Plan(ctx)
	if err != nil {
		return nil, err
	}
	var tags []Tag
	for _, s := range steps {
		if s.Next == "" {
			continue
		}
		notes, err := r.changelog(s.Module)
		if err != nil {
			return nil, err
		}
		text, ok := notes.section(strings.TrimPrefix(s.Next, "v"))
		if !ok {
			problems = append(problems, fmt.Sprintf("%s/CHANGELOG.md has no section for %s: run `release promote` and commit", s.Module.Dir, s.Next))
		}
		tags = append(tags, Tag{
			Name:    s.Module.Dir + "/" + s.Next,
			Message: fmt.Sprintf("%s %s\n\n%s\n", s.Module.Dir, s.Next, text),
		})
	}
	if len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "\n"))
	}
	return tags, nil
}

// Create makes the annotated tags at HEAD. It pushes nothing.
func (r *Repo) Create(ctx context.Context, tags []Tag) error {
	for _, tag := range tags {
		// Headings of the notes begin with #, which git would strip as a
		// comment.
		if _, err := r.git.run(ctx, "tag", "--annotate", "--cleanup=whitespace", "--message="+tag.Message, tag.Name); err != nil {
			return err
		}
	}
	return nil
}

// Promote moves, in every module that the plan releases, the notes under
// [Unreleased] under the version that comes next. It returns the versions it
// wrote, as tag names.
func (r *Repo) Promote(ctx context.Context, day time.Time) ([]string, error) {
	steps, err := r.Plan(ctx)
	if err != nil {
		return nil, err
	}
	var promoted []string
	for _, s := range steps {
		notes, err := r.changelog(s.Module)
		if err != nil {
			return nil, err
		}
		if _, done := notes.section(strings.TrimPrefix(s.Next, "v")); s.Next == "" || done {
			continue
		}
		name := r.file(s.Module, "CHANGELOG.md")
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		moved, err := promote(string(text), s.Next, day)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Module.Dir, err)
		}
		if err := os.WriteFile(name, []byte(moved), 0o644); err != nil {
			return nil, err
		}
		promoted = append(promoted, s.Module.Dir+"/"+s.Next)
	}
	return promoted, nil
}
