package natsdiscovery_test

import (
	"strings"
	"testing"

	"github.com/goswale/swale/discovery/natsdiscovery"
)

// What is wrong with a URL is said before anything is asked for, and without its
// password.
func TestOpenRefusesWrongURLs(t *testing.T) {
	for url, want := range map[string]string{
		"":                                 "natsdiscovery: the URL is empty; it is such as nats://127.0.0.1:4222",
		"amqp://me:secret@127.0.0.1:1":     "natsdiscovery: the URL begins with amqp; it must be nats, tls, ws or wss",
		"nats://me:secret#1@127.0.0.1:1":   "natsdiscovery: the URL can't be parsed; ",
		"nats://me:secret %zz@127.0.0.1:1": "natsdiscovery: the URL can't be parsed; ",
	} {
		_, err := natsdiscovery.Open(t.Context(), url, nil)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q): %v, want %s…", url, err, want)
		}
	}
	if _, err := natsdiscovery.FromConn(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "*nats.Conn is nil") {
		t.Errorf("FromConn without a connection: %v", err)
	}
}
