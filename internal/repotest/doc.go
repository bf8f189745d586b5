// Package repotest holds the rules of this repository as functions over a file
// tree, and the tests that apply them to the tree we stand in.
//
//	tree, err := repotest.Load(os.DirFS("../.."), nil)
//	if err != nil {
//		return err
//	}
//	for _, rule := range repotest.Rules() {
//		for _, f := range rule.Check(tree) {
//			fmt.Println(rule.Name, f, rule.Why)
//		}
//	}
//
// # Map
//
//	tree.go       what a rule can see: files, modules, packages, sources
//	rules.go      the list of rules, each with its reason
//	imports.go    who may import whom: the table of the design as data
//	modules.go    go.mod, go.work, README, CHANGELOG, LICENSE
//	packages.go   package docs, names, the testing package, examples
//	sources.go    length, sleeps, hosts and machine paths
//	links.go      links, commands and make targets in Markdown
//	readme.go     Go code in READMEs compiles
//
// # Adding a rule
//
// Write a function from *Tree to []Finding, name it in Rules with the reason a
// reader of a red build needs, and add a tree that breaks it to broken in
// rules_test.go: a rule without a broken tree fails the tests.
//
// # Concurrency
//
// A Tree is read-only once loaded; rules may run side by side.
package repotest
