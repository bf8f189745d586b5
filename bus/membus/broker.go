package membus

import (
	"sync"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/driver"
)

// Options are the options of New and Broker.Connect. The zero value is useful.
type Options struct {
	// Bus are the options of the bus itself.
	Bus bus.Options
	// Faults make bad days; nil is none.
	Faults *Faults
	// Buffer is how many messages wait for one broadcast handler before the
	// subscription loses some and says so. Default 65536.
	Buffer int
	// MaxPayload bounds a message. Default 0, no bound but bus.Options.MaxEventBytes.
	MaxPayload int
}

// New returns a bus of its own. nil is fine for opts.
func New(opts *Options) *bus.Bus { return NewBroker().Connect(opts) }

// Broker is what several buses of one process meet at. It is safe for concurrent
// use and holds no goroutine of its own.
type Broker struct {
	mu       sync.Mutex
	topics   map[string]*topic
	streams  map[string]*stream
	services map[string]*service
}

// NewBroker returns an empty broker.
func NewBroker() *Broker {
	return &Broker{topics: make(map[string]*topic), streams: make(map[string]*stream), services: make(map[string]*service)}
}

// Connect returns a bus at the broker. nil is fine for opts.
func (r *Broker) Connect(opts *Options) *bus.Bus {
	c := &conn{broker: r}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Buffer <= 0 {
		c.opts.Buffer = 65536
	}
	if c.opts.Faults == nil {
		c.opts.Faults = new(Faults)
	}
	c.opts.Faults.attach(c)
	return bus.New(c, &c.opts.Bus)
}

// conn is one connection, the driver of one bus.
type conn struct {
	broker *Broker
	opts   Options

	mu      sync.Mutex
	sinks   map[*listener]struct{}
	members map[*member]struct{}
	closed  bool
}

// topic is one topic's state; the broker's mutex guards it.
type topic struct {
	seq       uint64
	groups    map[string]*group
	listeners map[*listener]struct{}
}

func (r *Broker) topic(name string) *topic {
	t := r.topics[name]
	if t == nil {
		t = &topic{groups: make(map[string]*group), listeners: make(map[*listener]struct{})}
		r.topics[name] = t
	}
	return t
}

// copyOf gives each receiver its own bytes: receivers own what they get.
func copyOf(m driver.Message) driver.Message {
	m.Body = append([]byte(nil), m.Body...)
	if m.Attributes != nil {
		m.Attributes = append([]driver.Attribute(nil), m.Attributes...)
	}
	return m
}
