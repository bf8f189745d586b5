package system

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/resn"
)

// The topics: one is announced through an outbox, the other by a publisher.
const (
	things = "things"
	orders = "orders"
)

// extVersion tells the simulator, and nobody else, which change a notice is about.
const extVersion = "simversion"

var errDead = errors.New("the process is dead")

// process is a process: of an owner, or of a reader.
type process struct {
	w    *world
	id   int
	name string
	conn *conn
	bus  *bus.Bus

	mu    sync.Mutex
	still bool   // it is suspended
	stops []stop // and this is where
	soon  int    // it stops when it has passed so many times
	dead  bool
	// reserved is when it last had its turn, or will have it.
	reserved [turnsEach]time.Duration

	// An owner's.
	box   *outbox.Outbox
	pub   *resn.Publisher
	lease *resn.BusLease
	ready bool                  // it had the topic when somebody last looked
	skew  time.Duration         // of its clock, beside that of the owners
	made  map[*resource]*change // what it changed last, with the world's mutex
	stop  context.CancelFunc
	ended chan struct{}

	reader
}

func (w *world) newProcess(name string) *process {
	w.processCount++
	p := &process{w: w, id: w.processCount, name: name, ended: make(chan struct{})}
	p.conn = &conn{broker: w.broker, process: p}
	p.bus = bus.New(p.conn, nil)
	return p
}

// pass waits for the process's turn, and while it is suspended, and says when it is
// dead. Everything by which a process can act on the world passes here.
func (p *process) pass(what int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for wait := p.reserve(what); !p.dead; {
		p.mu.Unlock()
		<-time.After(wait)
		p.mu.Lock()
		if p.soon > 0 {
			if p.soon--; p.soon == 0 {
				p.still = true
			}
		}
		if !p.still {
			break
		}
		s := stop{what, make(chan time.Duration, 1)}
		p.stops = append(p.stops, s)
		p.mu.Unlock()
		wait = <-s.resumed
		p.mu.Lock()
	}
	if p.dead {
		return errDead
	}
	return nil
}

// stop is where a goroutine of a suspended process stands.
type stop struct {
	what    int
	resumed chan time.Duration // how long it is to its next turn
}

// suspend stops the process when it has passed n more times: somewhere between
// any two things that it does.
func (p *process) suspend(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.still {
		p.soon = n
	}
}

// resume lets the process go on: one goroutine after the other, in the order in
// which they came.
func (p *process) resume() {
	p.mu.Lock()
	stops := p.stops
	p.soon, p.still, p.stops = 0, false, nil
	p.mu.Unlock()
	for _, s := range stops {
		p.mu.Lock()
		wait := p.reserve(s.what)
		p.mu.Unlock()
		s.resumed <- wait
		p.w.rest()
	}
}

// suspended reports whether the process stands still, or is about to.
func (p *process) suspended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.still || p.soon > 0
}

// stands reports whether the process stands still.
func (p *process) stands() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.still
}

// kill ends the process where it is.
func (p *process) kill() {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.resume()
	p.w.rest() // nobody hears both at once
	if p.stop != nil {
		p.stop()
	}
}

// startRelay starts a process of the service that has the database.
func (w *world) startRelay(i int) {
	generation := w.generation(i)
	p := w.newProcess(fmt.Sprintf("things %c%d", 'a'+i, generation))
	p.box = outbox.New(w.db.sql, dialect{w.db, p}, &outbox.Options{Clock: w.ownerNow})
	relay := outbox.NewRelay(p.box, p.bus, &outbox.RelayOptions{
		Topics: []string{things},
		Watermark: func(topic string, m outbox.Watermark) bus.Event {
			return resn.Watermark{Topic: topic, Epoch: m.Epoch, Seq: m.Sequence, Time: m.Time}.CloudEvent("/" + topic)
		},
		LeaderTTL: w.plan.leaderTTL, RetryMax: 500 * time.Millisecond,
	})
	*inside[func() float64](relay, "random") = p.random()
	p.lease = w.newLease(p)
	var ctx context.Context
	ctx, p.stop = context.WithCancel(w.ctx)
	go func() {
		defer close(p.ended)
		if !w.plan.claimed {
			_ = relay.Run(ctx)
			return
		}
		_ = resn.RunOwned(ctx, p.lease, []string{things}, relay.Run, &resn.OwnershipOptions{Owner: "things"})
	}()
	w.relays[i] = p
	w.all = append(w.all, p)
	w.say(p.name, nil, "starts")
}

// generation counts the processes that were started in a place.
func (w *world) generation(place int) int {
	w.generations[place]++
	return w.generations[place]
}

// led notes that a process began to lead.
func (w *world) led(p *process) {
	w.tally.count(countTerms)
	w.say(p.name, nil, "leads")
}

// transaction is one of the service that has the database, while it is open.
type transaction struct {
	tx   *sql.Tx
	p    *process
	res  *resource
	text string
}

// running returns a process of the service with the database that isn't suspended.
func (w *world) running() *process {
	for _, p := range w.relays {
		if !p.suspended() {
			return p
		}
	}
	return nil
}

// begin begins a transaction that changes a thing and announces it.
func (w *world) begin(r *resource, gone bool) *transaction {
	p := w.running()
	if p == nil || w.open[r] != nil {
		return nil
	}
	tx, err := w.db.sql.BeginTx(w.ctx, nil)
	if err != nil {
		panic(err)
	}
	n := len(r.past)
	gone = gone && !r.last().gone
	c := &change{res: r, n: n, gone: gone}
	t := &transaction{tx: tx, p: p, res: r, text: r.path + " " + strconv.FormatBool(gone)}
	event := w.notice(c).CloudEvent("/things")
	event.SetExtension(extVersion, strconv.Itoa(n))
	if _, err := tx.ExecContext(w.ctx, "change", t.text); err != nil {
		panic(err)
	}
	if err := p.box.Append(w.ctx, tx, things, event); err != nil {
		panic(err)
	}
	w.open[r] = t
	return t
}

// notice is what is said about a change that is about to be committed.
func (w *world) notice(c *change) resn.Event {
	e := resn.Event{Topic: c.res.topic, Type: resn.Update, Href: origin + c.res.path, Time: w.ownerNow()}
	if c.gone {
		e.Type = resn.Delete
	}
	if w.plan.tags {
		e.ETag = c.noticeTag()
	}
	return e
}

func (w *world) commit(t *transaction) {
	delete(w.open, t.res)
	if err := t.tx.Commit(); err != nil {
		panic(err)
	}
	t.p.box.Wake()
}

// committed is called by the database for each change of a transaction.
func (w *world) committed(text string) {
	path, gone, _ := strings.Cut(text, " ")
	w.changed(w.resource(path), gone == "true")
}

// changed makes what is true from now on.
func (w *world) changed(r *resource, gone bool) *change {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := r.add(gone && !r.last().gone, time.Now())
	w.say("owner", []string{r.path, r.topic}, "commits %s", c)
	w.changes = append(w.changes, c)
	return c
}

// announcement is a change that goes through a publisher. The world lets it
// commit, and lets it hear that it did.
type announcement struct {
	res               *resource
	gone              bool
	commit, committed chan struct{}
}

// announce begins a change of an order.
func (w *world) announce(p *process, r *resource, gone bool) {
	w.announced++
	commit := turnCommit + w.announced%turnCommits // those who waited for the topic together commit one after the other
	a := &announcement{res: r, gone: gone, commit: make(chan struct{}), committed: make(chan struct{})}
	w.announcing = append(w.announcing, a)
	w.say(p.name, []string{r.path, r.topic}, "begins to change %s", r.path)
	w.work.Go(func() {
		ctx, cancel := context.WithTimeout(w.ctx, 15*time.Second)
		defer cancel()
		err := p.pub.Change(ctx, origin+r.path, func(ctx context.Context) (kind, tag string, err error) {
			select {
			case <-a.commit:
			case <-ctx.Done():
				return "", "", ctx.Err()
			}
			if err := p.pass(commit); err != nil {
				return "", "", err
			}
			if err := ctx.Err(); err != nil {
				return "", "", err // as a database that heeds it
			}
			c := w.changed(a.res, a.gone)
			w.mu.Lock()
			p.made[a.res] = c
			w.mu.Unlock()
			kind = resn.Update
			if c.gone {
				kind = resn.Delete
			}
			if w.plan.tags {
				tag = c.noticeTag()
			}
			<-a.committed
			return kind, tag, p.pass(commit)
		})
		if errors.Is(err, resn.ErrOwned) || errors.Is(err, resn.ErrNotOwner) {
			w.tally.count(countRefused)
			w.say(p.name, []string{r.path, r.topic}, "doesn't change %s: %v", r.path, err)
		}
	})
}

// proceed takes the oldest announcement one stage further.
func (w *world) proceed() {
	a := w.announcing[0]
	select {
	case <-a.commit:
		close(a.committed)
		w.announcing = w.announcing[1:]
	default:
		close(a.commit)
	}
}

// ownerNow is the owners' clock.
func (w *world) ownerNow() time.Time { return time.Now().Add(w.plan.skew) }

// now is the process's clock.
func (p *process) now() time.Time { return p.w.ownerNow().Add(p.skew) }
