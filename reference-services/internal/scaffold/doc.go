// Package scaffold copies a reference service into a module of its own, under
// another name.
//
//	c, err := scaffold.Plan(reference.Sources(), scaffold.Request{Kind: scaffold.Domain, Name: "menus"})
//	…
//	err = c.Write("./menus")
//
// What is copied is the service's own folder, its tests, README and program
// included: code that the repository compiles, lints and tests where it is.
// Nothing is a template. Plan renames what the service is called and what it is
// about, in code and in words (words.go, rename.go), and makes a go.mod of what
// the copy imports (module.go). What only this city needs, the import of its file
// and the invented restaurants, stays behind.
//
// Plan touches no file system. Write is all or nothing.
package scaffold
