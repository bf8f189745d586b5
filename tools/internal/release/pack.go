package release

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// A fileProxy is a folder laid out as the GOPROXY protocol wants it, for
// GOPROXY=file://….
type fileProxy struct {
	dir  string
	time time.Time // of every version in it
}

// add packs the module in the folder src and returns its go.sum lines.
func (p fileProxy) add(v module.Version, src string) ([]string, error) {
	escaped, err := module.EscapePath(v.Path)
	if err != nil {
		return nil, err
	}
	goMod, err := os.ReadFile(filepath.Join(src, "go.mod"))
	if err != nil {
		return nil, err
	}
	at := filepath.Join(p.dir, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return nil, err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{v.Version, p.time})
	if err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{
		"list":              []byte(v.Version + "\n"),
		v.Version + ".info": info,
		v.Version + ".mod":  goMod,
	} {
		if err := os.WriteFile(filepath.Join(at, name), data, 0o644); err != nil {
			return nil, err
		}
	}
	zipFile := filepath.Join(at, v.Version+".zip")
	if err := createZip(zipFile, v, src); err != nil {
		return nil, fmt.Errorf("pack %s: %w", v, err)
	}
	return sums(v, zipFile, goMod)
}

func createZip(name string, v module.Version, src string) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	return zip.CreateFromDir(f, v, src)
}
