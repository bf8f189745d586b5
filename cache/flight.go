package cache

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// finishTime is how long a body is still taken in after its last reader
	// left.
	finishTime = 10 * time.Second
	// refreshTime bounds a background refresh.
	refreshTime = 30 * time.Second
	// maxRefreshes bounds the background refreshes at one time.
	maxRefreshes = 64
)

// flight is a question under way, and who waits for the answer. Its first
// reader, the leader, gets the body as it comes; the others wait until it is
// stored. Nobody joins a flight that an invalidation has overtaken.
//
// A flight doesn't live in the context of a reader: a reader that is
// cancelled leaves. When nobody is left the question is cancelled, unless the
// body is already on its way into the store.
type flight struct {
	*fill
	shared  bool     // others may join
	vary    []string // by what the URI was known to vary when it began
	out     *http.Request
	cancel  context.CancelFunc
	headed  chan struct{} // closed when the leader can go on
	done    chan struct{} // closed when it is known what others get
	ended   chan struct{} // closed when nothing runs any more
	refresh bool

	holders atomic.Int32 // who still needs the context: the run, the body
	mu      sync.Mutex
	readers int
	led     bool // the leader is still there
	landed  bool // the header is there
	over    bool // nothing runs any more
	timer   *time.Timer

	// Set before headed is closed:
	resp   *http.Response // for the leader
	failed bool           // resp is a failure that everybody who waits is told of
	spool  *spool         // not nil if resp's body is being stored
	err    error
	leads  *entry      // for the leader, if a 304 confirmed it
	own    http.Header // fields of the 304 that are for him only
	// Set before done is closed:
	entry  *entry
	kept   bool // entry is in the store
	status int  // what the origin answered; 304 if it confirmed
}

// fly starts a question. readers is 1 for a leader, 0 for a refresh.
func (t *Transport) fly(a *ask, cand *entry, readers int) *flight {
	ctx := context.WithoutCancel(a.req.Context())
	if t.ledger.sabotage.detaches {
		ctx = a.req.Context()
	}
	ctx, cancel := context.WithCancel(ctx)
	fl := &flight{
		cancel: cancel, readers: readers, led: readers > 0, refresh: readers == 0,
		headed: make(chan struct{}), done: make(chan struct{}), ended: make(chan struct{}),
	}
	fl.fill, fl.out = t.newFill(ctx, a, cand)
	fl.holders.Store(1)
	if fl.refresh {
		fl.timer = time.AfterFunc(refreshTime, cancel)
	}
	return fl
}

// launch runs the flight. It must be registered by then.
func (fl *flight) launch() {
	fl.t.flying.add(fl)
	go func() {
		defer fl.drop()
		fl.run()
		if fl.kept && fl.t.backing != nil {
			fl.t.backing.keep(fl.entry)
		}
	}()
}

// drop ends the flight when the last holder lets go.
func (fl *flight) drop() {
	if fl.holders.Add(-1) > 0 {
		return
	}
	fl.mu.Lock()
	fl.over = true
	if fl.timer != nil {
		fl.timer.Stop()
	}
	fl.mu.Unlock()
	fl.cancel()
	fl.release()
	fl.t.flying.remove(fl)
	close(fl.ended)
}

func (fl *flight) run() {
	t := fl.t
	defer close(fl.done)
	defer t.unregister(fl)
	counts := &t.store.shard(fl.hash).counts
	if fl.validates {
		counts.validations.Add(1)
	} else {
		counts.misses.Add(1)
	}
	resp, err := t.next.RoundTrip(fl.out)
	fl.received = t.now()
	if err == nil && resp.StatusCode == http.StatusNotModified && fl.validates {
		drain(resp)
		if about := fl.selects(resp.Header); about != selectsOther {
			fl.confirmed(resp, about == selectsAlike)
			return
		}
		fl.insist()
		return
	}
	fl.answered(resp, err)
}

// answered handles what is no 304 to our own condition.
func (fl *flight) answered(resp *http.Response, err error) {
	t := fl.t
	counts := &t.store.shard(fl.hash).counts
	if err != nil {
		counts.errors.Add(1)
		fl.err = err
		t.unregister(fl)
		fl.land(nil)
		return
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	fl.status = resp.StatusCode
	ans, ok := fl.read(resp, resp.Header)
	if resp.ContentLength > t.maxEntry {
		ok = false
	}
	if _, stale := t.staleOnError(fl.cand, nil, t.nowNano(), false); stale && serverError(resp.StatusCode) {
		ok = false // the error mustn't take the place of what may stand in for it
	}
	if !ok {
		ans, fl.failed = fl.failure(resp)
	}
	switch {
	case ok:
		t.solo.clear(fl.hash)
	case fl.failed:
		counts.bypassed.Add(1)
	default:
		fl.passed(resp)
		return
	}
	if fl.failed || !fl.lasting(ans) {
		// Whoever comes now would have to ask himself.
		t.unregister(fl)
	}
	fl.holders.Add(1)
	length := resp.ContentLength
	if length == 0 && len(resp.Header["Content-Length"]) == 0 {
		length = -1 // nobody said: a transport of a program's own leaves it out
	}
	fl.spool = newSpool(resp.Body, length, t.maxEntry, fl.drop)
	fl.land(resp) // from here on resp is the leader's
	tooLong := fl.spool.fill(length, func(body []byte) {
		// The reader may still read the buffer; the entry has its own copy.
		e := fl.fill.entry(ans, string(body), nil, false)
		if fl.failed {
			t.store.drop(e)
		} else {
			fl.kept = fl.commit(e)
		}
		fl.entry = e
		t.unregister(fl) // who has read to the end and asks again doesn't join
	})
	if tooLong {
		t.solo.set(fl.hash, t.nowNano())
		if fl.cand != nil {
			fl.forsake()
		}
	}
}

// lasting reports whether the answer will satisfy readers that come after it.
func (fl *flight) lasting(a *answer) bool {
	p := &a.policy
	return !p.noCache && (a.times.lifetime > fl.t.clock.at(fl.received)-a.times.birth || len(p.scopes) > 0)
}

// confirmed handles a 304 to our own condition.
func (fl *flight) confirmed(resp *http.Response, alike bool) {
	e, own, keep := fl.freshen(resp, alike)
	fl.t.store.shard(fl.hash).counts.notModified.Add(1)
	fl.status = http.StatusNotModified
	fl.leads, fl.own = e, own
	if keep {
		fl.kept = fl.commit(e)
		fl.entry = e
	} else {
		// It answers nobody else's request (RFC 9111 section 5.2.2.5).
		fl.t.solo.set(fl.hash, fl.t.nowNano())
		fl.forsake()
		fl.t.store.drop(e)
	}
	fl.t.unregister(fl) // nor does who has this answer and asks again
	fl.land(nil)
}

// insist asks once more, without a condition and through intermediaries, because
// the 304 that came is about another version than the one it was asked about:
// whose version that is nobody here can tell.
func (fl *flight) insist() {
	fl.t.store.shard(fl.hash).counts.misses.Add(1)
	out := fl.out.Clone(fl.out.Context())
	for _, name := range conditionalFields {
		delete(out.Header, name)
	}
	if !fl.asked {
		fl.asked = true
		out.Header["Cache-Control"] = append(slices.Clip(out.Header["Cache-Control"]), "no-cache")
	}
	fl.requested = fl.t.now()             // the wait for the 304 is no part of the answer's age
	resp, err := fl.t.next.RoundTrip(out) //nolint:bodyclose // its reader closes it
	fl.received = fl.t.now()
	fl.answered(resp, err)
}

// drain takes in what follows the header of a 304, which is nothing.
func drain(resp *http.Response) {
	if resp.Body == nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, spoolChunk))
	_ = resp.Body.Close()
}

// passed handles an answer that can't be stored: the leader gets it as it is.
func (fl *flight) passed(resp *http.Response) {
	t := fl.t
	t.store.shard(fl.hash).counts.bypassed.Add(1)
	if fl.cand != nil && resp.StatusCode < 500 && resp.StatusCode != http.StatusNotModified {
		// Validation told that what we have isn't it any more.
		fl.forsake()
	}
	if resp.StatusCode < 500 && resp.StatusCode != http.StatusNotModified {
		t.solo.set(fl.hash, t.nowNano())
	}
	t.unregister(fl)
	fl.holders.Add(1)
	resp.Body = &passBody{ReadCloser: resp.Body, release: fl.drop}
	fl.land(resp)
}

// land hands the header to the leader. If he is gone, nobody reads the body.
func (fl *flight) land(resp *http.Response) {
	fl.mu.Lock()
	fl.landed = true
	fl.resp = resp
	orphan, last := !fl.led, fl.readers == 0
	fl.mu.Unlock()
	if orphan {
		fl.discard()
		if last && !fl.refresh {
			fl.expire()
		}
	}
	close(fl.headed)
}

// discard leaves the leader's response unread.
func (fl *flight) discard() {
	switch {
	case fl.resp == nil:
	case fl.spool != nil:
		fl.spool.abandon()
	default:
		_ = fl.resp.Body.Close()
	}
}

// expire gives what is left of the body a limited time.
func (fl *flight) expire() {
	if fl.t.flying.closed() {
		fl.cancel()
		return
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.timer == nil && !fl.over {
		fl.timer = time.AfterFunc(finishTime, fl.cancel)
	}
}

// join adds a reader. If it is the first one after the last one left, the rest
// of the body has all the time again.
func (fl *flight) join() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.readers++
	if fl.timer != nil && !fl.refresh {
		fl.timer.Stop()
		fl.timer = nil
	}
}

// abandonLead is called by a leader that doesn't wait for the header.
func (fl *flight) abandonLead() {
	fl.mu.Lock()
	landed := fl.landed
	fl.led = false
	fl.mu.Unlock()
	if landed {
		fl.discard()
	}
	fl.leave()
}

// leave is called once by each reader.
func (fl *flight) leave() {
	// Nobody may join between the last one leaving and the cancel.
	sh := fl.t.store.shard(fl.hash)
	sh.mu.Lock()
	fl.mu.Lock()
	fl.readers--
	last, landed := fl.readers == 0, fl.landed
	if last && !landed {
		sh.unregister(fl)
	}
	fl.mu.Unlock()
	sh.mu.Unlock()
	switch {
	case !last:
	case !landed:
		fl.cancel()
	default:
		fl.expire()
	}
}

// flight finds a flight that a reader may join. The shard's lock is held.
func (sh *storeShard) flight(a *ask) *flight {
	for _, fl := range sh.flights[a.key] {
		if !fl.overtaken() && fl.serves(a) {
			return fl
		}
	}
	return nil
}

// serves reports whether the answer that the flight waits for may serve a
// reader, by all that is known of how the URI varies.
func (fl *flight) serves(a *ask) bool {
	if a.wishes != fl.wishes {
		return false // an intermediary may have gone by them
	}
	vary := a.vary
	if vary == nil {
		vary = fl.vary
	}
	for _, name := range vary {
		lines := fl.header[name]
		if !selectorEqual(string(appendSelector(nil, name, lines)), len(lines) > 0, name, a.req.Header[name]) {
			return false
		}
	}
	return true
}

// register lets others join. The shard's lock is held.
func (sh *storeShard) register(fl *flight, vary []string) {
	fl.shared, fl.vary = true, vary
	if sh.flights == nil {
		sh.flights = make(map[string][]*flight)
	}
	sh.flights[fl.key] = append(sh.flights[fl.key], fl)
}

// unregister undoes register. The shard's lock is held.
func (sh *storeShard) unregister(fl *flight) {
	list := sh.flights[fl.key]
	i := slices.Index(list, fl)
	switch {
	case i < 0:
	case len(list) == 1:
		delete(sh.flights, fl.key)
	default:
		sh.flights[fl.key] = slices.Delete(list, i, i+1)
	}
}

// unregister keeps further readers from joining.
func (t *Transport) unregister(fl *flight) {
	if !fl.shared {
		return
	}
	sh := t.store.shard(fl.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.unregister(fl)
}

// passBody is the body of an answer that isn't stored.
type passBody struct {
	io.ReadCloser
	once    sync.Once
	release func()
}

func (b *passBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.once.Do(b.release)
	}
	return n, err
}

func (b *passBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.release)
	return err
}

// flying is the set of flights, for Close.
type flying struct {
	mu     sync.Mutex
	set    map[*flight]struct{}
	closes bool
	idle   int // refreshes under way
}

func (f *flying) add(fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.set == nil {
		f.set = make(map[*flight]struct{})
	}
	f.set[fl] = struct{}{}
}

func (f *flying) remove(fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.set, fl)
	if fl.refresh {
		f.idle--
	}
}

func (f *flying) closed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closes
}

// mayRefresh takes a place for a background refresh.
func (f *flying) mayRefresh() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closes || f.idle >= maxRefreshes {
		return false
	}
	f.idle++
	return true
}

// unuse gives a place for a refresh back.
func (f *flying) unuse() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.idle--
}

// close cancels the flights that no reader waits for and returns them.
func (f *flying) close() (ending []*flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closes = true
	for fl := range f.set {
		fl.mu.Lock()
		if fl.readers == 0 {
			fl.cancel()
			ending = append(ending, fl)
		}
		fl.mu.Unlock()
	}
	return ending
}
