package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/goswale/swale/tools/workspace"
)

// RehearseOptions are the choices of a rehearsal. Nil means all defaults.
type RehearseOptions struct {
	// Modules are the folders of the modules to prove; those they need are
	// proved too. Default: all.
	Modules []string
	// ModCache is a module cache to use and keep, for a rehearsal that is
	// repeated. What it holds of our own modules is deleted first. Default: an
	// empty one, deleted at the end.
	ModCache string
	// Cold fetches everything from the proxies. Without it, what the machine
	// has downloaded before is one more proxy; the module cache is empty, or
	// ModCache, either way.
	Cold bool
	// Progress receives a line per step. Default: nowhere.
	Progress io.Writer
}

// Rehearse proves that the modules can be released: with the workspace off and
// siblings only from a file proxy packed out of this tree, each module tidies
// without a change to go.mod, vets and builds; then each released module is
// fetched and compiled in an empty folder. It goes on after a module fails and
// returns all failures.
func (r *Repo) Rehearse(ctx context.Context, opts *RehearseOptions) (err error) {
	if opts == nil {
		opts = &RehearseOptions{}
	}
	modules, err := r.selection(opts.Modules)
	if err != nil {
		return err
	}
	steps, err := r.Plan(ctx)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "release-rehearsal-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	h := &rehearsal{repo: r, steps: steps, dir: tmp, out: opts.Progress, sums: make(map[string][]string)}
	if h.out == nil {
		h.out = io.Discard
	}
	if err := h.prepare(ctx, opts); err != nil {
		return err
	}
	started := time.Now()
	var failures []error
	for _, m := range modules {
		if err := h.prove(ctx, m); err != nil {
			failures = append(failures, err)
		}
	}
	if len(failures) == 0 {
		for _, m := range modules {
			if !Released(m) {
				continue
			}
			if err := h.stranger(ctx, m); err != nil {
				failures = append(failures, err)
			}
		}
	}
	h.say("%d modules, %d failures, %s", len(modules), len(failures), round(time.Since(started)))
	return errors.Join(failures...)
}

// selection returns the named modules with what they need, in the order in
// which they build.
func (r *Repo) selection(names []string) ([]*workspace.Module, error) {
	named, err := r.Select(names)
	if err != nil {
		return nil, err
	}
	ordered, err := r.Work.Order()
	if err != nil {
		return nil, err
	}
	wanted := make(map[*workspace.Module]bool)
	for _, m := range named {
		needs, err := r.Work.Needs(m)
		if err != nil {
			return nil, err
		}
		wanted[m] = true
		for _, n := range needs {
			wanted[n] = true
		}
	}
	return slices.DeleteFunc(ordered, func(m *workspace.Module) bool { return !wanted[m] }), nil
}

// rehearsal is one run.
type rehearsal struct {
	repo   *Repo
	steps  []Step
	dir    string // all of its files, deleted at the end
	out    io.Writer
	golang goCommand
	proxy  fileProxy
	sums   map[string][]string // go.sum lines by folder of the packed module
}

func (h *rehearsal) say(format string, args ...any) {
	fmt.Fprintf(h.out, "rehearse: "+format+"\n", args...)
}

// prepare lays out the proxy and the environment of the go command.
func (h *rehearsal) prepare(ctx context.Context, opts *RehearseOptions) error {
	env, err := goEnv(ctx, h.repo.Root, "GOPROXY", "GOMODCACHE", "GONOSUMDB", "GOFLAGS")
	if err != nil {
		return err
	}
	goproxy, downloads, noSumDB, flags := env[0], filepath.Join(env[1], "cache", "download"), env[2], env[3]

	modCache := opts.ModCache
	if modCache == "" {
		modCache = filepath.Join(h.dir, "modcache")
	} else if modCache, err = filepath.Abs(modCache); err != nil {
		return err
	}
	if err := forget(modCache, h.repo.Work.Prefix); err != nil {
		return err
	}
	h.proxy = fileProxy{dir: filepath.Join(h.dir, "proxy"), time: time.Now().UTC()}
	proxies := []string{fileURL(h.proxy.dir)}
	if _, err := os.Stat(downloads); err == nil && !opts.Cold {
		proxies = append(proxies, fileURL(downloads))
	}
	h.golang = goCommand{env: []string{
		"GOWORK=off",
		"GOMODCACHE=" + modCache,
		"GOPROXY=" + strings.Join(append(proxies, goproxy), ","),
		"GONOSUMDB=" + strings.Trim(h.repo.Work.Prefix+","+noSumDB, ","),
		// What is built from one version is the same in every folder, so the
		// build cache serves the next rehearsal; and what was written can be
		// deleted.
		"GOFLAGS=" + strings.TrimSpace(flags+" -trimpath -modcacherw"),
	}}
	h.say("module cache %s, proxies %s", describeCache(opts), strings.Join(append(proxies, goproxy), ", "))
	return nil
}

func describeCache(opts *RehearseOptions) string {
	if opts.ModCache != "" {
		return opts.ModCache
	}
	return "empty"
}

// forget deletes from a module cache what it holds of our own modules: they are
// packed anew under the same versions.
func forget(modCache, prefix string) error {
	escaped, err := module.EscapePath(prefix)
	if err != nil {
		return err
	}
	for _, dir := range []string{"", "cache/download"} {
		if err := os.RemoveAll(filepath.Join(modCache, filepath.FromSlash(path.Join(dir, escaped)))); err != nil {
			return fmt.Errorf("forget our modules in the module cache (written without -modcacherw?): %w", err)
		}
	}
	return nil
}

// prove packs one module and builds it from the proxy.
func (h *rehearsal) prove(ctx context.Context, m *workspace.Module) error {
	version, started := treeVersion(m, h.steps), time.Now()
	err := func() error {
		src, err := h.stage(ctx, m)
		if err != nil {
			return err
		}
		golang := h.golang.in(src)
		if err := h.tidies(ctx, m, golang); err != nil {
			return err
		}
		if err := builds(ctx, golang); err != nil {
			return err
		}
		h.sums[m.Dir], err = h.proxy.add(module.Version{Path: m.Path, Version: version}, src)
		return err
	}()
	if err != nil {
		h.say("%-24s %s FAILED (%s)", m.Dir, version, round(time.Since(started)))
		return fmt.Errorf("%s: %w", m.Dir, err)
	}
	h.say("%-24s %s tidies, vets, builds, packed (%s)", m.Dir, version, round(time.Since(started)))
	return nil
}

// stage copies the module's files to a folder outside the tree and writes the
// sums of its siblings into go.sum.
func (h *rehearsal) stage(ctx context.Context, m *workspace.Module) (string, error) {
	dst := filepath.Join(h.dir, "stage", filepath.FromSlash(m.Dir))
	files, err := h.repo.git.files(ctx, m.Dir, h.repo.nested(m))
	if err != nil {
		return "", err
	}
	for _, name := range files {
		rel := strings.TrimPrefix(name, m.Dir+"/")
		if err := copyFile(filepath.Join(dst, filepath.FromSlash(rel)), filepath.Join(h.repo.Root, filepath.FromSlash(name))); err != nil {
			return "", err
		}
	}
	needs, err := h.repo.Work.Needs(m)
	if err != nil {
		return "", err
	}
	var all []string
	for _, n := range needs {
		if h.sums[n.Dir] == nil {
			return "", fmt.Errorf("needs %s, which failed", n.Dir)
		}
		all = append(all, h.sums[n.Dir]...)
	}
	sum, err := readLines(filepath.Join(dst, "go.sum"))
	if err != nil {
		return "", err
	}
	return dst, writeLines(filepath.Join(dst, "go.sum"), append(foreign([]byte(strings.Join(sum, "\n")), h.repo.Work.Prefix), all...))
}

// tidies runs go mod tidy and reports what it changed: nothing in go.mod, and in
// go.sum only lines about our own modules.
func (h *rehearsal) tidies(ctx context.Context, m *workspace.Module, golang goCommand) error {
	goMod, goSum := filepath.Join(golang.dir, "go.mod"), filepath.Join(golang.dir, "go.sum")
	modBefore, err := readLines(goMod)
	if err != nil {
		return err
	}
	sumBefore, err := readLines(goSum)
	if err != nil {
		return err
	}
	if _, err := golang.run(ctx, "mod", "tidy"); err != nil {
		return err
	}
	modAfter, err := readLines(goMod)
	if err != nil {
		return err
	}
	sumAfter, err := readLines(goSum)
	if err != nil {
		return err
	}
	prefix := h.repo.Work.Prefix
	text := func(l []string) []byte { return []byte(strings.Join(l, "\n")) }
	diff := difference(modBefore, modAfter)
	diff = append(diff, difference(foreign(text(sumBefore), prefix), foreign(text(sumAfter), prefix))...)
	if len(diff) > 0 {
		return fmt.Errorf("is not tidy, run `release tidy %s`:\n%s", m.Dir, strings.Join(diff, "\n"))
	}
	return nil
}

// builds vets and builds the module's packages, if it has any.
func builds(ctx context.Context, golang goCommand) error {
	packages, err := golang.run(ctx, "list", "./...")
	if err != nil || packages == "" {
		return err
	}
	if _, err := golang.run(ctx, "vet", "./..."); err != nil {
		return err
	}
	_, err = golang.run(ctx, "build", "-o", os.DevNull, "./...")
	return err
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }
