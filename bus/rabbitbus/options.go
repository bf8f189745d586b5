package rabbitbus

import (
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/goswale/swale/bus"
)

// Options are the options of Open. The zero value is useful.
type Options struct {
	// Bus are the options of the bus itself.
	Bus bus.Options
	// TLS configures amqps connections. Default: the URL's host, the system's roots.
	TLS *tls.Config
	// Name is the connections' name in the broker's listings. Default "swale".
	Name string
	// Prefix begins the name of everything that is declared. Buses with different
	// prefixes don't see each other. Default "swale".
	Prefix string
	// Replicas is on how many nodes a group's queue is made, and what Durability
	// says. The cluster must have as many; the broker takes what it has without
	// a word. It counts when a group is made and must be the same everywhere.
	// Default 0: the broker's default, and Durability names one.
	Replicas int
	// Heartbeat is how often either side says that it is alive. After three times
	// as long without a word the connection is dead. Default 3 s, at least 1 s.
	Heartbeat time.Duration
	// ConfirmTimeout is how long the broker may withhold a confirmation before the
	// events count as failed and the connection is made anew. Default 30 s.
	ConfirmTimeout time.Duration
	// MaxPayload is the largest message that the broker takes. Default 16 MiB, the
	// broker's own since version 4; earlier versions take 128 MiB.
	MaxPayload int
	// Buffer is how many messages, and BufferBytes how many bytes, wait here for one
	// broadcast handler before the subscription is Lost and Resumed with a hole.
	// Default 65536 and 64 MiB.
	Buffer, BufferBytes int

	declared func(queue string) // told of each durable queue, for tests
}

func (o *Options) fill() {
	if o.Name == "" {
		o.Name = "swale"
	}
	if o.Prefix == "" {
		o.Prefix = "swale"
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = 3 * time.Second
	}
	o.Heartbeat = max(o.Heartbeat, time.Second)
	if o.ConfirmTimeout <= 0 {
		o.ConfirmTimeout = 30 * time.Second
	}
	if o.MaxPayload <= 0 {
		o.MaxPayload = 16 << 20
	}
	if o.Buffer <= 0 {
		o.Buffer = 65536
	}
	if o.BufferBytes <= 0 {
		o.BufferBytes = 64 << 20
	}
	if o.Bus.Logger == nil {
		o.Bus.Logger = slog.New(slog.DiscardHandler)
	}
}
