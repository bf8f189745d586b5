package memdiscovery_test

import (
	"context"
	"errors"
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

// A driver that connects later is one.
func TestConformanceOfOneThatConnectsLater(t *testing.T) {
	store := memdiscovery.NewStore()
	discoverytest.Run(t, func(*testing.T) driver.Driver {
		fails := 1
		d := driver.Later(store.Driver(nil).Info(), func(context.Context) (driver.Driver, error) {
			if fails--; fails >= 0 {
				return nil, errors.New("not yet")
			}
			return store.Driver(nil), nil
		})
		if _, err := d.List(t.Context(), ""); err == nil {
			t.Error("the first call fails as the dialling does")
		}
		return d
	}, discoverytest.Features{})
}
