package memdiscovery_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/goswale/swale/discovery/discoverytest"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/memdiscovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	store := memdiscovery.NewStore()
	discoverytest.Run(t, func(*testing.T) driver.Driver { return store.Driver(nil) }, discoverytest.Features{})
}
