package memauth_test

import (
	"testing"

	"github.com/goswale/swale/auth/authtest"
	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/auth/memauth"
)

func TestConformance(t *testing.T) {
	authtest.Run(t, func(*testing.T) driver.Store { return memauth.New() })
}
