package embedded_test

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
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

// The server says why it can't start, at once: not that it wasn't ready in time.
func TestAServerThatCantStartSaysWhy(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, opts := range map[string]*embedded.Options{
		"address already in use": {Dir: t.TempDir(), Port: port},
		"not a directory":        {Dir: filepath.Join(file, "data")},
	} {
		if _, err := embedded.Start(t.Context(), opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want … %s …", opts, err, want)
		}
	}
}
