package repotest

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// NoReplace checks that no go.mod replaces a module.
func NoReplace(t *Tree) []Finding {
	var findings []Finding
	for _, m := range t.Modules {
		for _, r := range m.File.Replace {
			findings = append(findings, found(path.Join(m.Dir, "go.mod"), "replaces %s: map it in go.work instead (`go run ./tools/cmd/release tidy %s` leaves none)", r.Old.Path, m.Dir))
		}
	}
	return findings
}

// WorkFile checks that go.work uses every module but the tool pins, and that it
// maps each module that is required somewhere to its folder by a replace with a
// version.
func WorkFile(t *Tree) []Finding {
	var findings []Finding
	required := make(map[string]bool)
	for _, m := range t.Modules {
		switch {
		case m.Pin && m.Listed:
			findings = append(findings, found("go.work", "uses %s, which only pins tools: their requirements would join everyone's version selection", m.Dir))
		case !m.Pin && !m.Listed:
			findings = append(findings, found("go.work", "does not use %s: `go test work` passes it over", m.Dir))
		}
		for _, r := range m.File.Require {
			required[r.Mod.Path] = true
		}
	}
	for _, m := range t.Work.Modules {
		if required[m.Path] && m.Version == "" {
			findings = append(findings, found("go.work", "has no line `replace %s VERSION => ./%s`, although siblings require it", m.Path, m.Dir))
		}
	}
	for _, r := range t.Work.File.Replace {
		where := "go.work"
		switch m := t.Work.ByPath(r.Old.Path); {
		case m == nil:
			findings = append(findings, found(where, "replaces %s, which is no module of the workspace", r.Old.Path))
		case r.Old.Version == "":
			findings = append(findings, found(where, "replaces %s at every version: say which version the tree stands for", r.Old.Path))
		case path.Clean(r.New.Path) != m.Dir:
			findings = append(findings, found(where, "replaces %s by %s, but the module is in ./%s", r.Old.Path, r.New.Path, m.Dir))
		}
	}
	return findings
}

// Requires checks that siblings are required at the version that go.work maps,
// and that a module requires every sibling that it imports: inside the
// workspace a missing one goes unnoticed.
func Requires(t *Tree) []Finding {
	var findings []Finding
	for _, m := range t.Modules {
		where := path.Join(m.Dir, "go.mod")
		requires := make(map[string]bool)
		for _, r := range m.File.Require {
			requires[r.Mod.Path] = true
			if s := t.Work.ByPath(r.Mod.Path); s != nil && s.Version != "" && r.Mod.Version != s.Version {
				findings = append(findings, found(where, "requires %s at %s, but the tree is %s", s.Dir, r.Mod.Version, s.Version))
			}
		}
		for _, s := range importedSiblings(t, m) {
			if !requires[s] {
				findings = append(findings, found(where, "does not require %s, although its packages import it: `go run ./tools/cmd/release tidy %s`", s, m.Dir))
			}
		}
	}
	return findings
}

// importedSiblings are the paths of other modules of ours that m imports.
func importedSiblings(t *Tree, m *Module) []string {
	var siblings []string
	for _, p := range m.Packages {
		for _, s := range p.Sources {
			for _, importPath := range s.Imports {
				if o := t.Work.Owner(importPath); o != nil && o.Path != m.Path {
					siblings = append(siblings, o.Path)
				}
			}
		}
	}
	slices.Sort(siblings)
	return slices.Compact(siblings)
}

// ModuleFiles checks README.md, CHANGELOG.md with an Unreleased section, and
// LICENSE in every module but the tool pins.
func ModuleFiles(t *Tree) []Finding {
	var findings []Finding
	for _, m := range t.Modules {
		if m.Pin {
			continue
		}
		for _, want := range []struct{ name, text string }{
			{"README.md", "# "},
			{"CHANGELOG.md", "\n## [Unreleased]"},
			{"LICENSE", "Apache License"},
		} {
			name := path.Join(m.Dir, want.name)
			data, err := fs.ReadFile(t.FS, name)
			switch {
			case err != nil:
				findings = append(findings, found(name, "is missing"))
			case !strings.Contains(string(data), want.text):
				findings = append(findings, found(name, "does not contain %q", strings.TrimSpace(want.text)))
			}
		}
	}
	return findings
}
