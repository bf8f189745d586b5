package rabbitbus

import (
	"strings"
	"testing"
)

// Who reads it in a log must know where, and no password.
func TestOpenSaysWhereItCouldNotConnect(t *testing.T) {
	for url, want := range map[string]string{
		"amqp://me:secret@127.0.0.1:1/v":                    "rabbitbus: connect to amqp://127.0.0.1:1/v: ",
		"amqp://me:secret@127.0.0.1:1/,amqp://127.0.0.1:2/": "connect to amqp://127.0.0.1:2/: ",
		"":                 "connect to a URL that isn't such as amqp://name:password@127.0.0.1:5672/: ",
		"me:secret@host":   "connect to a URL that isn't such as ",
		"nats://127.0.0.1": "connect to nats://127.0.0.1: AMQP scheme must be ",
	} {
		_, err := Open(t.Context(), url, nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q): %v, want %s…", url, err, want)
		}
	}
}
