package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Write writes the copy into a folder that is empty or not there yet. It writes
// all of it, or leaves things as they were.
func (c *Copy) Write(dir string) (err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("%w; the folder must be empty or not there yet", err)
	case len(entries) > 0:
		return fmt.Errorf("%s isn't empty, it has %s: name another folder by --dir", dir, entries[0].Name())
	}
	made, err := makeDir(dir)
	if err != nil {
		return err
	}
	var moved []string
	defer func() {
		if err == nil {
			return
		}
		for _, name := range moved {
			err = errors.Join(err, os.RemoveAll(name))
		}
		if made != "" {
			err = errors.Join(err, os.RemoveAll(made))
		}
	}()
	// Everything is written beside where it belongs, on the same disk, and then moved.
	stage, err := os.MkdirTemp(dir, ".swale-new-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	var tops []string
	for _, f := range c.files {
		name := filepath.Join(stage, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { //nolint:gosec // source code, for all who work on it
			return err
		}
		if err := os.WriteFile(name, f.data, 0o644); err != nil { //nolint:gosec // the same
			return err
		}
		top, _, _ := strings.Cut(f.name, "/")
		tops = append(tops, top)
	}
	slices.Sort(tops)
	for _, top := range slices.Compact(tops) {
		to := filepath.Join(dir, top)
		if err := os.Rename(filepath.Join(stage, top), to); err != nil {
			return err
		}
		moved = append(moved, to)
	}
	return nil
}

// makeDir makes a folder with those above it and returns the topmost that wasn't
// there.
func makeDir(dir string) (made string, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = d
	}
	return made, os.MkdirAll(dir, 0o755) //nolint:gosec // source code, for all who work on it
}
