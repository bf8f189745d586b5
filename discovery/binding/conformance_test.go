package binding_test

import (
	"testing"

	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/binding/bindingtest"
)

func TestMemoryConforms(t *testing.T) {
	bindingtest.Run(t, func(*testing.T) binding.Store { return binding.NewMemory() })
}
