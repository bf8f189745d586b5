package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"golang.org/x/mod/semver"
)

// git runs git in one repository.
type git struct{ root string }

func (g git) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", g.root}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if _, failed := errors.AsType[*exec.ExitError](err); failed {
			return "", fmt.Errorf("git %s: %s", strings.Join(args, " "), strings.TrimSpace(stderr.String()))
		}
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}

// files returns the files below dir that git knows or would take, without those
// in the nested folders.
func (g git) files(ctx context.Context, dir string, nested []string) ([]string, error) {
	args := append([]string{"ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"}, pathspec(dir, nested)...)
	out, err := g.run(ctx, args...)
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(out, func(r rune) bool { return r == 0 }), nil
}

// lastTag returns the highest version that a tag DIR/vX.Y.Z names, or nothing.
func (g git) lastTag(ctx context.Context, dir string) (string, error) {
	out, err := g.run(ctx, "tag", "--list", dir+"/v*")
	if err != nil {
		return "", err
	}
	last := ""
	for tag := range strings.FieldsSeq(out) {
		if v := strings.TrimPrefix(tag, dir+"/"); semver.IsValid(v) && (last == "" || semver.Compare(v, last) > 0) {
			last = v
		}
	}
	return last, nil
}

// commits returns the subjects of the commits that touched dir since the tag,
// newest first, or of all where there is no tag.
func (g git) commits(ctx context.Context, tag, dir string, nested []string) ([]string, error) {
	args := []string{"log", "--format=%h %s"}
	if tag != "" {
		args = append(args, tag+"..HEAD")
	}
	out, err := g.run(ctx, append(append(args, "--"), pathspec(dir, nested)...)...)
	if err != nil {
		return nil, err
	}
	return lines(out), nil
}

// dirty returns what is not committed, as git status says it.
func (g git) dirty(ctx context.Context) ([]string, error) {
	out, err := g.run(ctx, "status", "--porcelain")
	return lines(out), err
}

// pathspec names dir without the nested folders.
func pathspec(dir string, nested []string) []string {
	spec := []string{dir}
	for _, n := range nested {
		spec = append(spec, ":(exclude)"+n)
	}
	return spec
}

// lines splits text into its lines and drops empty ones.
func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}
