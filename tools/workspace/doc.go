// Package workspace reads the modules of a Go workspace: what go.work lists,
// what each go.mod says, and in which order the modules build on each other.
//
//	w, err := workspace.Load(os.DirFS("."))
//	if err != nil {
//		return err
//	}
//	ordered, err := w.Order()
//	for _, m := range ordered {
//		fmt.Fprintln(out, m.Dir, m.Path, m.Version)
//	}
//
// # Versions
//
// No sibling of an unreleased tree is published, so each go.mod requires its
// siblings at the version that the tree stands for, and go.work says by a
// versioned replace that this version is the folder beside it. That version is
// [Module.Version].
//
// # Errors
//
// Load fails when go.work or a go.mod it lists cannot be read or parsed. What
// is readable but against the rules (a replace in a go.mod, a module that
// go.work forgets) is for the caller to judge.
//
// # Concurrency
//
// Everything here is read-only after Load and safe for concurrent use.
package workspace
