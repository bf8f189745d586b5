package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/goswale/swale/tools/internal/release"
)

func plan(ctx context.Context, c call) error {
	f := c.flags("plan")
	verbose := f.Bool("v", false, "list the commits since the last tag")
	repo, err := open(ctx, c, f)
	if err != nil {
		return err
	}
	steps, err := repo.Plan(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MODULE\tLAST\tCOMMITS\tNEXT\tWHY")
	for _, s := range steps {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", s.Module.Dir, dash(s.Last), len(s.Commits), dash(s.Next), s.Why)
		if *verbose {
			for _, commit := range s.Commits {
				fmt.Fprintf(w, "    %s\n", commit)
			}
		}
	}
	return w.Flush()
}

func check(ctx context.Context, c call) error {
	repo, err := open(ctx, c, c.flags("check"))
	if err != nil {
		return err
	}
	problems, err := repo.Check(ctx)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n"))
	}
	fmt.Fprintf(c.out, "check: change notes and versions of %d modules agree\n", len(repo.Work.Modules))
	return nil
}

func rehearse(ctx context.Context, c call) error {
	f := c.flags("rehearse")
	opts := &release.RehearseOptions{Progress: c.progress}
	f.StringVar(&opts.ModCache, "modcache", "", "use and keep the module cache in this `folder` (default: an empty one)")
	f.BoolVar(&opts.Cold, "cold", false, "take nothing from what this machine downloaded before")
	repo, err := open(ctx, c, f)
	if err != nil {
		return err
	}
	opts.Modules = f.Args()
	return repo.Rehearse(ctx, opts)
}

func tidy(ctx context.Context, c call) error {
	f := c.flags("tidy")
	var get []string
	f.Func("get", "add a requirement first, a module `query` like example.com/x@v1.2.3; may be repeated", func(s string) error {
		get = append(get, s)
		return nil
	})
	repo, err := open(ctx, c, f)
	if err != nil {
		return err
	}
	modules, err := repo.Select(f.Args())
	if err != nil {
		return err
	}
	for _, m := range modules {
		changed, err := repo.Tidy(ctx, m, get)
		if err != nil {
			return fmt.Errorf("tidy %s: %w", m.Dir, err)
		}
		said := "was tidy"
		if changed {
			said = "tidied"
		}
		fmt.Fprintf(c.out, "tidy: %-24s %s\n", m.Dir, said)
	}
	return nil
}

func promote(ctx context.Context, c call) error {
	repo, err := open(ctx, c, c.flags("promote"))
	if err != nil {
		return err
	}
	promoted, err := repo.Promote(ctx, time.Now())
	for _, name := range promoted {
		fmt.Fprintf(c.out, "promote: %s\n", name)
	}
	return err
}

func tag(ctx context.Context, c call) error {
	f := c.flags("tag")
	dry := f.Bool("n", false, "only print the tags")
	repo, err := open(ctx, c, f)
	if err != nil {
		return err
	}
	tags, err := repo.Tags(ctx)
	if err != nil {
		return fmt.Errorf("no tags, because\n%w", err)
	}
	for _, t := range tags {
		fmt.Fprintf(c.out, "tag: %s\n", t.Name)
	}
	if *dry {
		return nil
	}
	return repo.Create(ctx, tags)
}

// open parses the flags and reads the workspace.
func open(ctx context.Context, c call, f interface{ Parse([]string) error }) (*release.Repo, error) {
	if err := f.Parse(c.args); err != nil {
		return nil, errors.Join(err, errUsage)
	}
	return release.Open(ctx, ".")
}

func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
