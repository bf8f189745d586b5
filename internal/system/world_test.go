package system

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/bus/driver"
)

// world is one seed's world. One goroutine takes its steps; between steps every
// other goroutine of the bubble has come to rest. What others touch is guarded by
// mu.
type world struct {
	seed     uint64
	rng      *rand.Rand
	plan     plan
	mutation *mutation
	began    time.Time
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup

	step     int
	timeline timeline
	tally    tally
	breach   *breach
	mended   bool

	broker     *broker
	db         *database
	resources  []*resource
	relays     [2]*process
	publishers [2]*process
	readers    []*process
	all        []*process

	processCount, asks, announced int
	generations                   [4]int
	epoch                         int
	open                          map[*resource]*transaction
	announcing                    []*announcement
	exchanges, flying             []*exchange
	asking                        []*ask

	mu       sync.Mutex
	changes  []*change
	epochs   map[string]map[string]int // topic, epoch: order of appearance
	epochsAt map[string]time.Time
	arrived  []*exchange
	ended    []*ask
}

// plan says what kind of world a seed makes.
type plan struct {
	steps      int
	pace       int           // requests that move in one step
	calm       float64       // how likely a queue is emptied as time passes
	chaos      float64       // how likely a message is lost, repeated, or its fate unknown
	trouble    float64       // how likely something worse happens in a step
	failures   float64       // how likely a request fails at each stage
	lag        time.Duration // how far replicas are behind at most
	declared   time.Duration // resn-lag
	tags       bool          // notices name ETags
	writeTags  bool          // answers to writes do
	skew       time.Duration // the owners' clock less the readers'
	quiet      bool          // nothing is late
	maxAge     int
	maxBytes   int64
	maxRecords int
	vouchLimit time.Duration
	leaderTTL  time.Duration
	feud       bool          // trouble is most often with who owns a topic
	claimed    bool          // relays own their topic
	claims     float64       // how likely claims are brought as time passes
	apart      time.Duration // one publisher's clock less the other's
}

func (p *plan) text() string {
	return fmt.Sprintf("max-age=%d, notices name ETags: %v, answers to writes: %v, replicas lag up to %v (resn-lag=%d), owners' clock %+v, MaxBytes %d, MaxRecords %d, VouchLimit %v",
		p.maxAge, p.tags, p.writeTags, p.lag, int(p.declared.Seconds()), p.skew, p.maxBytes, p.maxRecords, p.vouchLimit)
}

func (w *world) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

func pick[T any](w *world, of ...T) T { return of[w.rng.IntN(len(of))] }

func (w *world) resource(path string) *resource {
	i := slices.IndexFunc(w.resources, func(r *resource) bool { return r.path == path })
	return w.resources[i]
}

// some returns a resource: the first ones are popular.
func (w *world) some() *resource {
	n := len(w.resources)
	return w.resources[min(w.rng.IntN(n), w.rng.IntN(n), w.rng.IntN(n))]
}

// owned returns a resource of a topic that has a state of its own.
func (w *world) owned(topic string) *resource {
	for {
		if r := w.some(); r.topic == topic {
			return r
		}
	}
}

func newWorld(ctx context.Context, seed uint64, m *mutation) *world {
	w := &world{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0x5357_414c_45)), mutation: m, began: time.Now(),
		open: map[*resource]*transaction{}, epochs: map[string]map[string]int{}, epochsAt: map[string]time.Time{}, epoch: 1,
	}
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.timeline.began = w.began
	w.plan = plan{
		steps: 60 + w.rng.IntN(100), pace: pick(w, 1, 4, 8),
		calm: pick(w, 1, 0.95, 0.6, 0.15), chaos: pick(w, 0, 0.05, 0.3), trouble: pick(w, 0, 0.03, 0.1),
		failures: pick(w, 0, 0, 0.05), lag: pick[time.Duration](w, 0, 0, 0, 1200*time.Millisecond, 5*time.Second),
		tags: w.chance(0.5), skew: time.Duration(w.rng.IntN(800)-400) * time.Millisecond,
		maxAge: pick(w, 0, 0, 1), maxBytes: pick[int64](w, 0, 0, 4<<10), maxRecords: pick(w, 0, 1),
		// Of its own chance, so that all else stays what it was for the seed.
		writeTags: rand.New(rand.NewPCG(seed, 0x7461_6773)).Float64() < 0.3,
		leaderTTL: pick(w, time.Second, 3*time.Second), vouchLimit: pick(w, time.Hour, time.Hour, 4*time.Second),
	}
	// Of their own chance, too.
	own := rand.New(rand.NewPCG(seed, 0x6f77_6e65_72))
	w.plan.claimed = own.Float64() < 0.5
	if w.plan.feud = own.Float64() < 0.3; w.plan.feud {
		w.plan.trouble = 0.15
	}
	w.plan.claims = []float64{1, 1, 1, 0.85, 0.6}[own.IntN(5)]
	w.plan.apart = time.Duration(own.IntN(800)-400)*time.Millisecond - w.plan.skew
	if w.plan.lag > 0 && w.chance(0.7) {
		w.plan.declared = w.plan.lag.Truncate(time.Second) + time.Second
	}
	if w.chance(0.08) {
		// More than is tolerated. Nobody can tell a clock that is ahead from a
		// message that was late by as much, so nothing is late.
		w.plan.skew, w.plan.quiet, w.plan.calm, w.plan.chaos = 2*time.Second, true, 1, 0
		w.plan.apart, w.plan.claims = 0, 1
	}
	w.broker = &broker{w: w, topics: map[string]*channel{}}
	w.db = newDatabase(w.ownerNow, w.committed)
	w.db.without = m.relay
	w.resources = newResources(w)
	for i := range 2 {
		w.startReader(i)
	}
	w.startRelay(0)
	w.rest()
	w.startRelay(1)
	w.startPublisher(0)
	w.startPublisher(1)
	if w.chance(0.85) {
		for _, p := range w.readers {
			for _, topic := range []string{things, orders} {
				_ = p.client.Listen(w.ctx, topic)
			}
		}
	}
	w.pass(3*time.Second, 1) // until topics have owners
	return w
}

// run takes the steps until a rule breaks, mends everything, and cleans up.
func (w *world) run() {
	for w.step < w.plan.steps && w.breach == nil {
		w.next()
		w.act()
		w.settle()
	}
	w.tally.counts[countSteps].Add(int64(w.step))
	w.mend()
	w.atRest()
	for _, p := range w.readers {
		for _, state := range p.client.Topics() {
			w.tally.counts[countResets].Add(int64(state.Resets))
		}
	}
	w.end()
}

func (w *world) next() {
	w.step++
	w.timeline.next(w.step)
}

// act does one thing.
func (w *world) act() {
	if w.chance(w.plan.trouble) {
		w.disturb()
		return
	}
	switch n := w.rng.IntN(100); {
	case n < 26:
		w.askSomething()
	case n < 32:
		w.sweep()
	case n < 56:
		if len(w.flying) == 0 {
			w.askSomething()
		}
		for range min(w.plan.pace, len(w.flying)) {
			x := w.flying[w.rng.IntN(len(w.flying))]
			for w.move(x); x.done == 0 && w.chance(0.6); {
				w.move(x)
			}
			w.rest()
		}
	case n < 66:
		w.pass(pick[time.Duration](w, 50, 250, 250, 600, 1200, 3000, 6000)*time.Millisecond, w.plan.calm)
	case n < 68:
		w.find(pick(w, w.readers...))
	case n < 75:
		if subs := w.broker.subscriptions(pick(w, w.readers...)); len(subs) > 0 {
			pick(w, subs...).deliver()
		}
	case n < 82:
		if t := w.begin(w.owned(things), w.chance(0.15)); t != nil && w.chance(0.8) {
			w.commit(t)
		}
	case n < 86:
		for _, r := range w.resources {
			if t := w.open[r]; t != nil {
				w.commit(t)
				break
			}
		}
	case n < 93:
		w.changeOrder()
	case n < 96:
		w.write(pick(w, w.readers...), w.owned(things), pick(w, http.MethodPut, http.MethodPut, http.MethodDelete))
	case n < 98:
		if len(w.asking) > 0 {
			a := w.asking[min(w.rng.IntN(len(w.asking)), w.rng.IntN(len(w.asking)))]
			w.say(a.p.name, []string{a.res.path}, "%s is cancelled", a.name())
			w.tally.count(countCancelled)
			a.cancelled = true
			a.cancel()
		}
	default:
		w.disturb()
	}
}

func (w *world) askSomething() {
	p, r, want := pick(w, w.readers...), w.some(), wanted{}
	if w.chance(0.15) {
		want.query = "?view=full"
	}
	if r.varies && w.chance(0.5) {
		want.lang = "de"
	}
	if len(w.flying) > 0 && w.chance(0.35) { // what others are just waiting for
		if x := pick(w, w.flying...); x.method == http.MethodGet {
			p, r, want = x.p, x.res, x.want
		}
	}
	w.startAsk(p, r, want)
}

// changeOrder begins to change an order, or takes a change that was begun further.
func (w *world) changeOrder() {
	if p := w.announcer(); len(w.announcing) < 2 && w.chance(0.6) && !p.suspended() {
		w.announce(p, w.owned(orders), w.chance(0.15))
	}
	for range 3 {
		if len(w.announcing) > 0 && w.chance(0.7) {
			w.rest()
			w.proceed()
		}
	}
	if w.plan.quiet {
		w.proceedAll()
	}
}

// owners are the processes that publish.
func (w *world) owners() []*process {
	return append(slices.Clone(w.relays[:]), w.publishers[:]...)
}

// sweep lets one process read everything there is, and waits for the answers.
func (w *world) sweep() {
	p := pick(w, w.readers...)
	for _, r := range w.resources {
		w.read(p, r)
	}
}

// read lets a process read something, and waits for the answer.
func (w *world) read(p *process, r *resource) {
	w.next()
	w.startAsk(p, r, wanted{})
	w.settle()
	for _, x := range slices.Clone(w.flying) {
		for x.p == p && x.res == r && x.done == 0 {
			w.move(x)
		}
		w.rest()
	}
	w.settle()
}

// pass lets time pass, while relays, publisher and bus do their work.
func (w *world) pass(d time.Duration, calm float64) {
	w.say("", nil, "%v pass", d)
	for d > 0 {
		slice := min(d, 250*time.Millisecond)
		d -= slice
		for _, p := range w.owners() {
			if p != nil && p.suspended() && w.chance(0.15) {
				w.hang(p)
			}
		}
		<-time.After(slice)
		w.rest()
		w.register()
		w.bringClaims()
		for _, p := range w.readers {
			for _, s := range w.broker.subscriptions(p) {
				for w.chance(calm) && s.waiting() {
					s.deliver()
					synctest.Wait()
					w.judgeBounds(p)
				}
			}
		}
		w.rest()
		w.lookWhoOwns()
	}
}

func (w *world) proceedAll() {
	for len(w.announcing) > 0 {
		w.proceed()
		w.rest()
	}
}

// settle waits until everybody has come to rest and judges what they got.
func (w *world) settle() {
	w.rest()
	w.register()
	w.collect()
	for _, p := range w.readers {
		w.judgeBounds(p)
	}
}

// mend makes everything work again, and sees that it does: everybody hears of
// everything, and vouches again.
func (w *world) mend() {
	if w.breach != nil {
		return
	}
	w.next()
	w.say("", nil, "everything is mended")
	w.plan.failures, w.plan.chaos, w.mended = 0, 0, true
	w.broker.mu.Lock()
	w.broker.calm = true
	w.broker.mu.Unlock()
	again := w.mending()
	for _, p := range w.all {
		p.resume()
		tell, hole := again()
		w.broker.turn(p, false, tell, hole)
		for _, s := range w.broker.subscriptions(p) {
			s.forget(false)
		}
	}
	for _, r := range w.resources {
		if t := w.open[r]; t != nil {
			w.commit(t)
		}
	}
	w.proceedAll()
	w.pass(8*time.Second, 1)
	w.settle()
	w.drain()
	w.pass(time.Second, 1)
	for _, p := range w.readers {
		for _, r := range w.resources {
			w.next()
			w.startAsk(p, r, wanted{}).final = true
			w.settle()
			w.drain()
		}
	}
	w.pass(time.Second, 1)
	w.judgeOwners()
	for _, p := range w.readers {
		w.judgeMended(p)
	}
}

// drain lets everything that is under way arrive.
func (w *world) drain() {
	for range 1000 {
		if len(w.flying) == 0 || w.breach != nil {
			break
		}
		w.next()
		w.move(w.flying[0])
		w.settle()
	}
	for _, a := range w.asking {
		w.breaks("G5", w.about(a), "%s still waits although nothing is under way", a.name())
	}
}

// judgeMended: once everything works a process vouches again.
func (w *world) judgeMended(p *process) {
	if !p.live(things) || !p.live(orders) {
		w.pass(11*time.Second, 1) // until a subscription that failed is tried again
	}
	for _, topic := range []string{things, orders} {
		if p.live(topic) {
			w.tally.count(countRestored)
		} else if w.plan.skew <= tolerance {
			w.breaks("rest", []string{p.name, topic}, "everything works again, and %s doesn't vouch for %s: %v", p.name, topic, p.client.Topics())
		}
	}
}

// end lets every goroutine end.
func (w *world) end() {
	for _, p := range w.all {
		p.kill()
	}
	w.proceedAll()
	for _, t := range w.open {
		_ = t.tx.Rollback()
	}
	w.cancel()
	for range 2 {
		w.rest()
		w.register()
		for _, x := range slices.Clone(w.flying) {
			w.land(x)
			x.answer <- nil
		}
	}
	w.work.Wait()
	ctx := context.Background()
	for _, p := range w.all {
		<-p.ended
		if p.pub != nil {
			_ = p.pub.Close(ctx)
		}
		if p.lease != nil {
			_ = p.lease.Close(ctx)
		}
		if p.client != nil {
			_ = p.client.Close(ctx)
		}
		_ = p.bus.Shutdown(ctx)
	}
	_ = w.db.sql.Close()
}

var _ driver.Subscription = (*subscription)(nil)
