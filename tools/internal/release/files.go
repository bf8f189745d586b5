package release

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// copyFile copies one regular file and makes the folders above it. A file that
// git lists but somebody has deleted is left out, as a commit would.
func copyFile(dst, src string) error {
	info, err := os.Lstat(src)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil // module archives hold regular files only
	}
	if err != nil {
		return err
	}
	data, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	return os.WriteFile(dst, data, info.Mode().Perm())
}

// readLines returns the lines of a file, none when there is no file.
func readLines(name string) ([]string, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return lines(string(data)), err
}

// writeLines writes the lines, or no file when there are none.
func writeLines(name string, all []string) error {
	if len(all) == 0 {
		return nil
	}
	return os.WriteFile(name, []byte(strings.Join(all, "\n")+"\n"), 0o644)
}

// fileURL returns the file: URL of a folder.
func fileURL(dir string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
}
