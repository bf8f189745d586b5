package natsbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus/driver"
)

// puller is one member of a group: it keeps JetStream asked for messages and
// hands them over in the stream's order.
type puller struct {
	conn    *conn
	topic   string
	stream  string
	name    string
	opts    driver.GroupOptions
	deliver func(driver.Delivery)

	// giving serializes deliver; it is held around mu, never inside.
	giving sync.Mutex
	floor  atomic.Uint64 // the group's ack floor in the stream, as last heard

	mu       sync.Mutex
	sub      *nats.Subscription
	pin      string
	asked    int  // messages that were asked for and haven't come
	due      bool // ask again whatever is asked
	heard    time.Time
	came     bool      // something, since the last tick
	held     int       // handed over and not settled
	buffer   []*pulled // not handed over
	joining  bool      // the pin is new: others may still hold older messages
	stopping bool

	kick    chan struct{}
	gone    chan struct{} // the consumer seems to be gone
	stop    chan struct{}
	once    sync.Once
	drained chan struct{}
	wg      sync.WaitGroup
}

// pulled is one message that came. It settles itself.
type pulled struct {
	p     *puller
	m     *nats.Msg
	place place
}

// Pull requests last longer than the time between two of them, so that there is
// always one at the server.
func (p *puller) interval() time.Duration { return p.conn.opts.PinTTL / 3 }

func (p *puller) heartbeat() time.Duration { return max(p.interval()/2, 200*time.Millisecond) }

// listen subscribes to an inbox and asks for the first messages.
func (p *puller) listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub, err := p.conn.nc.Subscribe(nats.NewInbox(), p.take)
	if err != nil {
		return err
	}
	_ = sub.SetPendingLimits(-1, -1)
	sub.SetClosedHandler(func(string) { close(p.drained) })
	p.sub = sub
	p.heard, p.due = time.Now(), true
	p.ask()
	return nil
}

// ask asks for as many as there is room for; p.mu is held.
func (p *puller) ask() {
	room := p.opts.MaxInFlight - p.held - p.asked - len(p.buffer)
	// Half of the room at a time keeps the requests few.
	if p.stopping || !p.due && room < (p.opts.MaxInFlight+1)/2 {
		return
	}
	if room <= 0 {
		if p.opts.Shared {
			return
		}
		room = 1 // keeps the pin; JetStream gives no more than MaxAckPending
	}
	interval := p.interval()
	request := struct {
		Expires   time.Duration `json:"expires"`
		Batch     int           `json:"batch"`
		Heartbeat time.Duration `json:"idle_heartbeat"`
		Group     string        `json:"group,omitempty"`
		ID        string        `json:"id,omitempty"`
	}{Expires: 2 * interval, Batch: room, Heartbeat: p.heartbeat(), ID: p.pin}
	if !p.opts.Shared {
		request.Group = pinGroup
	}
	body, err := json.Marshal(request)
	if err != nil {
		return // of numbers and strings: cannot be
	}
	if p.conn.nc.IsConnected() && p.conn.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+p.stream+"."+p.name, p.sub.Subject, body) == nil {
		p.asked += room
		p.due = false
	}
}

// run asks again in time, hands over what had to wait, and looks after a consumer
// that is silent or gone.
func (p *puller) run() {
	ticker := time.NewTicker(min(p.interval(), p.heartbeat()))
	defer ticker.Stop()
	renewed := time.Now()
	for {
		select {
		case <-p.stop:
			return
		case <-p.kick:
		case <-p.gone:
			p.revive()
		case <-ticker.C:
			p.mu.Lock()
			if time.Since(renewed) >= p.interval() {
				renewed, p.due = time.Now(), true
			}
			if p.came {
				p.came, p.heard = false, time.Now()
			}
			silent := time.Since(p.heard) > 4*p.interval()
			if silent {
				p.heard = time.Now()
			}
			p.mu.Unlock()
			if silent {
				p.revive()
			}
			p.keep()
		}
		p.mu.Lock()
		joining := p.joining
		p.ask()
		p.mu.Unlock()
		if joining && p.alone() {
			p.mu.Lock()
			p.joining = false
			p.mu.Unlock()
		}
		p.give()
	}
}

// connection is told of the connection's ups and downs.
func (p *puller) connection(up bool) {
	p.mu.Lock()
	p.asked, p.due, p.heard = 0, true, time.Now()
	p.mu.Unlock()
	if up {
		p.poke(p.gone) // the server may have lost what it had in memory
	}
}

func (*puller) poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// revive makes sure that the consumer is there.
func (p *puller) revive() {
	if !p.conn.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := p.join(ctx); err != nil {
		p.conn.log.Debug("group's consumer", "consumer", p.name, "error", err)
		return
	}
	p.mu.Lock()
	p.asked, p.due = 0, true
	p.mu.Unlock()
}

// take is called for everything that comes to the inbox.
func (p *puller) take(m *nats.Msg) {
	at, ok := parsePlace(m.Reply)
	if !ok {
		// What has a place is a message, whatever its publisher wrote into its header.
		if status := m.Header.Get("Status"); status != "" && len(m.Data) == 0 {
			p.control(status, m)
		}
		return
	}
	p.giving.Lock()
	defer p.giving.Unlock()
	p.mu.Lock()
	p.came = true
	p.asked = max(p.asked-1, 0)
	d := &pulled{p: p, m: m, place: at}
	if pin := pinOf(m); pin != p.pin && !p.opts.Shared {
		p.pin, p.joining = pin, true
		p.poke(p.kick)
	}
	if p.stopping { // Detach gives the pin up, also one that came just now
		p.mu.Unlock()
		_ = d.settle(nakBody)
		return
	}
	if p.joining || len(p.buffer) > 0 || p.held >= p.opts.MaxInFlight {
		p.insert(d)
		p.mu.Unlock()
		return
	}
	p.held++
	p.ask()
	p.mu.Unlock()
	p.hand(d)
}

// pinOf returns the pin that the server wrote behind whatever the publisher did.
func pinOf(m *nats.Msg) string {
	pins := m.Header["Nats-Pin-Id"]
	if len(pins) == 0 {
		return ""
	}
	return pins[len(pins)-1]
}

// insert puts a message into the buffer at its place in the stream; p.mu is held.
func (p *puller) insert(d *pulled) {
	i := len(p.buffer)
	for i > 0 && p.buffer[i-1].place.stream > d.place.stream {
		i--
	}
	if i > 0 && p.buffer[i-1].place.stream == d.place.stream {
		p.buffer[i-1] = d // delivered again; alone must not count it twice
		return
	}
	p.buffer = slices.Insert(p.buffer, i, d)
}

// give hands over what waits in the buffer.
func (p *puller) give() {
	p.giving.Lock()
	defer p.giving.Unlock()
	for {
		p.mu.Lock()
		if p.joining || p.stopping || len(p.buffer) == 0 || p.held >= p.opts.MaxInFlight {
			p.mu.Unlock()
			return
		}
		d := p.buffer[0]
		p.buffer[0] = nil
		p.buffer = p.buffer[1:]
		p.held++
		p.mu.Unlock()
		p.hand(d)
	}
}

func (p *puller) hand(d *pulled) {
	p.deliver(driver.Delivery{Message: message(d.m), Attempt: d.place.attempt, Acker: d})
}

// keep restarts the wait for acks of what is in the buffer.
func (p *puller) keep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.buffer {
		_ = d.send(touchBody)
	}
}

// alone reports whether no other member holds messages of the group any more.
// What is in the buffer is counted before the question is asked, and what is held
// after it was answered: all of that was unacked when the server counted, and
// only as many as are surely ours may be left over.
func (p *puller) alone() bool {
	p.mu.Lock()
	ours := len(p.buffer)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), min(2*time.Second, p.opts.AckWait/4))
	defer cancel()
	consumer, err := p.conn.js.Consumer(ctx, p.stream, p.name)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && consumer.CachedInfo().NumAckPending <= ours+p.held {
		return true
	}
	time.AfterFunc(40*time.Millisecond, func() { p.poke(p.kick) })
	return false
}

// control handles what the server says about requests.
func (p *puller) control(status string, m *nats.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = time.Now()
	if p.stopping {
		return
	}
	n, _ := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
	switch status {
	case "100": // heartbeat
		return
	case "423": // another member was pinned meanwhile
		p.pin, p.asked = "", 0
	case "408":
		p.asked = max(p.asked-n, 0)
	case "409", "404":
		p.asked = max(p.asked-n, 0)
		p.conn.log.Debug("pull", "consumer", p.name, "status", status, "description", m.Header.Get("Description"))
		if n == 0 {
			p.asked = 0
			p.poke(p.gone)
			return
		}
	default: // 503: nobody there; run looks after it
		p.asked = 0
		p.poke(p.gone)
		return
	}
	p.ask()
}

// The words of JetStream's ack protocol; never changed.
var (
	ackBody   = []byte("+ACK")
	nakBody   = []byte("-NAK")
	touchBody = []byte("+WPI")
)

// Ack implements driver.Acker.
func (d *pulled) Ack() error { return d.settle(ackBody) }

// Nack implements driver.Acker.
func (d *pulled) Nack(delay time.Duration) error {
	if delay <= 0 {
		return d.settle(nakBody)
	}
	return d.settle(fmt.Appendf(nil, `-NAK {"delay": %d}`, delay.Nanoseconds()))
}

// Touch implements driver.Acker.
func (d *pulled) Touch() error { return d.send(touchBody) }

func (d *pulled) send(what []byte) error {
	err := d.p.conn.nc.Publish(d.m.Reply, what)
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		return nats.ErrDisconnected
	}
	return err
}

// settle sends the verdict and makes room for another message.
func (d *pulled) settle(what []byte) error {
	err := d.send(what)
	p := d.p
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = max(p.held-1, 0)
	if len(p.buffer) > 0 {
		p.poke(p.kick)
	}
	p.ask()
	return err
}

// Stop implements driver.Subscription.
func (p *puller) Stop(ctx context.Context) error {
	p.once.Do(func() {
		close(p.stop)
		p.mu.Lock()
		p.stopping = true
		rest := p.buffer
		p.buffer = nil
		p.mu.Unlock()
		for _, d := range rest {
			_ = d.send(nakBody)
		}
	})
	if err := wait(ctx, &p.wg); err != nil {
		return err
	}
	return p.conn.drain(ctx, p.sub, p.drained)
}

// Detach implements driver.Subscription: the acks leave, and the next member
// takes over at once.
func (p *puller) Detach(ctx context.Context) error {
	c := p.conn
	c.mu.Lock()
	delete(c.tails, p)
	c.mu.Unlock()
	if !c.nc.IsConnected() {
		return nil // the broker delivers again what wasn't acked
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	p.mu.Lock()
	pinned := p.pin != ""
	p.mu.Unlock()
	if p.opts.Shared || !pinned {
		return c.nc.FlushWithContext(ctx)
	}
	return p.unpin(ctx)
}

// unpin gives up the pin, unless another member has it already.
func (p *puller) unpin(ctx context.Context) error {
	consumer, err := p.conn.js.Consumer(ctx, p.stream, p.name)
	if err != nil {
		return nil //nolint:nilerr // the pin expires by itself
	}
	for _, g := range consumer.CachedInfo().PriorityGroups {
		if g.PinnedClientID == p.pin {
			_, err := p.conn.nc.RequestWithContext(ctx, "$JS.API.CONSUMER.UNPIN."+p.stream+"."+p.name, []byte(`{"group":"`+pinGroup+`"}`))
			return err
		}
	}
	return nil
}
