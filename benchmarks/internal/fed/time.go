package fed

import (
	"syscall"
	"time"
)

// ProcessorTime is what the process has used so far. Another process that takes
// turns on the core doesn't count.
func ProcessorTime() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}
