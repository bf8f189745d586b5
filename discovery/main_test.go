package discovery_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		fmt.Fprintln(os.Stderr, serveMenu())
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}
