package memconfig_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/goswale/swale/configsvc/configtest"
	"github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/memconfig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	configtest.Run(t, func(*testing.T) configtest.Open {
		d := memconfig.New()
		return func(*testing.T) driver.Driver { return d }
	})
}
