package rabbitbus

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

// classic are the arguments of a queue that needn't outlive anything. They name the
// type, because a virtual host may have another default.
func classic() amqp.Table { return amqp.Table{"x-queue-type": "classic"} }

// names are the names of what the driver declares at the broker. A colon keeps
// their parts apart, which no topic or group contains.
type names struct{ prefix string }

func (n names) events() string   { return n.prefix + ".events" }
func (n names) requests() string { return n.prefix + ".requests" }

// key is a topic's routing key.
func (n names) key(topic string) string { return short(topic) }

func (n names) queue(topic, group string) string { return short(n.prefix + ":" + topic + ":" + group) }

// stream is the name of a stream. Topics aren't empty, so no group's queue has it.
func (n names) stream(topic string) string { return short(n.prefix + "::" + topic) }

// group is the exchange of those who serve a subject together.
func (n names) group(subject, group string) string {
	return short(n.prefix + ":requests:" + subject + ":" + group)
}

// servers is the queue that they have at one of their places.
func (n names) servers(subject, group string, place int) string {
	name := n.prefix + ":requests:" + subject + ":" + group
	if place > 0 {
		name += ":" + strconv.Itoa(place)
	}
	return short(name)
}

// joining is the queue that one of them has who joins.
func (n names) joining(subject, group string) string {
	return short(n.prefix + ":requests:" + subject + ":" + group + ":joining")
}

// cancels is the routing key by which servers of a subject hear of cancels.
func (n names) cancels(subject string) string { return short("cancel:" + subject) }

// short keeps a name under AMQP's 255 bytes by a hash of the whole.
func short(name string) string {
	if len(name) <= 250 {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:180] + "#" + hex.EncodeToString(sum[:])
}
