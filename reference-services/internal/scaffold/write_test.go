package scaffold

import (
	"os"
	"path/filepath"
	"testing"
)

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

func TestWriteIsAllOrNothing(t *testing.T) {
	good := &Copy{files: []file{{"a.go", nil}, {"cmd/x/main.go", []byte("package main\n")}}}
	home, empty := t.TempDir(), t.TempDir()
	for what, bad := range map[string]*Copy{
		"a file that is a folder too":     {files: []file{{"a.go", nil}, {"b", nil}, {"b/c", nil}}},
		"a file that isn't where it says": {files: []file{{"a.go", nil}, {"b/../c", nil}}}, // found when others have been moved
	} {
		if err := bad.Write(filepath.Join(home, "deep", "er")); err == nil {
			t.Errorf("%s was written", what)
		}
		if left := entries(t, home); len(left) > 0 {
			t.Errorf("%s: the error left %v", what, left)
		}
		if err := bad.Write(empty); err == nil {
			t.Errorf("%s was written", what)
		}
		if left := entries(t, empty); len(left) > 0 {
			t.Errorf("%s: the error left %v in a folder that was empty", what, left)
		}
	}
	for _, dir := range []string{empty, filepath.Join(home, "deep", "er")} {
		if err := good.Write(dir); err != nil {
			t.Fatal(err)
		}
		if got := entries(t, dir); len(got) != 2 {
			t.Errorf("%s has %v; want a.go and cmd", dir, got)
		}
		if data, err := os.ReadFile(filepath.Join(dir, "cmd", "x", "main.go")); err != nil || string(data) != "package main\n" {
			t.Errorf("%q, %v", data, err)
		}
	}

	if err := os.Remove(filepath.Join(empty, "a.go")); err != nil {
		t.Fatal(err)
	}
	if err := good.Write(empty); err == nil {
		t.Error("it wrote into a folder that isn't empty")
	}
	if got := entries(t, empty); len(got) != 1 {
		t.Errorf("refused, it left %v", got)
	}
	if err := good.Write(filepath.Join(empty, "cmd", "x", "main.go")); err == nil {
		t.Error("it wrote over a file")
	}
}
