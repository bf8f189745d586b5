// Package release prepares, proves and tags the releases of a workspace of Go
// modules.
//
//	repo, err := release.Open(ctx, ".")
//	if err != nil {
//		return err
//	}
//	err = repo.Rehearse(ctx, &release.RehearseOptions{Progress: os.Stderr})
//
// # Why a rehearsal
//
// go.work hides what a user would meet: a requirement that go.mod forgets, a
// go.sum that lacks a line, a package that only the tree has. The rehearsal packs
// every module as a proxy would serve it, turns the workspace off and builds each
// module from there; then it does what a stranger does in an empty folder.
//
// # Map
//
//	repo.go       a workspace in a git repository
//	git.go        what git knows: files, tags, commits
//	golang.go     running the go command
//	changelog.go  CHANGELOG.md: sections, notes, promotion
//	plan.go       what changed since the last tag, and the next version
//	check.go      what must hold before a release
//	tidy.go       go mod tidy for modules whose siblings nobody published
//	pack.go       one module as a file proxy serves it
//	sums.go       go.sum lines
//	rehearse.go   the whole proof
//	stranger.go   its second half: an empty folder
//	copies.go     its end: what swale new makes
//	tag.go        annotated tags
//
// # Concurrency
//
// A Repo is read-only after Open. Tidy, Promote and Tag change the tree or the
// repository and are for one caller at a time.
package release
