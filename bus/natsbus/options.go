package natsbus

import (
	"time"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus"
)

// Options are the options of Open and FromConn. The zero value is useful. The
// options of storage count when the JetStream stream is made; one that is there
// already is taken as it is.
type Options struct {
	// Bus are the options of the bus itself.
	Bus bus.Options
	// Conn are further options of the connection that Open makes, such as
	// credentials, TLS, nats.Name, or nats.InProcessServer.
	Conn []nats.Option
	// Prefix begins every subject and stream name. Buses with different prefixes
	// don't see each other. Default "swale".
	Prefix string
	// Core sends events by core NATS, past JetStream, which need not be there: about
	// three times as fast, and kept nowhere. Publish returns when the connection
	// has taken them; whoever listens then gets them, at most once. Events are
	// numbered, so that a broadcast that misses some says so before the next one
	// of the same publisher. Groups answer errors.ErrUnsupported. The topics are apart from those of
	// buses without Core; a program that wants both opens two buses, with FromConn
	// on one connection.
	Core bool
	// Shards is over how many JetStream streams the topics are spread, each with
	// its own leader in a cluster. All processes must agree. Default 1.
	Shards int
	// Replicas is on how many servers events are kept. Default 1.
	Replicas int
	// InMemory keeps events in the servers' memory instead of files.
	InMemory bool
	// Synced says that the server is configured with sync_interval "always". It
	// changes nothing but what Bus.Durability says.
	Synced bool
	// Retention is how long events are kept for groups that are away. Default 72 h.
	Retention time.Duration
	// MaxBytes bounds each JetStream stream of events; the oldest give way, also
	// those that a group hasn't seen. Default 0, no bound but the server's.
	MaxBytes int64
	// Deduplicate has JetStream drop an event whose topic, source and id it has seen
	// within its window of two minutes. It costs a header per event.
	Deduplicate bool
	// AckTimeout is how long a publish waits for JetStream's confirmation before it
	// counts as failed and may be sent again. Default 5 s.
	AckTimeout time.Duration
	// Heartbeat is how often a broadcast subscription hears from the server when
	// there is nothing to say. After two and a half times as long it is Lost.
	// Default 500 ms, at least 100 ms.
	Heartbeat time.Duration
	// PinTTL is after how much silence the working member of a group is replaced.
	// Default 5 s, at least 1 s.
	PinTTL time.Duration
	// Buffer is how many messages wait for one broadcast handler here; more wait at
	// the server. Default 8192. With Core nothing waits at the server: more are a
	// hole, and the default is 65536.
	Buffer int
}

func (o *Options) fill() {
	if o.Prefix == "" {
		o.Prefix = "swale"
	}
	if o.Shards <= 0 {
		o.Shards = 1
	}
	if o.Replicas <= 0 {
		o.Replicas = 1
	}
	if o.Retention <= 0 {
		o.Retention = 72 * time.Hour
	}
	if o.AckTimeout <= 0 {
		o.AckTimeout = 5 * time.Second
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = 500 * time.Millisecond
	}
	o.Heartbeat = max(o.Heartbeat, 100*time.Millisecond)
	if o.PinTTL <= 0 {
		o.PinTTL = 5 * time.Second
	}
	o.PinTTL = max(o.PinTTL, time.Second)
	if o.Buffer <= 0 {
		o.Buffer = 8192
		if o.Core {
			o.Buffer = 65536
		}
	}
}
