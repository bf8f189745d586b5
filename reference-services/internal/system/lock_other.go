//go:build !unix

package system

import "os"

// lockFile does nothing where there is no flock: there the ports that a second
// process can't have are the only guard.
func lockFile(*os.File) error { return nil }
