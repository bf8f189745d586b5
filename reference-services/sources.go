// Package reference holds the reference services' source code, from which the
// command `swale new` copies.
package reference

import (
	"embed"
	"io/fs"
)

//go:embed go.mod
//go:embed restaurants/*.go restaurants/README.md restaurants/cmd
//go:embed storefront/*.go storefront/*.html storefront/*.css storefront/*.svg storefront/README.md storefront/cmd
var sources embed.FS

// Sources returns the folders of the services that stand alone, and the go.mod that
// says what they need.
func Sources() fs.FS { return sources }
