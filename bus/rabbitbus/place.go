package rabbitbus

import (
	"context"
	"errors"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The queue in which a group's requests wait is on one node. While that is away
// RabbitMQ 3 lets nobody declare or delete the queue, and RabbitMQ 4 has it deleted.
// Its servers then take another place: a queue with the next name, or the same one
// anew. Requests come to it by an exchange of the group's own, which is deleted first,
// so that the old queue gets none when its node is back.

// places is how many queues a group may have, of which one is served: as many nodes
// but one may be away.
const places = 3

// work is what a server has of the broker until it loses it.
type work struct {
	ch          channel
	in, cancels <-chan amqp.Delivery
	busy        sync.WaitGroup // handlers of what came
}

var errAway = errors.New("every queue of the group is on a node that is away")

// join finds the queue that the group's servers work on, or makes one, and consumes.
// One server joins at a time: nobody begins at another queue meanwhile.
func (s *server) join(ctx context.Context) (*work, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if s.queue, err = s.place(ctx); err != nil {
		return nil, err
	}
	ch, _, err := s.c.in.channel(ctx)
	if err != nil {
		return nil, err
	}
	w, err := s.declare(ch)
	if err != nil {
		_ = ch.Close()
		return nil, err
	}
	return w, nil
}

// lock waits until no other server of the group is joining. An exclusive queue is
// the lock: there is one of a name in a cluster, and it goes with its connection.
func (s *server) lock(ctx context.Context) (unlock func(), err error) {
	name := s.c.names.joining(s.subject, s.group)
	for {
		select {
		case s.c.joining <- struct{}{}: // to the broker all of a connection are one
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		ch, _, err := s.c.in.channel(ctx)
		if err == nil {
			if _, err = ch.QueueDeclare(name, false, false, true, false, classic()); err == nil {
				return func() {
					if _, err := ch.QueueDelete(name, false, false, false); err != nil {
						s.c.log.Debug("rabbitbus: serve", "subject", s.subject, "error", err)
					}
					_ = ch.Close()
					<-s.c.joining
				}, nil
			}
			_ = ch.Close()
		}
		<-s.c.joining
		if !code(err, amqp.ResourceLocked) {
			return nil, err
		}
		if !pause(ctx, 0) {
			return nil, context.Cause(ctx)
		}
	}
}

// place returns the queue that is being served, or else the first whose node isn't
// away; then it isn't there any more, and nothing is bound.
func (s *server) place(ctx context.Context) (string, error) {
	free := ""
	for i := range places {
		name := s.c.names.servers(s.subject, s.group, i)
		err := s.c.do(ctx, s.c.in, func(ch channel) error {
			// An answer comes at once also when the queue's node is away, for which
			// RabbitMQ 4 has other questions wait a minute.
			_, err := ch.QueueDelete(name, true, false, false)
			return err
		})
		switch {
		case code(err, amqp.PreconditionFailed):
			return name, nil // it is in use
		case err == nil && free == "":
			free = name
		case err != nil && !code(err, amqp.NotFound):
			return "", err
		}
	}
	if free == "" {
		return "", errAway
	}
	return free, s.c.do(ctx, s.c.in, func(ch channel) error {
		return ch.ExchangeDelete(s.c.names.group(s.subject, s.group), false, false)
	})
}

// declare makes the place and consumes from it.
func (s *server) declare(ch channel) (*work, error) {
	if err := s.c.declareExchanges(ch); err != nil {
		return nil, err
	}
	group := s.c.names.group(s.subject, s.group)
	// Not durable: a broker that starts has no servers yet, and says so.
	if err := ch.ExchangeDeclare(group, "fanout", false, true, false, false, nil); err != nil {
		return nil, err
	}
	if err := ch.ExchangeBind(group, short(s.subject), s.c.names.requests(), false, nil); err != nil {
		return nil, err
	}
	// Durable, because newer brokers don't want other shared queues; what is left
	// of it by a broker that stopped goes away unused.
	args := classic()
	args["x-expires"] = int64(60_000)
	if _, err := ch.QueueDeclare(s.queue, true, true, false, false, args); err != nil {
		return nil, err
	}
	own, err := ch.QueueDeclare("", false, true, true, false, classic())
	if err != nil {
		return nil, err
	}
	if err := ch.QueueBind(own.Name, s.c.names.cancels(s.subject), s.c.names.requests(), false, nil); err != nil {
		return nil, err
	}
	if err := ch.Qos(s.parallel, 0, false); err != nil {
		return nil, err
	}
	w := &work{ch: ch}
	if w.cancels, err = ch.Consume(own.Name, cancelTag, true, true, false, false, nil); err != nil {
		return nil, err
	}
	if w.in, err = ch.Consume(s.queue, tag, false, false, false, false, nil); err != nil {
		return nil, err
	}
	// Last, so that nobody reaches a queue that isn't served.
	return w, ch.QueueBind(s.queue, "", group, false, nil)
}
