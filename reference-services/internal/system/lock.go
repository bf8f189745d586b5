package system

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrLocked is wrapped by the error of a second process that wants a data
// directory that is in use.
var ErrLocked = errors.New("the data directory is in use")

// dirLock keeps a directory to one process. The lock goes with the process,
// however it ends.
type dirLock struct{ file *os.File }

// lockDir makes the directory if need be, and locks it.
func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("the data directory %s can't be made: %w; choose another one with --data", dir, err)
	}
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("the data directory %s can't be written to: %w; make it writable, or choose another one with --data", dir, err)
	}
	if err := lockFile(file); err != nil {
		owner, _ := io.ReadAll(io.LimitReader(file, 32))
		_ = file.Close()
		if errors.Is(err, ErrLocked) {
			by := ""
			if pid := strings.TrimSpace(string(owner)); pid != "" {
				by = " by process " + pid
			}
			return nil, fmt.Errorf("%w%s: %s; stop that one, or choose another directory with --data", ErrLocked, by, dir)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// Whose it is helps people; the lock doesn't depend on it.
	if file.Truncate(0) == nil {
		_, _ = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &dirLock{file}, nil
}

// release gives the directory free. It may be called on nil.
func (l *dirLock) release() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}
