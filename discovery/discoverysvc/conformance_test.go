package discoverysvc_test

import (
	"testing"

	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/binding/bindingtest"
	"github.com/goswale/swale/discovery/discoverysvc"
	"github.com/goswale/swale/discovery/memdiscovery"
)

// The client keeps what every store of bindings promises.
func TestBindingsConform(t *testing.T) {
	bindingtest.Run(t, func(t *testing.T) binding.Store {
		b := discoverysvc.DialBindings(serve(t, memdiscovery.NewStore(), discoverysvc.Options{}).url, nil)
		t.Cleanup(b.Close)
		return b
	})
}
