package rabbitbus

import (
	"bytes"
	"container/list"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus/driver"
)

// table holds the latest messages of each key of a stream, within its bounds: the
// broker can't find a key's. It reads the stream from its beginning and then goes
// along.
type table struct {
	stream *stream
	tail   *tail
	reader *reader

	mu      sync.Mutex
	bounds  driver.StreamConfig
	order   list.List // of *entry, oldest first
	keys    map[string][]*list.Element
	bytes   int64
	waiting map[string]chan bool // by mark: true when it came, false when it won't
}

type entry struct {
	key string
	m   driver.Message
	at  time.Time
}

// table returns the stream's table and begins one when there is none yet.
func (s *stream) table(ctx context.Context) (*table, error) {
	select {
	case s.making <- struct{}{}:
		defer func() { <-s.making }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	s.c.mu.Lock()
	latest, bounds := s.latest, s.bounds
	s.c.mu.Unlock()
	if latest != nil {
		return latest, nil
	}
	t := &table{stream: s, bounds: bounds, keys: make(map[string][]*list.Element), waiting: make(map[string]chan bool)}
	// What is older than the bounds needn't be read.
	t.tail = newTail(s, seconds(bounds.MaxAge+time.Minute))
	t.tail.message, t.tail.marked, t.tail.resume, t.tail.lose = t.put, t.marked, t.resume, func(error) {}
	var err error
	if t.reader, err = s.c.read(ctx, s.topic, t.tail); err != nil {
		t.tail.end()
		return nil, err
	}
	s.c.mu.Lock()
	s.latest = t
	s.c.mu.Unlock()
	return t, nil
}

func (t *table) end() {
	t.reader.end()
	t.tail.end()
}

func (t *table) wait() {
	t.reader.wg.Wait()
	t.tail.wg.Wait()
}

// put adds a message. Only the latest of a key count.
func (t *table) put(m driver.Message, d *amqp.Delivery) {
	e := &entry{m: m, at: time.Now()}
	e.key, _ = d.Headers[headerKey].(string)
	if ms, ok := integer(d.Headers[headerTime]); ok {
		e.at = time.UnixMilli(ms)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keys[e.key] = append(t.keys[e.key], t.order.PushBack(e))
	t.bytes += int64(m.Size())
	if all := t.keys[e.key]; len(all) > t.bounds.PerKey {
		t.drop(all[0])
	}
	t.trim()
}

// trim drops the oldest until the bounds hold; mu is held.
func (t *table) trim() {
	for first := t.order.Front(); first != nil; first = t.order.Front() {
		e := first.Value.(*entry) //nolint:forcetypeassert // nothing else is put there
		if int64(t.order.Len()) <= t.bounds.MaxEvents && t.bytes <= t.bounds.MaxBytes && time.Since(e.at) < t.bounds.MaxAge {
			return
		}
		t.drop(first)
	}
}

// drop removes an entry, its key's oldest; mu is held.
func (t *table) drop(el *list.Element) {
	e := t.order.Remove(el).(*entry) //nolint:forcetypeassert // nothing else is put there
	t.bytes -= int64(e.m.Size())
	if all := t.keys[e.key]; len(all) > 1 {
		t.keys[e.key] = slices.Delete(all, 0, 1)
	} else {
		delete(t.keys, e.key)
	}
}

// marked is told of a mark.
func (t *table) marked(headers amqp.Table) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text, ok := headers[headerBounds].(string); ok {
		var bounds driver.StreamConfig
		if err := json.Unmarshal([]byte(text), &bounds); err == nil && bounds.PerKey > 0 {
			t.bounds = bounds
			for _, all := range t.keys {
				for range max(0, len(all)-bounds.PerKey) {
					t.drop(t.keys[all[0].Value.(*entry).key][0]) //nolint:forcetypeassert // nothing else is put there
				}
			}
			t.trim()
		}
	}
	id, _ := headers[headerMark].(string)
	if c := t.waiting[id]; c != nil {
		delete(t.waiting, id)
		c <- true
	}
}

// resume forgets everything when the stream has: whatever was before a hole is gone
// from the stream.
func (t *table) resume(whole bool) {
	if whole {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.order.Init()
	clear(t.keys)
	t.bytes = 0
	for id, c := range t.waiting {
		delete(t.waiting, id)
		c <- false
	}
}

// catchUp returns when everything is known that was published before the call. It
// costs a message to the stream, because the broker doesn't say how far the stream
// is.
func (t *table) catchUp(ctx context.Context) error {
	for {
		id, came := rand.Text(), make(chan bool, 1)
		t.mu.Lock()
		t.waiting[id] = came
		t.mu.Unlock()
		err := t.stream.mark(ctx, amqp.Table{headerMark: id})
		if err == nil {
			select {
			case ok := <-came:
				if ok {
					return nil
				}
				continue // it may have been in the hole
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		t.mu.Lock()
		delete(t.waiting, id)
		t.mu.Unlock()
		return err
	}
}

// current returns the table as it is now.
func (c *conn) current(ctx context.Context, topic string) (*table, error) {
	t, err := c.stream(topic).table(ctx)
	if err != nil {
		return nil, temporary(err)
	}
	if err := t.catchUp(ctx); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trim() // time has gone by
	return t, nil
}

// Latest implements driver.Streamer.
func (c *conn) Latest(ctx context.Context, topic, key string) (driver.Message, error) {
	t, err := c.current(ctx, topic)
	if err != nil {
		return driver.Message{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.keys[key]
	if len(all) == 0 {
		return driver.Message{}, fmt.Errorf("key %q: %w", key, fs.ErrNotExist)
	}
	return copied(all[len(all)-1]), nil
}

// LatestAll implements driver.Streamer.
func (c *conn) LatestAll(ctx context.Context, topic string, fn func(driver.Message) bool) error {
	t, err := c.current(ctx, topic)
	if err != nil {
		return err
	}
	var found []driver.Message
	t.mu.Lock()
	for el := t.order.Front(); el != nil; el = el.Next() {
		if all := t.keys[el.Value.(*entry).key]; el == all[len(all)-1] { //nolint:forcetypeassert // nothing else is put there
			found = append(found, copied(el))
		}
	}
	t.mu.Unlock()
	for _, m := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !fn(m) {
			return nil
		}
	}
	return nil
}

// copied returns a message for the core, which owns what it gets.
func copied(el *list.Element) driver.Message {
	m := el.Value.(*entry).m //nolint:forcetypeassert // nothing else is put there
	m.Body, m.Attributes = bytes.Clone(m.Body), slices.Clone(m.Attributes)
	return m
}
