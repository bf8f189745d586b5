package etcddiscovery_test

import (
	"context"
	"strings"
	"testing"

	"github.com/goswale/swale/discovery/etcddiscovery"
)

// What is wrong with an endpoint is said at once, who doesn't answer is named, and
// no password is.
func TestOpenSaysWhoItCouldNotReach(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for want, endpoints := range map[string][]string{
		"there are no endpoints":            nil,
		"endpoint 1 is empty":               {"127.0.0.1:2379", ""},
		"endpoint 0 begins with ftp":        {"ftp://me:secret@127.0.0.1:1"},
		"connect to http://127.0.0.1:1, b:": {"http://me:secret@127.0.0.1:1", "b"},
	} {
		_, err := etcddiscovery.Open(gone, endpoints, nil)
		if err == nil || !strings.HasPrefix(err.Error(), "etcddiscovery: "+want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q): %v, want etcddiscovery: %s…", endpoints, err, want)
		}
	}
}
