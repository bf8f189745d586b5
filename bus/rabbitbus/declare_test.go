package rabbitbus

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus/driver"
)

// declarations notes the queues that are declared on it.
type declarations struct {
	channel
	queues []declaration
	global bool
}

type declaration struct {
	name                           string
	durable, autoDelete, exclusive bool
	args                           amqp.Table
}

func (d *declarations) ExchangeDeclare(string, string, bool, bool, bool, bool, amqp.Table) error {
	return nil
}

func (d *declarations) ExchangeBind(string, string, string, bool, amqp.Table) error { return nil }

func (d *declarations) QueueDeclare(name string, durable, autoDelete, exclusive, _ bool, args amqp.Table) (amqp.Queue, error) {
	d.queues = append(d.queues, declaration{name, durable, autoDelete, exclusive, args})
	return amqp.Queue{Name: name}, nil
}

func (d *declarations) QueueBind(string, string, string, bool, amqp.Table) error { return nil }

func (d *declarations) Qos(_, _ int, global bool) error {
	d.global = d.global || global
	return nil
}

func (d *declarations) Consume(string, string, bool, bool, bool, bool, amqp.Table) (<-chan amqp.Delivery, error) {
	return nil, nil
}

// TestNothingIsLeftToDefaults is about later brokers than the one at hand: what
// RabbitMQ 4 has other defaults for, or may refuse, must be said or not be asked for.
func TestNothingIsLeftToDefaults(t *testing.T) {
	c, d := &conn{names: names{"p"}}, new(declarations)
	for name, err := range map[string]error{
		"group":     c.declareGroup(d, "t", "g", false),
		"shared":    c.declareGroup(d, "t", "h", true),
		"broadcast": second((&passing{c: c, topic: "t"}).declare(d)),
		"server":    second((&server{c: c, subject: "s", queue: "q"}).declare(d)),
	} {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if d.global {
		t.Error("a prefetch for a whole channel is deprecated in RabbitMQ 4")
	}
	quorum := 0
	for _, q := range d.queues {
		kind := q.args["x-queue-type"]
		if kind == nil {
			t.Errorf("queue %q: without a type it gets the default of its virtual host", q.name)
		}
		if !q.durable && !q.exclusive {
			t.Errorf("queue %q: queues that are shared and transient are deprecated in RabbitMQ 4", q.name)
		}
		if kind != "quorum" {
			continue
		}
		quorum++
		if limit, ok := integer(q.args["x-delivery-limit"]); !ok || limit < 1<<20 {
			t.Errorf("queue %q: RabbitMQ 4 drops what was delivered 20 times unless another limit is set; it is %v", q.name, limit)
		}
		if !q.durable || q.autoDelete || q.exclusive {
			t.Errorf("queue %q: a group is durable", q.name)
		}
	}
	if quorum != 2 {
		t.Errorf("groups have quorum queues: %d of 2", quorum)
	}
	var defaults Options
	defaults.fill()
	if defaults.MaxPayload > 16<<20 {
		t.Errorf("RabbitMQ 4 takes 16 MiB unless it is configured otherwise, not %d bytes", defaults.MaxPayload)
	}
	s := &stream{c: c, bounds: driver.StreamConfig{MaxBytes: 1 << 30}}
	if args := s.args(); args["x-queue-type"] != "stream" || args["x-max-length-bytes"] == nil || args["x-max-age"] == nil {
		t.Errorf("a stream's bounds are %v", args)
	}
}

func second[T any](_ T, err error) error { return err }
