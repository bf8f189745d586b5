//go:build unix

package system

import (
	"errors"
	"os"
	"syscall"
)

// lockFile takes the lock that ends with the file or the process.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}
