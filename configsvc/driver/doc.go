// Package driver is the contract between configuration and where it is kept.
// Programs don't use it; who writes a driver implements [Driver] and proves it
// with package configtest.
//
// What is kept is a log of commits, numbered 1, 2, 3 without holes: the
// revision. A commit changes one or more keys at once. Everything else is read
// from the log: what a key was at a revision, what happened to it, where the log
// was at a moment. Nothing is ever changed in it, and a deletion is a commit
// like any other.
//
// Drivers translate. Names, limits, JSON, secrets and permissions are the
// business of package store, which is the only caller.
package driver
