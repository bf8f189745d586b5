package embedded_test

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/goswale/swale/bus/natsbus/embedded"
)

// A server that is well says nothing to a program that logs what it does itself.
func TestAServerThatIsWellIsQuiet(t *testing.T) {
	var said bytes.Buffer
	server, err := embedded.Start(t.Context(), &embedded.Options{Dir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	server.Shutdown()
	if said.Len() > 0 {
		t.Errorf("it said\n%s", &said)
	}
}
