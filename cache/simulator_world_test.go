package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"
)

// world is one seed's world. One goroutine takes its steps; between steps
// every other goroutine of the bubble has come to rest, so that the same seed
// does the same again. What other goroutines touch is guarded by mu.
type world struct {
	seed    uint64
	rng     *rand.Rand
	plan    plan
	ctx     context.Context
	cache   *Transport
	life    int                // of the process
	prepare func(t *Transport) // called with each cache, or nil
	store   *simStore

	step     int
	timeline timeline
	tally    tally
	resting  bool // replicas have caught up
	broken   *broken
	sabotage func(t *Transport) // after each step, or nil

	topics    []*topic
	resources []*resource
	replicas  []replica
	kept      map[wanted]kept // by the intermediary

	exchanges     []*exchange
	flying        []*exchange // not done
	readers       []*reader
	reading       []*reader // not ended
	writes        []*write
	unsure        []unsure
	invalidations []invalidation
	leases        []bool // whether each topic was live after the last step

	mu      sync.Mutex
	arrived []*exchange
	ended   []*reader
}

// plan says what kind of world a seed makes.
type plan struct {
	steps        int
	pace         int           // how many questions move in one step
	calm         float64       // how likely the bus keeps up
	chaos        float64       // how likely a message is lost or repeated
	failures     float64       // how likely a request fails at each stage
	errors       float64       // how likely the owner answers 503
	lag          time.Duration // how far replicas are behind at most
	declared     time.Duration // resn-lag
	tags         tagStyle
	noticeTags   bool
	writeTags    bool          // answers to writes name the new version
	skew         time.Duration // the owner's clock less ours
	between      bool          // an intermediary is on the way
	betweenKeeps int           // seconds that it keeps things whatever they say
	second       bool          // there is a second level
	maxBytes     int64
	maxRecords   int
	vouchLimit   time.Duration
	padding      int
}

func (p *plan) text() string {
	return fmt.Sprintf("replicas lag up to %v (resn-lag=%d), ETag style %d (named in notices: %v, in answers to writes: %v), owner's clock %+v, "+
		"intermediary %v (keeps %ds), second level %v, MaxBytes %d, MaxRecords %d, VouchLimit %v",
		p.lag, int(p.declared.Seconds()), p.tags, p.noticeTags, p.writeTags, p.skew, p.between, p.betweenKeeps, p.second, p.maxBytes, p.maxRecords, p.vouchLimit)
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

func pick[T any](w *world, of ...T) T { return of[w.rng.IntN(len(of))] }

func (w *world) say(actor, about, text string, args ...any) {
	w.timeline.add(w.step, actor, about, text, args...)
}

func (w *world) somePath() string {
	// The first ones are popular.
	n := len(w.resources)
	return w.resources[min(w.rng.IntN(n), w.rng.IntN(n), w.rng.IntN(n))].path
}

func newWorld(ctx context.Context, seed uint64) *world {
	w := &world{seed: seed, rng: rand.New(rand.NewPCG(seed, 0x5741_4c45)), ctx: ctx, kept: map[wanted]kept{}}
	w.timeline.began = time.Now()
	w.plan = plan{
		steps:    60 + w.rng.IntN(120),
		pace:     pick(w, 1, 2, 4),
		calm:     pick(w, 0.98, 0.9, 0.5),
		chaos:    pick(w, 0, 0.02, 0.2),
		failures: pick(w, 0, 0.02, 0.1),
		errors:   pick(w, 0, 0, 0.1),
		lag:      pick[time.Duration](w, 0, 0, 1500*time.Millisecond),
		tags:     pick(w, tagsContent, tagsCounter, tagsCounter, tagsNone),
		between:  w.chance(0.5),
		maxBytes: pick[int64](w, 0, 0, 4<<10), maxRecords: pick(w, 0, 1),
		vouchLimit: pick[time.Duration](w, 0, 0, 10*time.Second),
		padding:    w.rng.IntN(200),
	}
	w.plan.noticeTags = w.plan.tags != tagsNone && w.chance(0.6)
	if w.plan.lag > 0 && w.chance(0.7) {
		w.plan.declared = 2 * time.Second
	}
	w.plan.writeTags = w.plan.tags != tagsNone && w.chance(0.5)
	w.plan.skew = time.Duration(w.rng.IntN(800)-400) * time.Millisecond
	if w.chance(0.03) {
		w.plan.skew = 700 * time.Millisecond // more than is tolerated
	}
	if w.plan.between && w.chance(0.4) {
		w.plan.betweenKeeps = 30
	}
	w.topics = []*topic{{name: "things", epoch: 1}, {name: "orders", epoch: 1}}
	w.leases = make([]bool, len(w.topics))
	w.settleOwner()
	w.plan.second = w.chance(0.3)
	w.store = new(simStore)
	w.begin()
	if w.chance(0.85) {
		for _, t := range w.topics {
			w.relay(t)
			w.hear(t, t.queue[0])
			t.queue = nil
		}
	}
	return w
}

// run takes the steps until a rule breaks, and cleans up.
func (w *world) run() {
	for w.step < w.plan.steps && w.broken == nil {
		w.step++
		w.act()
		w.settle()
		if w.sabotage != nil {
			w.sabotage(w.cache)
		}
	}
	w.end()
	w.tally.counts[countSteps].Add(int64(w.step))
	w.tally.counts[countEvictions].Add(int64(w.cache.Stats().Evictions))
}

// begin begins a life of the process.
func (w *world) begin() {
	w.life++
	options := &Options{
		MaxBytes: w.plan.maxBytes, MaxEntryBytes: 64 << 10, MaxRecords: w.plan.maxRecords, VouchLimit: w.plan.vouchLimit,
	}
	if w.plan.second {
		options.Backing = &simHandle{store: w.store}
	}
	w.cache = New(w, options)
	if w.plan.vouchLimit == 0 {
		w.plan.vouchLimit = time.Hour
	}
	if w.prepare != nil {
		w.prepare(w.cache)
	}
}

// restart ends the process, whatever it is about to do, and begins another one.
// What is in the second level stays, maybe not intact.
func (w *world) restart() {
	w.say("process", "", "dies and begins anew")
	w.tally.count(countRestarts)
	w.cache.backing.store.(*simHandle).dead.Store(true)
	for _, r := range w.reading {
		r.cancelled = true
		r.cancel()
	}
	for _, o := range w.writes {
		o.cancel()
	}
	synctest.Wait()
	w.register()
	w.collect()
	_ = w.cache.Close()
	for _, x := range slices.Clone(w.flying) {
		w.abandon(x)
		if x.ctx.Err() == nil {
			x.answer <- nil
		}
	}
	synctest.Wait()
	w.tally.counts[countEvictions].Add(int64(w.cache.Stats().Evictions))
	if w.chance(0.3) {
		w.store.spoil(w)
	}
	for _, t := range w.topics {
		t.queue, t.listener = nil, listener{}
		t.truth = voucher{resets: t.truth.resets + 1}
	}
	w.begin()
}

// act does one thing.
func (w *world) act() {
	if w.plan.second && w.chance(0.015) {
		w.restart()
		return
	}
	switch n := w.rng.IntN(100); {
	case n < 36:
		w.startReader()
	case n < 66:
		if len(w.flying) == 0 {
			w.startReader()
		}
		for range min(w.plan.pace, len(w.flying)) {
			w.move(w.flying[w.rng.IntN(len(w.flying))])
		}
	case n < 76:
		w.wait()
	case n < 82:
		t := pick(w, w.topics...)
		w.relay(t)
		w.deliver(t)
	case n < 89:
		r := w.resources[w.rng.IntN(len(w.resources))]
		if r.parts[0] != r {
			r = w.resources[0]
		}
		content := w.nextContent(r)
		if w.chance(0.15) && r.now() != 0 {
			content = 0
		}
		w.change(r, content)
		w.say("owner", r.path, "commits %s is %s", r.path, contentName(content))
	case n < 92:
		w.startWrite()
	case n < 94:
		w.cancelReader()
	case n < 95:
		w.cancelWrite()
	case n < 98:
		if w.plan.chaos > 0 || w.chance(0.2) {
			w.disturb(pick(w, w.topics...))
		}
	case n < 99:
		w.invalidate()
	default:
		w.noise()
	}
}

// wait lets time pass, while relay and bus do their work or don't.
func (w *world) wait() {
	d := pick(w, 50*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond, 500*time.Millisecond, time.Second,
		1700*time.Millisecond, 3*time.Second, 20*time.Second, 90*time.Second)
	w.say("", "", "%v pass", d)
	<-time.After(d)
	synctest.Wait()
	w.register()
	for _, t := range w.topics {
		if !w.chance(w.plan.calm) {
			continue
		}
		w.relay(t)
		for len(t.queue) > 0 {
			w.deliver(t)
		}
	}
}

// noise makes the cache forget generations.
func (w *world) noise() {
	w.say("program", "", "invalidates 64 resources that nobody ever asked for")
	w.tally.count(countForgotten)
	for i := range 64 {
		w.cache.Invalidate(fmt.Sprintf("%s/noise/%d/%d", simOrigin, w.step, i))
	}
}

// settle waits until everybody has come to rest and judges what they got.
func (w *world) settle() {
	synctest.Wait()
	w.register()
	w.collect()
	w.judgeGivenUp()
	for i, t := range w.topics {
		live := time.Now().Before(t.truth.until)
		if w.leases[i] && !live && !t.truth.until.IsZero() {
			w.tally.count(countLeases)
			w.say("bus "+t.name, t.name, "the lease has ended")
		}
		w.leases[i] = live
	}
	w.judgeBounds()
}

// end lets everything come to its end: a reader that then still waits was
// forgotten.
func (w *world) end() {
	w.plan.failures, w.plan.errors = 0, 0
	for round := 0; len(w.flying) > 0 && round < 1000; round++ {
		w.step++
		w.move(w.flying[0])
		w.settle()
	}
	w.rest()
	for _, r := range w.reading {
		w.breaks("G5", []string{r.want.path}, "%s still waits for %s although nothing is under way", r.name(), r.want)
	}
	for _, r := range w.readers {
		r.cancel()
	}
	for _, o := range w.writes {
		o.cancel()
	}
	synctest.Wait()
	_ = w.cache.Close()
	// Whatever a broken cache still has under way has to end with the bubble.
	w.register()
	for _, x := range slices.Clone(w.flying) {
		w.fail(x)
	}
	synctest.Wait()
}

// simStore is a second level.
type simStore struct{ m sync.Map }

func (s *simStore) Get(key string) ([]byte, bool) {
	v, ok := s.m.Load(key)
	b, _ := v.([]byte)
	return b, ok
}

func (s *simStore) Set(key string, value []byte) { s.m.Store(key, value) }

func (s *simStore) Delete(key string) { s.m.Delete(key) }

// spoil damages what is stored, each value in another way.
func (s *simStore) spoil(w *world) {
	var keys []string
	s.m.Range(func(key, _ any) bool {
		keys = append(keys, key.(string))
		return true
	})
	slices.Sort(keys) // digests of names: the same each time
	for i, key := range keys {
		value, _ := s.Get(key)
		switch w.rng.IntN(4) {
		case 0:
			s.Set(key, value[:w.rng.IntN(len(value)+1)])
		case 1:
			damaged := slices.Clone(value)
			damaged[w.rng.IntN(len(damaged))] ^= 1 << w.rng.IntN(8)
			s.Set(key, damaged)
		case 2:
			other, _ := s.Get(keys[(i+1)%len(keys)])
			s.Set(key, other)
		}
	}
}

// simHandle is how one life of the process reaches the second level. A process
// that is dead reaches nothing.
type simHandle struct {
	store *simStore
	dead  atomic.Bool
}

func (h *simHandle) Get(key string) ([]byte, bool) {
	if h.dead.Load() {
		return nil, false
	}
	return h.store.Get(key)
}

func (h *simHandle) Set(key string, value []byte) {
	if !h.dead.Load() {
		h.store.Set(key, value)
	}
}

func (h *simHandle) Delete(key string) {
	if !h.dead.Load() {
		h.store.Delete(key)
	}
}

var _ http.RoundTripper = (*world)(nil)
