package natsbus

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Who reads it in a log must know what to mend, and no password.
func TestOpenSaysWhereItCouldNotConnect(t *testing.T) {
	for url, want := range map[string]string{
		"":                                     "natsbus: the URL is empty; it is such as nats://127.0.0.1:4222",
		"http://127.0.0.1:1":                   "natsbus: the URL http://127.0.0.1:1 begins with http; it must be nats, tls, ws or wss",
		"nats://127.0.0.1:1,amqp://me:pw@x:1":  "natsbus: the URL amqp://x:1 begins with amqp",
		"nats://127.0.0.1:1":                   "natsbus: connect to nats://127.0.0.1:1: ",
		"127.0.0.1:1":                          "natsbus: connect to 127.0.0.1:1: ",
		"nats://me:secret@127.0.0.1:1":         "natsbus: connect to nats://127.0.0.1:1: ",
		"nats://secret@127.0.0.1:1,nats://[::": "natsbus: the URL can't be parsed: parse ",
		"nats://me:se cret%zz@127.0.0.1:1":     "natsbus: the URL can't be parsed; is what is no letter or digit in its name and password escaped, as %40 for @?",
		"nats://me:secret#1@127.0.0.1:1":       "natsbus: the URL can't be parsed; ",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := Open(ctx, url, nil)
		cancel()
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "cret%") {
			t.Errorf("Open(%q): %v, want %s…", url, err, want)
		}
	}
	if err := checkURL("", true); err != nil {
		t.Errorf("options that say how to connect need no URL: %v", err)
	}
	if err := checkURL(nats.DefaultURL+", tls://b:4222", false); err != nil {
		t.Error(err)
	}
}
