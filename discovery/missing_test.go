package discovery_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/memdiscovery"
)

// What a constructor can't do without is named where it is missing, not by a nil
// dereference in the first request.
func TestWhatIsMissingIsNamed(t *testing.T) {
	for want, construct := range map[string]func(){
		"discovery: New: the driver is nil":                  func() { discovery.New(nil, nil) },
		"discovery: NewResolver: the *Registry is nil":       func() { discovery.NewResolver(nil, nil) },
		"discovery: NewTransport: the *Resolver is nil":      func() { discovery.NewTransport(nil, nil, nil) },
		"discovery: NewChecker: the *Registry is nil":        func() { discovery.NewChecker(nil, nil) },
		"binding: NewTable: the Store is nil":                func() { binding.NewTable(nil, nil) },
		"binding: NewRamper: the *Table is nil":              func() { binding.NewRamper(nil) },
		"discovery: watch: the function that is told is nil": func() { panic(memdiscovery.New(nil).Watch(t.Context(), "", nil)) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, want) {
					t.Errorf("%s, want %s…", got, want)
				}
			}()
			construct()
		}()
	}
}
