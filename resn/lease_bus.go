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
// It holds as long as the bus doesn't, for a whole TTL, drop every message of one
// of two and keep those of the other: a lease in a database or in etcd holds then,
// too.
type BusLease struct {
	bus *bus.Bus
	id  string

	start     sync.Mutex // one subscribes
	sub       *bus.Subscription
	mu        sync.Mutex
	topics    map[string]*claimed
	closed    bool
	objecting sync.WaitGroup
}

// claimed is what is known of a topic's claims.
type claimed struct {
	term    uint64 // of the newest owner heard of
	owner   string
	id      string
	until   time.Time // the owner has it until then, if nothing more is heard
	rival   string    // the best candidate heard of beside ourselves
	rivalAt time.Time

	mine  string        // who we are, if we hold it or want it
	ours  uint64        // our term; 0 while we want it
	ttl   time.Duration // ours
	heard chan struct{} // something was heard
	echo  uint64        // the number of our newest claim that came back
	sent  uint64
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
	over := time.NewTimer(ttl + ttl/8) // clocks don't go at quite the same speed
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
				if l.join(c) {
					return l.renew(ctx, topic, c, ttl)
				}
				if err := l.objection(topic, c); err != nil {
					return until, err
				}
			case <-again.C:
				wait = false
			case <-over.C:
				return l.assume(ctx, topic, c, ttl)
			case <-ctx.Done():
				return until, fmt.Errorf("resn: claim topic %q: %w", topic, ctx.Err())
			}
		}
	}
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

// assume makes a candidate to whom nobody objected the owner.
func (l *BusLease) assume(ctx context.Context, topic string, c *claimed, ttl time.Duration) (until time.Time, err error) {
	if err := l.objection(topic, c); err != nil {
		return until, err
	}
	l.mu.Lock()
	deaf := c.echo == 0
	if !deaf {
		c.term++
		c.ours, c.owner, c.id, c.until = c.term, c.mine, l.id, time.Now().Add(ttl)
	}
	l.mu.Unlock()
	if deaf {
		return until, fmt.Errorf("resn: claim topic %q: the bus doesn't bring our own claim back", topic)
	}
	return l.renew(ctx, topic, c, ttl)
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
		lost, back := c.ours == 0, c.echo >= number
		owner := c.owner
		l.mu.Unlock()
		switch {
		case lost:
			return until, &OwnedError{topic, owner}
		case back:
			return sent.Add(ttl), nil
		}
		select {
		case <-c.heard:
		case <-ctx.Done():
			return until, fmt.Errorf("resn: claim topic %q: it didn't come back: %w", topic, ctx.Err())
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
	err := l.claim(ctx, topic, c, 0)
	l.mu.Lock()
	defer l.mu.Unlock()
	c.mine, c.ours = "", 0
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
	sub, err := l.bus.Broadcast(ctx, claimsTopic, bus.BroadcastHandler{Event: l.heard}, nil)
	l.sub = sub
	return err
}

// want notes that we want a topic or have it.
func (l *BusLease) want(topic, owner string, ttl time.Duration) *claimed {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.topics[topic]
	if c == nil {
		c = &claimed{heard: make(chan struct{}, 1)}
		l.topics[topic] = c
	}
	if c.ours != 0 && (c.mine != owner || !time.Now().Before(c.until)) {
		c.ours = 0
	}
	if c.ours == 0 {
		c.echo = 0
	}
	c.mine, c.ttl = owner, ttl
	return c
}

func (l *BusLease) term(c *claimed) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return c.ours
}

// objection says who else has the topic, or wants it with a better right.
func (l *BusLease) objection(topic string, c *claimed) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	switch {
	case c.owner != "" && c.owner != c.mine && now.Before(c.until):
		return &OwnedError{topic, c.owner}
	case c.rival != "" && now.Sub(c.rivalAt) < c.ttl:
		return &OwnedError{topic, c.rival}
	}
	return nil
}

// claim says that a topic is ours, that we want it, or with no ttl that we give it
// up.
func (l *BusLease) claim(ctx context.Context, topic string, c *claimed, ttl time.Duration) error {
	l.mu.Lock()
	c.sent++
	e := bus.Event{
		ID: l.id + "-" + strconv.FormatUint(c.sent, 10), Source: "/" + topic, Type: claimType, Subject: topic, Time: time.Now(),
		Extensions: map[string]string{
			extOwner: c.mine, extClaim: l.id, extSequence: formatSequence(c.sent),
			extTerm: strconv.FormatUint(c.ours, 10), extTTL: strconv.FormatInt(ttl.Milliseconds(), 10),
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
		c.echo = max(c.echo, seq)
		if c.ours != 0 && term == c.ours {
			c.until = time.Now().Add(ttl)
		}
	case term == 0:
		l.candidate(e.Subject, c, owner, id)
	case term >= c.term:
		l.owner(c, term, owner, id, ttl)
	}
	select {
	case c.heard <- struct{}{}:
	default:
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
			_ = l.claim(ctx, topic, c, ttl) // if it fails the next renewal says it
		})
	case id < l.id:
		c.rival, c.rivalAt = owner, time.Now()
	}
}

// owner hears of somebody who has a topic.
func (l *BusLease) owner(c *claimed, term uint64, owner, id string, ttl time.Duration) {
	if c.ours != 0 && owner != c.mine {
		// Two of one term can't be told apart by it.
		if term == c.ours && l.id < id {
			return
		}
		c.ours = 0
	}
	if c.ours != 0 {
		// Another process of ours. Its term is ours, or who knows that one would not
		// hear us once it has ended; and when it gives the topic up we have it still.
		c.term, c.ours = term, term
		return
	}
	c.term, c.owner, c.id, c.until = term, owner, id, time.Now().Add(ttl)
	if c.rival == owner {
		c.rival = ""
	}
}
