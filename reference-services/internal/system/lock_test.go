//go:build unix

package system

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestADirectoryBelongsToOneAtATime(t *testing.T) {
	dir := t.TempDir()
	first, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockDir(dir)
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("second lock: %v; it must be refused with ErrLocked", err)
	}
	for _, want := range []string{dir, "process " + strconv.Itoa(os.Getpid()), "--data"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q doesn't mention %q; it must say which directory, who has it and what to do", err, want)
		}
	}
	if err := first.release(); err != nil {
		t.Fatal(err)
	}
	again, err := lockDir(dir)
	if err != nil {
		t.Fatalf("lock after release: %v; the directory is free again", err)
	}
	if err := again.release(); err != nil {
		t.Fatal(err)
	}
}

func TestAPortInUseIsExplained(t *testing.T) {
	l, err := listen(t.Context(), "127.0.0.1:0", "listen")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, err = listen(t.Context(), l.Addr().String(), "listen")
	if err == nil {
		t.Fatal("the port is in use, so listening must fail")
	}
	for _, want := range []string{l.Addr().String(), "in use", "--listen"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q doesn't mention %q; it must say what to do", err, want)
		}
	}
	if got := after("127.0.0.1:8080", 2); got != "127.0.0.1:8082" {
		t.Errorf("after 8080 by 2 comes %s", got)
	}
	if got := after("127.0.0.1:0", 2); got != "127.0.0.1:0" {
		t.Errorf("any port stays any port, got %s", got)
	}
}
