package release

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
)

// sums are the two go.sum lines of one module version.
func sums(v module.Version, zipFile string, goMod []byte) ([]string, error) {
	whole, err := dirhash.HashZip(zipFile, dirhash.Hash1)
	if err != nil {
		return nil, fmt.Errorf("sum %s: %w", v, err)
	}
	mod, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(goMod)), nil
	})
	if err != nil {
		return nil, fmt.Errorf("sum the go.mod of %s: %w", v, err)
	}
	return []string{
		fmt.Sprintf("%s %s %s", v.Path, v.Version, whole),
		fmt.Sprintf("%s %s/go.mod %s", v.Path, v.Version, mod),
	}, nil
}

// foreign returns the lines of a go.sum that are about others' modules.
func foreign(goSum []byte, prefix string) []string {
	var kept []string
	for _, line := range lines(string(goSum)) {
		if !strings.HasPrefix(line, prefix+"/") {
			kept = append(kept, line)
		}
	}
	return kept
}

// difference returns the lines that b has over a and the reverse, marked + and -.
func difference(a, b []string) []string {
	var diff []string
	for _, line := range a {
		if !slices.Contains(b, line) {
			diff = append(diff, "- "+line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			diff = append(diff, "+ "+line)
		}
	}
	return diff
}
