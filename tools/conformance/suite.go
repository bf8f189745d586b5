package conformance

import (
	"bufio"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed suite
var pinned embed.FS

// Version returns the version of the test suite.
func Version() string {
	data, err := pinned.ReadFile("suite/package.json")
	if err != nil {
		return ""
	}
	var p struct{ Dependencies map[string]string }
	if err := json.Unmarshal(data, &p); err != nil {
		return ""
	}
	return p.Dependencies["http-cache-tests"]
}

// A Suite is the tests, installed.
type Suite struct {
	dir string
	// Log receives what the tests and their origin say besides results.
	// Default: nowhere.
	Log io.Writer
}

// Install puts the pinned tests into the folder dir with npm, unless they are
// there.
func Install(ctx context.Context, dir string) (*Suite, error) {
	changed := false
	for _, name := range []string{"package.json", "package-lock.json", "run.mjs"} {
		data, err := pinned.ReadFile("suite/" + name)
		if err != nil {
			return nil, err
		}
		if old, err := os.ReadFile(filepath.Join(dir, name)); err == nil && string(old) == string(data) {
			continue
		}
		changed = changed || name != "run.mjs"
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return nil, err
		}
	}
	_, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	if err == nil && !changed {
		return &Suite{dir: dir}, nil
	}
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("install the test suite: npm ci: %w\n%s", err, out)
	}
	return &Suite{dir: dir}, nil
}

// Run runs the tests, all or those with the given ids, through a proxy over rt,
// and returns them with their results.
func (s *Suite) Run(ctx context.Context, rt http.RoundTripper, ids ...string) (tests []Test, err error) {
	node := exec.CommandContext(ctx, "node", append([]string{"run.mjs"}, ids...)...)
	node.Dir = s.dir
	var lament strings.Builder
	node.Stderr = &lament
	if s.Log != nil {
		node.Stderr = io.MultiWriter(&lament, s.Log)
	}
	stdin, err := node.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := node.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := node.Start(); err != nil {
		return nil, fmt.Errorf("run the test suite: %w", err)
	}
	defer func() {
		stdin.Close()
		if waitErr := node.Wait(); err != nil || waitErr != nil {
			err = fmt.Errorf("run the test suite: %w\n%s", errors.Join(err, waitErr), lament.String())
		}
	}()
	said := bufio.NewReader(stdout)
	var hello struct{ Origin string }
	if err := readJSON(said, &hello); err != nil {
		return nil, err
	}
	origin, err := url.Parse(hello.Origin)
	if err != nil {
		return nil, err
	}
	proxy := httptest.NewServer(Proxy(origin, rt))
	defer proxy.Close()
	if _, err := fmt.Fprintln(stdin, proxy.URL); err != nil {
		return nil, err
	}
	var results struct{ Tests []Test }
	if err := readJSON(said, &results); err != nil {
		return nil, err
	}
	if len(results.Tests) == 0 {
		return nil, fmt.Errorf("the suite ran no test; is there one called %s?", strings.Join(ids, ", "))
	}
	return results.Tests, nil
}

// readJSON reads one line of the runner.
func readJSON(r *bufio.Reader, v any) error {
	line, err := r.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return errors.New("it ended before it said its results")
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}
