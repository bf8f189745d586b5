package workspace

import (
	"fmt"
	"slices"
	"strings"
)

// Order returns the modules so that each comes after those that it requires.
// Modules that do not depend on each other keep their order by folder. It fails
// when modules require each other in a circle, because then none of them can
// be packed before the other's sums are known.
func (w *Workspace) Order() ([]*Module, error) {
	var (
		ordered []*Module
		state   = make(map[*Module]visit, len(w.Modules))
		trail   []string
		add     func(m *Module) error
	)
	add = func(m *Module) error {
		switch state[m] {
		case finished:
			return nil
		case entered:
			return fmt.Errorf("modules require each other in a circle: %s", strings.Join(append(trail, m.Dir), " → "))
		}
		state[m] = entered
		trail = append(trail, m.Dir)
		for _, s := range w.Siblings(m) {
			if err := add(s); err != nil {
				return err
			}
		}
		trail = trail[:len(trail)-1]
		state[m] = finished
		ordered = append(ordered, m)
		return nil
	}
	for _, m := range w.Modules {
		if err := add(m); err != nil {
			return nil, err
		}
	}
	return ordered, nil
}

// visit is how far the walk over the requirements has come with one module.
type visit int

const (
	_ visit = iota
	entered
	finished
)

// Needs returns the modules that m requires, directly or through others, in
// the order in which they build.
func (w *Workspace) Needs(m *Module) ([]*Module, error) {
	ordered, err := w.Order()
	if err != nil {
		return nil, err
	}
	wanted := map[*Module]bool{m: true}
	for _, o := range slices.Backward(ordered) {
		if wanted[o] {
			for _, s := range w.Siblings(o) {
				wanted[s] = true
			}
		}
	}
	var needs []*Module
	for _, o := range ordered {
		if wanted[o] && o != m {
			needs = append(needs, o)
		}
	}
	return needs, nil
}
