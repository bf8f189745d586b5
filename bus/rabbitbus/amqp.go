package rabbitbus

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// connection is the part of *amqp.Connection that is used here.
type connection interface {
	Channel() (channel, error)
	NotifyClose(chan *amqp.Error) chan *amqp.Error
	Close() error
	// Abort closes the socket, for a peer that doesn't listen any more.
	Abort()
	// Cork holds back what is written until Uncork, so that many frames leave
	// in one packet.
	Cork()
	Uncork() error
}

// channel is the part of *amqp.Channel that is used here.
type channel interface {
	Qos(prefetchCount, prefetchSize int, global bool) error
	Confirm(noWait bool) error
	NotifyPublish(chan amqp.Confirmation) chan amqp.Confirmation
	NotifyReturn(chan amqp.Return) chan amqp.Return
	NotifyClose(chan *amqp.Error) chan *amqp.Error
	ExchangeDeclare(name, kind string, durable, autoDelete, internal, noWait bool, args amqp.Table) error
	ExchangeBind(destination, key, source string, noWait bool, args amqp.Table) error
	ExchangeDelete(name string, ifUnused, noWait bool) error
	QueueDeclare(name string, durable, autoDelete, exclusive, noWait bool, args amqp.Table) (amqp.Queue, error)
	QueueDeclarePassive(name string, durable, autoDelete, exclusive, noWait bool, args amqp.Table) (amqp.Queue, error)
	QueueBind(name, key, exchange string, noWait bool, args amqp.Table) error
	QueueDelete(name string, ifUnused, ifEmpty, noWait bool) (int, error)
	Consume(queue, consumer string, autoAck, exclusive, noLocal, noWait bool, args amqp.Table) (<-chan amqp.Delivery, error)
	Cancel(consumer string, noWait bool) error
	Publish(exchange, key string, mandatory, immediate bool, msg amqp.Publishing) error
	Ack(tag uint64, multiple bool) error
	Nack(tag uint64, multiple, requeue bool) error
	Close() error
}

// dial connects to one node.
func dial(ctx context.Context, url string, tlsConfig *tls.Config, heartbeat time.Duration, name string) (connection, error) {
	c := new(client)
	config := amqp.Config{
		Heartbeat: heartbeat, TLSClientConfig: tlsConfig, Locale: "en_US",
		Properties: amqp.Table{"product": "swale", "connection_name": name},
		Dial: func(network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			// Heartbeats begin after the handshake; the client lifts this deadline then.
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				return nil, fmt.Errorf("handshake deadline: %w", err)
			}
			c.cork = &corkConn{Conn: conn}
			return c.cork, nil
		},
	}
	var err error
	if c.Connection, err = amqp.DialConfig(url, config); err != nil {
		return nil, err
	}
	return c, nil
}

// client is the real connection.
type client struct {
	*amqp.Connection
	cork *corkConn
}

func (c *client) Channel() (channel, error) {
	ch, err := c.Connection.Channel()
	if err != nil {
		return nil, err
	}
	return ch, nil
}

func (c *client) Abort()        { _ = c.cork.Conn.Close() }
func (c *client) Cork()         { c.cork.hold() }
func (c *client) Uncork() error { return c.cork.release() }

// corkConn gathers writes while it is corked.
type corkConn struct {
	net.Conn
	mu     sync.Mutex
	corked bool
	held   []byte
}

// Write implements io.Writer.
func (c *corkConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.corked {
		return c.Conn.Write(p)
	}
	if len(c.held)+len(p) > 64<<10 {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	c.held = append(c.held, p...)
	return len(p), nil
}

func (c *corkConn) flush() error {
	if len(c.held) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.held)
	c.held = c.held[:0]
	return err
}

func (c *corkConn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = true
}

func (c *corkConn) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = false
	return c.flush()
}
