package release

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// goCommand runs the go command in a chosen environment.
type goCommand struct {
	dir string
	env []string // added to the process's environment
}

// run returns what the command printed on its standard output; a failure carries
// what it printed on either.
func (g goCommand) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), g.env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, tail(stdout.String()+stderr.String(), 30))
	}
	return stdout.String(), nil
}

// in returns the same command in another folder.
func (g goCommand) in(dir string) goCommand {
	return goCommand{dir: dir, env: slices.Clip(g.env)}
}

// with returns the same command with more environment.
func (g goCommand) with(env ...string) goCommand {
	return goCommand{dir: g.dir, env: append(slices.Clip(g.env), env...)}
}

// goEnv asks the go command for the values of its variables.
func goEnv(ctx context.Context, dir string, names ...string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "go", append([]string{"-C", dir, "env"}, names...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	values := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(values) != len(names) {
		return nil, fmt.Errorf("go env printed %d values for %d names", len(values), len(names))
	}
	return values, nil
}

// tail returns the last n lines of text.
func tail(text string, n int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}
