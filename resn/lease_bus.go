package resn

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
)

// claimsTopic is the bus's topic on which owners claim theirs.
const claimsTopic = "resn.claims"

// claimType is the CloudEvents type of a claim.
const claimType = eventPrefix + "claim"

const (
	extOwner = "owner"
	extClaim = "claim" // who of the owner's processes
	extTerm  = "term"  // counts owners; 0 for a candidate
	extTTL   = "ttl"   // milliseconds; 0 gives the topic up
)

// BusLease is a [Lease] that needs nothing but the bus. Owners say there, three
// times in each TTL, that a topic is theirs, and believe it only as long as they
// hear themselves. Who wants a topic says so, and waits for a whole TTL: an owner
// objects at once, and one who is cut off has stopped by then. Of those who want
// it together one goes on.
//
// All who want a topic have to give the same TTL, because who is cut off can't be
// asked for his.
//
// However late the bus brings claims, there is one owner: it has one order, and a
// candidate owns the topic from where its claim stands there. It holds as long as
// the bus doesn't, for a whole TTL, drop every claim of an owner and none of a
// candidate's: a lease in a database or in etcd holds then, too.
type BusLease struct {
	bus *bus.Bus
	id  string

	start     sync.Mutex // one subscribes
	sub       *bus.Subscription
	mu        sync.Mutex
	topics    map[string]*claimed
	closed    bool
	objecting sync.WaitGroup

	without sabotage
}

// claimed is what is known of a topic's claims.
type claimed struct {
	term    uint64 // of the newest owner heard of
	owner   string
	id      string
	until   time.Time // the owner has it until then, if nothing more is heard
	rival   string    // the best candidate heard of beside ourselves
	rivalAt time.Time

	mine   string        // who we are, if we hold it or want it
	ours   uint64        // our term; 0 while we want it
	bid    uint64        // the term that we have claimed and not heard ourselves claim yet; 0 if none
	ttl    time.Duration // ours
	heard  chan struct{} // something was heard
	saying turn          // of objections and the last word
	sent   uint64
	at     map[uint64]time.Time // when those of our claims were sent that haven't come back
	echo   uint64               // the number of our newest claim that came back
	since  time.Time            // since when we miss nothing, as a candidate: zero until our first claim came back
}

// NewBusLease returns a lease on b. It subscribes when it is first used.
func NewBusLease(b *bus.Bus) *BusLease {
	return &BusLease{bus: b, id: rand.Text(), topics: map[string]*claimed{}}
}

// Hold implements [Lease]. To take a topic lasts a TTL.
func (l *BusLease) Hold(ctx context.Context, topic, owner string, ttl time.Duration) (until time.Time, err error) {
	if err := validTopic(topic); err != nil {
		return until, err
	}
	if l.bus == nil {
		return until, fmt.Errorf("resn: claim topic %q: the lease has no bus", topic)
	}
	if err := l.listen(ctx); err != nil {
		return until, fmt.Errorf("resn: claim topic %q: %w", topic, err)
	}
	c := l.want(topic, owner, ttl)
	if l.term(c) != 0 {
		return l.renew(ctx, topic, c, ttl)
	}
	return l.take(ctx, topic, c, ttl)
}

// take waits for a TTL whether anybody objects.
func (l *BusLease) take(ctx context.Context, topic string, c *claimed, ttl time.Duration) (until time.Time, err error) {
	defer func() {
		if err != nil {
			l.mu.Lock()
			c.mine = ""
			l.mu.Unlock()
		}
	}()
	began := time.Now()
	over := time.NewTimer(ttl + ttl/8)
	defer over.Stop()
	again := time.NewTicker(ttl / 3)
	defer again.Stop()
	for {
		if l.join(c) {
			return l.renew(ctx, topic, c, ttl)
		}
		if err := l.claim(ctx, topic, c, ttl); err != nil {
			return until, err
		}
		for wait := true; wait; {
			select {
			case <-c.heard:
			case <-again.C:
				wait = false
			case <-over.C:
			case <-ctx.Done():
			}
			// Whatever it was: a process that stood still finds several at once, and
			// does the same whichever it sees first.
			if ctx.Err() != nil {
				return until, fmt.Errorf("resn: claim topic %q: %w", topic, ctx.Err())
			}
			if l.join(c) {
				return l.renew(ctx, topic, c, ttl)
			}
			if err := l.refusal(topic, c); err != nil {
				return until, err
			}
			left, err := l.left(topic, c, began, ttl)
			if err != nil {
				return until, err
			}
			if left <= 0 {
				return l.assume(ctx, topic, c, ttl)
			}
			over.Reset(left)
			select {
			case <-again.C:
				wait = false
			default:
			}
		}
	}
}

// left returns how much longer a candidate waits. The TTL counts from when its
// first claim came back, because an owner's that was sent before may have come
// before it, however long it took; and anew when a claim of its own is missing,
// because then an owner's may be missing, too.
func (l *BusLease) left(topic string, c *claimed, began time.Time, ttl time.Duration) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	enough := ttl + ttl/8 // clocks don't go at quite the same speed
	if l.without.wait {
		enough = ttl / 8
	}
	if !c.since.IsZero() {
		if l.without.since {
			return time.Until(began.Add(enough)), nil
		}
		return time.Until(c.since.Add(enough)), nil
	}
	if time.Since(began) > enough {
		return 0, fmt.Errorf("resn: claim topic %q: the bus doesn't bring our own claim back", topic)
	}
	return time.Until(began.Add(enough)) + 1, nil
}

// join has what another process of the same owner has: there is nobody to wait
// for, and nobody else has a better right.
func (l *BusLease) join(c *claimed) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.owner != c.mine || c.id == l.id || !time.Now().Before(c.until) {
		return false
	}
	c.ours = c.term
	return true
}

// assume makes a candidate to whom nobody objected the owner, once its claim came
// back: the bus has one order, and an owner whose claim was there first is heard
// first. Whoever's claim comes after ours hears ours before.
func (l *BusLease) assume(ctx context.Context, topic string, c *claimed, ttl time.Duration) (until time.Time, err error) {
	if err := l.objection(topic, c); err != nil {
		return until, err
	}
	l.mu.Lock()
	bid := c.term + 1
	c.bid = bid
	if l.without.order {
		c.ours, c.term, c.bid = bid, bid, 0
	}
	l.mu.Unlock()
	if until, err = l.renew(ctx, topic, c, ttl); err != nil {
		l.withdraw(ctx, topic, c, bid)
	}
	return until, err
}

// withdraw gives a topic up that was claimed in vain: an owner may have heard that
// and have stopped.
func (l *BusLease) withdraw(ctx context.Context, topic string, c *claimed, bid uint64) {
	l.mu.Lock()
	c.ours, c.bid = 0, bid
	if c.another() != "" && c.term >= bid {
		c.bid = 0 // he hasn't: it is his
	}
	still := c.bid != 0
	l.mu.Unlock()
	if !still {
		return
	}
	_ = l.claim(ctx, topic, c, 0) // if it fails the others wait for a TTL
	l.mu.Lock()
	c.ours, c.bid = 0, 0
	l.mu.Unlock()
}

// renew says that the topic is still ours, and waits until that comes back.
func (l *BusLease) renew(ctx context.Context, topic string, c *claimed, ttl time.Duration) (until time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, ttl)
	defer cancel()
	sent := time.Now()
	if err := l.claim(ctx, topic, c, ttl); err != nil {
		return until, err
	}
	l.mu.Lock()
	number := c.sent
	l.mu.Unlock()
	for {
		l.mu.Lock()
		lost, back := c.ours == 0 && c.bid == 0, c.ours != 0 && (c.echo >= number || l.without.echo)
		l.mu.Unlock()
		switch {
		case lost:
			if err := l.objection(topic, c); err != nil {
				return until, err
			}
			return until, fmt.Errorf("resn: claim topic %q: claims were lost on the way; they are made again", topic)
		case back:
			return sent.Add(ttl), nil
		case ctx.Err() != nil:
			return until, fmt.Errorf("resn: claim topic %q: it didn't come back: %w", topic, ctx.Err())
		}
		select {
		case <-c.heard:
		case <-ctx.Done():
		}
	}
}

// Release implements [Lease].
func (l *BusLease) Release(ctx context.Context, topic, owner string) error {
	l.mu.Lock()
	c := l.topics[topic]
	held := c != nil && c.mine == owner && c.ours != 0
	l.mu.Unlock()
	if !held {
		return nil
	}
	// An objection that came after it would keep the topic for another TTL.
	if err := c.saying.take(ctx); err != nil {
		return fmt.Errorf("resn: claim topic %q: objecting to others is still under way: %w", topic, err)
	}
	defer c.saying.give()
	err := l.claim(ctx, topic, c, 0)
	l.mu.Lock()
	defer l.mu.Unlock()
	c.mine, c.ours = "", 0
	if c.id == l.id {
		c.until = time.Time{}
	}
	return err
}

// Close ends the subscription. What is held ends with its TTL. The bus stays open.
func (l *BusLease) Close(ctx context.Context) error {
	l.start.Lock()
	defer l.start.Unlock()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.objecting.Wait()
	if l.sub == nil {
		return nil
	}
	return l.sub.Close(ctx)
}

func (l *BusLease) listen(ctx context.Context) error {
	l.start.Lock()
	defer l.start.Unlock()
	switch {
	case l.closed:
		return errors.New("the lease is closed")
	case l.sub != nil:
		return nil
	}
	sub, err := l.bus.Broadcast(ctx, claimsTopic, bus.BroadcastHandler{Event: l.heard, State: l.state}, nil)
	l.sub = sub
	return err
}

// want notes that we want a topic or have it.
func (l *BusLease) want(topic, owner string, ttl time.Duration) *claimed {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.topics[topic]
	if c == nil {
		c = &claimed{heard: make(chan struct{}, 1), saying: make(turn, 1), at: map[uint64]time.Time{}}
		l.topics[topic] = c
	}
	if c.ours != 0 && (c.mine != owner || !time.Now().Before(c.until)) {
		c.ours = 0
	}
	if c.ours == 0 {
		c.echo, c.since = c.sent, time.Time{} // what is still on its way is of another attempt
		clear(c.at)
	}
	c.mine, c.ttl = owner, ttl
	return c
}

func (l *BusLease) term(c *claimed) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return c.ours
}

// refusal says who else has the topic. Who only wants it, with however good a
// right, doesn't refuse anybody yet: another process of ours may have it, and its
// claim may still be on its way.
func (l *BusLease) refusal(topic string, c *claimed) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.foreign() && !l.without.objections {
		return &OwnedError{topic, c.owner}
	}
	return nil
}

// objection says who else has the topic, or wants it with a better right.
func (l *BusLease) objection(topic string, c *claimed) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if who := c.another(); who != "" && !l.without.objections {
		return &OwnedError{topic, who}
	}
	return nil
}

// foreign reports whether another owner has the topic.
func (c *claimed) foreign() bool {
	return c.owner != "" && c.owner != c.mine && time.Now().Before(c.until)
}

// another is who else has the topic, or wants it with a better right.
func (c *claimed) another() string {
	switch {
	case c.foreign():
		return c.owner
	case c.rival != "" && time.Since(c.rivalAt) < c.ttl:
		return c.rival
	}
	return ""
}

// claim says that a topic is ours, that we want it, or with no ttl that we give it
// up.
func (l *BusLease) claim(ctx context.Context, topic string, c *claimed, ttl time.Duration) error {
	l.mu.Lock()
	now := time.Now()
	c.sent++
	c.at[c.sent] = now
	e := bus.Event{
		ID: l.id + "-" + strconv.FormatUint(c.sent, 10), Source: "/" + topic, Type: claimType, Subject: topic, Time: now,
		Extensions: map[string]string{
			extOwner: c.mine, extClaim: l.id, extSequence: formatSequence(c.sent),
			extTerm: strconv.FormatUint(max(c.ours, c.bid), 10), extTTL: strconv.FormatInt(ttl.Milliseconds(), 10),
		},
	}
	l.mu.Unlock()
	if err := l.bus.Publish(ctx, claimsTopic, e); err != nil {
		return fmt.Errorf("resn: claim topic %q: %w", topic, err)
	}
	return nil
}

// heard takes a claim in.
func (l *BusLease) heard(e bus.Event) {
	seq, seqErr := parseSequence(e.Extensions[extSequence])
	term, termErr := strconv.ParseUint(e.Extensions[extTerm], 10, 64)
	ms, ttlErr := strconv.ParseInt(e.Extensions[extTTL], 10, 64)
	owner, id := e.Extensions[extOwner], e.Extensions[extClaim]
	if e.Type != claimType || errors.Join(seqErr, termErr, ttlErr) != nil || owner == "" || ms < 0 || ms > time.Hour.Milliseconds() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.topics[e.Subject]
	if c == nil {
		return // who wants it will ask
	}
	ttl := time.Duration(ms) * time.Millisecond
	switch {
	case id == l.id:
		l.echoed(c, seq, term, ttl)
	case term == 0:
		l.candidate(e.Subject, c, owner, id)
	case c.ours == 0 || term >= c.term:
		// Who wants it heeds whoever has it: terms begin anew where all who knew
		// the last one are gone, or not heard.
		l.owner(c, term, owner, id, ttl)
	}
	select {
	case c.heard <- struct{}{}:
	default:
	}
}

// echoed hears a claim of our own.
func (l *BusLease) echoed(c *claimed, seq, term uint64, ttl time.Duration) {
	if seq <= c.echo {
		return // a repeat, or of an attempt that is over
	}
	missed := seq != c.echo+1 && !l.without.gaps
	if missed || c.since.IsZero() {
		c.since = time.Now()
	}
	sent := c.at[seq]
	for ; c.echo < seq; c.echo++ {
		delete(c.at, c.echo+1)
	}
	if c.bid != 0 && term == c.bid {
		c.bid = 0
		if !missed && (c.another() == "" || l.without.objections) && (c.term <= term || c.owner == c.mine) {
			c.ours = max(c.term, term)
			c.term, c.owner, c.id = c.ours, c.mine, l.id
		}
	}
	if c.ours != 0 && term == c.ours {
		c.until = sent.Add(ttl) // from when it was sent: others count from later
	}
}

// candidate hears of somebody who wants a topic.
func (l *BusLease) candidate(topic string, c *claimed, owner, id string) {
	switch {
	case owner == c.mine:
	case c.ours != 0 && time.Now().Before(c.until) && !l.closed:
		// Object. It has to come before the candidate's wait is over, so it can't
		// wait for the next renewal.
		ttl := c.ttl
		l.objecting.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), ttl)
			defer cancel()
			if c.saying.take(ctx) != nil {
				return
			}
			defer c.saying.give()
			if l.term(c) != 0 { // not given up meanwhile
				_ = l.claim(ctx, topic, c, ttl) // if it fails the next renewal says it
			}
		})
	case id < l.id:
		c.rival, c.rivalAt = owner, time.Now()
	}
}

// owner hears of somebody who has a topic.
func (l *BusLease) owner(c *claimed, term uint64, owner, id string, ttl time.Duration) {
	if c.ours != 0 && owner != c.mine {
		// Two of one term can't be told apart by it.
		if term == c.ours && l.id < id || l.without.terms {
			return
		}
		c.ours = 0
	}
	switch {
	case c.ours != 0:
		// Another process of ours. Its term is ours, or who knows that one would not
		// hear us once it has ended; and when it gives the topic up we have it still.
		c.term, c.ours = term, term
		return
	case ttl == 0 && id != c.id:
		return // not his to give up any more
	}
	c.term = max(c.term, term)
	c.owner, c.id, c.until = owner, id, time.Now().Add(ttl)
	if c.rival == owner {
		c.rival = ""
	}
}

// state hears that claims may have been lost.
func (l *BusLease) state(s bus.State) {
	if s.Kind == bus.Live || s.Kind == bus.Resumed && !s.Hole {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.topics {
		c.since, c.bid = time.Time{}, 0
	}
}
