package scaffold

import (
	"go/scanner"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
)

// identifiers are the names that a file uses by themselves, without a dot before
// them.
type identifiers map[string]bool

// identifiersOf reads a Go file.
func identifiersOf(data []byte) identifiers {
	var s scanner.Scanner
	s.Init(token.NewFileSet().AddFile("", -1, len(data)), data, nil, 0)
	all := identifiers{}
	before, name := token.EOF, ""
	for {
		_, tok, text := s.Scan()
		if name != "" && tok != token.COLON { // else it is a key in a literal
			all[name] = true
		}
		if tok == token.EOF {
			return all
		}
		name = ""
		if tok == token.IDENT && before != token.PERIOD && before != token.PACKAGE {
			name = text
		}
		before = tok
	}
}

// clash returns an identifier that renaming would give a second meaning, or
// nothing. Those with a small letter are the package's name, where it is imported,
// and mean something in their file; the others are its types, and do so in the
// whole package.
func clash(used map[string]identifiers, rename func(string) string) string {
	packages := make(map[string]identifiers)
	for file, names := range used {
		dir := path.Dir(file)
		if packages[dir] == nil {
			packages[dir] = identifiers{}
		}
		if !strings.HasSuffix(file, "_test.go") {
			maps.Copy(packages[dir], names)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(used)) {
		for _, old := range slices.Sorted(maps.Keys(used[file])) {
			now := rename(old)
			if now != old && (used[file][now] || token.IsExported(now) && packages[path.Dir(file)][now]) {
				return now
			}
		}
	}
	return ""
}
