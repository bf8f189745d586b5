package repotest

import (
	"path"
	"slices"
	"strings"
)

// A Row is one line of the import table.
type Row struct {
	// Module is the module's folder. "bus/*" stands for every module nested in
	// bus that has no row of its own.
	Module string
	// May are the folders of the modules it may import, "*" for any.
	May []string
	// Companion says that a nested module is no driver: those who may import
	// any core may import it too.
	Companion bool
}

// Table returns the import table of the design: each module and which of ours
// it may import. Drivers are the nested modules; besides the rows here only
// programs (package main), tests and the reference services import them.
func Table() []Row {
	anything := []string{"*"}
	return []Row{
		{Module: "hal"},
		{Module: "hal/*", May: []string{"hal"}},
		{Module: "cache"},
		{Module: "cache/*", May: []string{"cache"}},
		{Module: "bus"},
		{Module: "bus/*", May: []string{"bus"}},
		{Module: "bus/outbox", May: []string{"bus"}, Companion: true},
		{Module: "bus/httpbus", May: []string{"bus"}, Companion: true},
		{Module: "resn", May: []string{"bus", "cache", "hal"}},
		{Module: "resn/*", May: []string{"resn", "bus", "cache", "hal"}},
		{Module: "discovery"},
		{Module: "discovery/*", May: []string{"discovery"}},
		{Module: "discovery/discoverysvc", May: []string{"discovery", "hal", "resn", "bus", "cache"}, Companion: true},
		// Its service announces changes and its clients hear of them, so both are
		// given a *bus.Bus, as resn's own constructors are.
		{Module: "configsvc", May: []string{"bus", "hal", "resn"}},
		{Module: "configsvc/*", May: []string{"bus", "configsvc", "hal", "resn"}},
		// The same, and a cache of its own size for the issuer's keys.
		{Module: "auth", May: []string{"bus", "cache", "hal", "resn"}},
		{Module: "auth/*", May: []string{"auth", "bus", "cache", "hal", "resn"}},
		{Module: "service", May: cores()},
		{Module: "service/*", May: append([]string{"service"}, cores()...)},
		{Module: "reference-services", May: anything},
		{Module: "reference-services/*", May: anything},
		{Module: "benchmarks", May: anything},
		{Module: "benchmarks/*", May: anything},
		{Module: "tools", May: anything},
		{Module: "tools/*", May: anything},
		{Module: "internal/repotest", May: anything},
		{Module: "internal/system", May: anything},
	}
}

// cores are the modules that the chassis composes.
func cores() []string {
	return []string{"hal", "cache", "bus", "bus/outbox", "bus/httpbus", "resn", "discovery", "configsvc", "auth"}
}

// row returns the table's line for a module: its own, else that for the modules
// nested in its parent.
func row(dir string) (Row, bool) {
	table := Table()
	for _, name := range []string{dir, path.Dir(dir) + "/*"} {
		if i := slices.IndexFunc(table, func(r Row) bool { return r.Module == name }); i >= 0 {
			return table[i], true
		}
	}
	return Row{}, false
}

// Imports checks every import of one of our modules against the Table, and that
// in-memory drivers and conformance packages stay out of what others link.
func Imports(t *Tree) []Finding {
	var findings []Finding
	for _, m := range t.Modules {
		if m.Pin {
			continue
		}
		r, known := row(m.Dir)
		if !known {
			findings = append(findings, found(m.Dir, "the module has no row in the import table (internal/repotest/imports.go): say there what it may import"))
			continue
		}
		for _, p := range m.Packages {
			for _, s := range p.Sources {
				for _, importPath := range s.Imports {
					if what := forbidden(t, r, p, s, importPath); what != "" {
						findings = append(findings, found(s.Name, "imports %s: %s", importPath, what))
					}
				}
			}
		}
	}
	return findings
}

// forbidden says why the source may not import the path, or nothing.
func forbidden(t *Tree, r Row, p *Package, s *Source, importPath string) string {
	owner := t.moduleOf(strings.TrimPrefix(importPath, t.Work.Prefix+"/"))
	if owner == nil || !strings.HasPrefix(importPath, t.Work.Prefix+"/") {
		return ""
	}
	if slices.Contains(r.May, "*") {
		return ""
	}
	program, loose := p.Name() == "main", s.Test || p.Name() == "main" || strings.HasSuffix(p.Name(), "test")
	if !loose && owner != p.Module && inMemory(importPath) {
		return "an in-memory driver or conformance package is for tests, examples and programs"
	}
	if owner == p.Module || program || slices.Contains(r.May, owner.Dir) {
		return ""
	}
	core := path.Dir(owner.Dir)
	if ofCore := slices.Contains(r.May, core) || p.Module.Dir == core; s.Test && core != "." && ofCore {
		return "" // a test may drive a core that it may import with a real driver
	}
	if len(r.May) == 0 {
		return "the table lets " + p.Module.Dir + " import none of our modules"
	}
	return "the table lets " + p.Module.Dir + " import only " + strings.Join(r.May, ", ")
}

// inMemory reports whether the path names a core's in-memory driver or
// conformance package: bus/membus, bus/bustest.
func inMemory(importPath string) bool {
	base := path.Base(importPath)
	return strings.HasPrefix(base, "mem") || strings.HasSuffix(base, "test")
}

// Circles checks that the modules can be ordered so that each comes after those
// it requires.
func Circles(t *Tree) []Finding {
	if _, err := t.Work.Order(); err != nil {
		return []Finding{found("go.work", "%v", err)}
	}
	return nil
}
