// Package rabbitbus is the bus on RabbitMQ, over AMQP 0-9-1. It works with
// RabbitMQ 3.10 and later, 4 among them, on one node or a cluster, and needs no plugin.
//
//	b, err := rabbitbus.Open(ctx, "amqp://guest:guest@localhost:5672/", nil)
//	if err != nil {
//		return err
//	}
//	defer b.Shutdown(context.Background())
//
// # Publish
//
// Events go to one topic exchange, the topic being the routing key, as persistent
// messages on a channel in confirm mode. Confirmations come in windows: as many
// events as bus.Options.Window allows are on their way at once. A confirmed event
// is fsynced by a majority of the replicas of every group's queue. An event that no
// group is bound for is confirmed and gone: groups begin when they are made.
//
// # Groups
//
// Each group of a topic is a quorum queue with a single active consumer, so that
// one process works and the next takes over, with what the first held coming
// first. GroupOptions.Shared makes a queue without that; the two don't mix, and
// the choice is made when the group is. Only Bus.DeleteGroup deletes one.
//
// A retry waits in the process that holds the event, so that order is kept and no
// delay queue or plugin is needed; the core does the same. RabbitMQ has no ack
// deadline that a consumer can extend: an event is delivered again when its
// process is gone or suspended, which heartbeats notice, or when it was held longer than the
// broker's consumer_timeout (30 min by default), so AckWait changes nothing. The
// broker's own delivery limit is put out of reach, because it drops; dead letters
// are the core's.
//
// # Broadcast
//
// Each subscription is an exclusive queue, which vanishes with the connection. So
// every reconnect is bus.Resumed with a hole. Events wait in a bounded buffer here;
// when it overruns, that is a hole too.
//
// # Request and reply
//
// Requests go to a queue per subject and group that exists while a server does;
// answers come by direct reply-to. Without a server the request is returned at once.
// A request is begun by one server at most: when that dies its caller is told.
// Cancels reach every server of the subject, and the one that has the request acts.
//
// # Connections
//
// Publishing and consuming have a connection each. Both come back by themselves,
// with everything that hangs on them, trying each node of a cluster in turn.
//
// # CloudEvents
//
// The binding for AMQP 1.0 carried over to 0-9-1, as others do: structured mode has
// the content type application/cloudevents+json, binary mode has the attributes as
// headers named "cloudEvents_…"; "cloudEvents:…", "ce_…" and "ce-…" are read too.
//
// # Streams
//
// A stream of value objects is a RabbitMQ stream. Its broadcasts go on where they
// were after a reconnect. The broker can't find a key's latest message, so a process
// that asks for one reads the stream from its beginning and keeps what the bounds
// allow; each question publishes a small mark and waits for it.
package rabbitbus
