package scaffold

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/mod/modfile"
)

// requirements makes the go.mod of a copy: what its files import, at the versions
// that the services it comes from were tested with. What those need in turn is
// added by go mod tidy.
func requirements(sources fs.FS, modulePath string, files []file) ([]byte, error) {
	data, err := fs.ReadFile(sources, "go.mod")
	if err != nil {
		return nil, err
	}
	known, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return nil, err
	}
	imported := make(map[string]bool)
	for _, f := range files {
		if path.Ext(f.name) != ".go" {
			continue
		}
		code, err := parser.ParseFile(token.NewFileSet(), f.name, f.data, parser.ImportsOnly)
		if err != nil {
			return nil, err
		}
		for _, spec := range code.Imports {
			imported[owner(known, strings.Trim(spec.Path.Value, `"`))] = true
		}
	}
	made := new(modfile.File)
	if err := made.AddModuleStmt(modulePath); err != nil {
		return nil, err
	}
	if err := made.AddGoStmt(known.Go.Version); err != nil {
		return nil, err
	}
	for _, r := range known.Require {
		if imported[r.Mod.Path] {
			made.AddNewRequire(r.Mod.Path, r.Mod.Version, false)
		}
	}
	made.SetRequireSeparateIndirect(made.Require)
	made.Cleanup()
	text, err := made.Format()
	if err != nil {
		return nil, fmt.Errorf("go.mod: %w", err)
	}
	return text, nil
}

// owner is the module among the known ones that has a package, or nothing.
func owner(known *modfile.File, importPath string) string {
	best := ""
	for _, r := range known.Require {
		if (importPath == r.Mod.Path || strings.HasPrefix(importPath, r.Mod.Path+"/")) && len(r.Mod.Path) > len(best) {
			best = r.Mod.Path
		}
	}
	return best
}
