package natsbus

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/bus/driver"
)

// valueStream is the JetStream stream of a bus.Stream.
func (c *conn) valueStream(topic string) string {
	return consumerName(c.opts.Prefix, topic)
}

func (c *conn) valueSubject(topic string) string { return c.opts.Prefix + ".s." + dotless(topic) + "." }

// DeclareStream implements driver.Streamer.
func (c *conn) DeclareStream(ctx context.Context, topic string, bounds driver.StreamConfig) error {
	config := c.config(c.valueStream(topic), c.valueSubject(topic)+"*")
	config.MaxAge, config.MaxBytes, config.MaxMsgs = bounds.MaxAge, bounds.MaxBytes, bounds.MaxEvents
	config.MaxMsgsPerSubject = int64(bounds.PerKey)
	config.Duplicates = min(config.Duplicates, config.MaxAge)
	_, err := c.js.CreateOrUpdateStream(ctx, config)
	if err != nil && ctx.Err() == nil {
		_, err = c.js.CreateOrUpdateStream(ctx, config) // as in makeStreams
	}
	return temporary(err)
}

// PublishStream implements driver.Streamer.
func (c *conn) PublishStream(ctx context.Context, topic string, msgs []driver.Message, done func(int, error)) {
	prefix := c.valueSubject(topic)
	c.send(ctx, msgs, done, func(m *driver.Message) string { return prefix + keyToken(m.Key) })
}

// Latest implements driver.Streamer.
func (c *conn) Latest(ctx context.Context, topic, key string) (driver.Message, error) {
	subject := c.valueSubject(topic) + keyToken(key)
	m, err := c.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+c.valueStream(topic)+"."+subject, nil)
	if err != nil {
		return driver.Message{}, temporary(err)
	}
	switch status := m.Header.Get("Status"); {
	case status == "" || m.Header.Get("Nats-Sequence") != "": // a publisher may have written a status
		return message(m), nil
	case status == "404":
		return driver.Message{}, fs.ErrNotExist
	default:
		return driver.Message{}, driver.Temporary(fmt.Errorf("read: %s %s", status, m.Header.Get("Description")))
	}
}

// LatestAll implements driver.Streamer.
func (c *conn) LatestAll(ctx context.Context, topic string, fn func(driver.Message) bool) error {
	consumer, err := c.js.OrderedConsumer(ctx, c.valueStream(topic), jetstream.OrderedConsumerConfig{
		DeliverPolicy:  jetstream.DeliverLastPerSubjectPolicy,
		FilterSubjects: []string{c.valueSubject(topic) + "*"},
	})
	if err != nil {
		return temporary(err)
	}
	info := consumer.CachedInfo()
	for left := info.NumPending; left > 0; {
		batch, err := consumer.FetchNoWait(int(min(left, 500)))
		if err != nil {
			return temporary(err)
		}
		got := uint64(0)
		for m := range batch.Messages() {
			got++
			if !fn(message(&nats.Msg{Header: m.Headers(), Data: m.Data()})) {
				return nil
			}
		}
		if err := batch.Error(); err != nil {
			return temporary(err)
		}
		if got == 0 {
			return nil // what was there has been replaced or has expired meanwhile
		}
		left -= min(got, left)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
