package rows

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/goswale/swale/benchmarks/internal/apart"
	"github.com/goswale/swale/benchmarks/internal/fed"
	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/driver"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/resn"
)

const (
	resnTopic  = "items"
	resnOrigin = "http://origin.example"
	applyBurst = 20_000  // notices of one round
	applyHeld  = 10_000  // entries that the cache holds
	unseen     = 1000000 // hrefs that nobody reads
	freshReads = 150     // changes of one round
)

func resnRows() []ratio.Row {
	return []ratio.Row{
		{
			Name: "resn.guard.ns", Unit: "ns", Bound: ratio.AtMost(130),
			Note: "what breaker and retries add to a request that succeeds at once",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				guarded, bare, err := guard(ctx)
				return difference(ratio.PerOp, guarded, bare), nil, err
			},
		},
		{
			Name: "resn.guard.allocs", Unit: "allocs", Bound: ratio.AtMost(0.1),
			Note: "heap objects that they add",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				guarded, bare, err := guard(ctx)
				return difference(ratio.Allocs, guarded, bare), nil, err
			},
		},
		{
			Name: "resn.apply_unheld.per_second", Unit: "/s", Bound: ratio.AtLeast(200_000),
			Note: "encoded notices from memory, taken in on one core, for entries that the cache doesn't hold",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) { return openApply(ctx, unseen, 0) },
		},
		{
			Name: "resn.apply_held.per_second", Unit: "/s", Bound: ratio.AtLeast(100_000),
			Note: "the same for entries that it holds",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				return openApply(ctx, applyHeld, applyHeld)
			},
		},
		{
			Name: "resn.apply_unheld.bytes_growth", Unit: "MB", Bound: ratio.AtMost(1),
			Note: "heap that a million notices for hrefs that nobody reads leave behind, once as many have come before",
			Open: openGrowth,
		},
		{
			Name: "resn.commit_to_fresh.vs_bus", Unit: "x", Bound: ratio.AtMost(3),
			Note: "p50 from the end of a commit in SQLite to the end of the first fresh read, over HTTP, at a reader, against from Publish to the subscriber",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				f, err := openFresh(ctx)
				if err != nil {
					return nil, nil, err
				}
				return f.versus, f.close, nil
			},
		},
		{
			Name: "resn.commit_to_fresh.p99", Unit: "ms", Bound: ratio.AtMost(25),
			Note: "99th percentile of the same",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				f, err := openFresh(ctx)
				if err != nil {
					return nil, nil, err
				}
				return f.slowest, f.close, nil
			},
		},
	}
}

// difference returns a round that measures both and subtracts.
func difference(measure func(ratio.Op) (float64, error), with, without ratio.Op) func() (float64, error) {
	return func() (float64, error) {
		a, err := measure(with)
		if err != nil {
			return 0, err
		}
		b, err := measure(without)
		return a - b, err
	}
}

// instant answers every request at once.
type instant struct{ resp *http.Response }

func (i instant) RoundTrip(*http.Request) (*http.Response, error) { return i.resp, nil }

// guard returns a request through a guard, and without.
func guard(ctx context.Context) (guarded, bare ratio.Op, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, resnOrigin+"/", nil)
	if err != nil {
		return nil, nil, err
	}
	var next http.RoundTripper = instant{&http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}
	through := func(rt http.RoundTripper) ratio.Op {
		return func() error {
			_, err := rt.RoundTrip(req) //nolint:bodyclose // it is http.NoBody
			return err
		}
	}
	return through(resn.NewGuard(next, nil)), through(next), nil
}

// applying is a reader that is fed notices.
type applying struct {
	*fed.Reader
	seq   uint64
	hrefs int
}

func newApplying(ctx context.Context, hrefs int) (*applying, error) {
	header := http.Header{"Cache-Control": {"max-age=5, " + resn.Directive(resnTopic)}}
	reader, err := fed.New(ctx, &stub{body: oneKB(), header: header}, resnTopic)
	if err != nil {
		return nil, err
	}
	m, err := fed.Watermark(resnTopic, 0)
	if err != nil {
		return nil, err
	}
	reader.Feed(resnTopic, m)
	return &applying{Reader: reader, hrefs: hrefs}, nil
}

// notices encodes the next n.
func (a *applying) notices(n int) ([]driver.Message, error) {
	msgs := make([]driver.Message, n)
	for i := range msgs {
		a.seq++
		var err error
		if msgs[i], err = fed.Notice(resnTopic, int(a.seq)%a.hrefs, a.seq); err != nil {
			return nil, err
		}
	}
	return msgs, nil
}

// take takes notices in on one core and returns how many it does in a second of
// that core's time, the collector's work included.
func (a *applying) take(msgs []driver.Message) (float64, error) {
	runtime.GC()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	began, err := fed.ProcessorTime()
	if err != nil {
		return 0, err
	}
	for i := range msgs {
		a.Feed(resnTopic, msgs[i])
	}
	ended, err := fed.ProcessorTime()
	if err != nil {
		return 0, err
	}
	took := ended - began
	state := a.Listener.Topics()[0]
	if state.Sequence != a.seq || state.Resets != 0 || state.Rejected != 0 {
		return 0, fmt.Errorf("the notices were not all taken in: %+v", state)
	}
	return float64(len(msgs)) / took.Seconds(), nil
}

func openApply(ctx context.Context, hrefs, held int) (round func() (float64, error), closer func(), err error) {
	a, err := newApplying(ctx, hrefs)
	if err != nil {
		return nil, nil, err
	}
	buf := make([]byte, 2048)
	for i := range held {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fed.Href(resnTopic, i), nil)
		if err == nil {
			err = fetch(a.Cache, req, buf)
		}
		if err != nil {
			a.Close()
			return nil, nil, err
		}
	}
	round = func() (float64, error) {
		msgs, err := a.notices(applyBurst)
		if err != nil {
			return 0, err
		}
		rate, err := a.take(msgs)
		if n := a.Cache.Stats().Entries; err == nil && n < held {
			err = fmt.Errorf("the cache holds %d entries instead of %d", n, held)
		}
		return rate, err
	}
	return round, a.Close, nil
}

func openGrowth(ctx context.Context) (round func() (float64, error), closer func(), err error) {
	a, err := newApplying(ctx, 100*unseen)
	if err != nil {
		return nil, nil, err
	}
	million := func() (float64, error) {
		for range unseen / applyBurst {
			msgs, err := a.notices(applyBurst)
			if err != nil {
				return 0, err
			}
			for i := range msgs {
				a.Feed(resnTopic, msgs[i])
			}
		}
		return heap(), nil
	}
	if _, err := million(); err != nil {
		return nil, nil, err
	}
	round = func() (float64, error) {
		before := heap()
		after, err := million()
		return (after - before) / 1e6, err
	}
	return round, a.Close, nil
}

// heap weighs what is in use.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// fresh is an owner with a database, an outbox and a relay, and a reader, each
// with a connection to the server, and the owner's HTTP on a loopback port.
type fresh struct {
	ctx     context.Context //nolint:containedctx // of the whole row
	db      *sql.DB
	box     *outbox.Outbox
	owner   *bus.Bus
	reader  *resn.Client
	root    string
	heard   chan arrival
	told    chan struct{}
	version int
	url     string
	prefix  string
	closers []func()
}

func openFresh(ctx context.Context) (f *fresh, err error) {
	f = &fresh{ctx: ctx, heard: make(chan arrival, 16), told: make(chan struct{}, 16), prefix: "rows" + strconv.FormatInt(time.Now().UnixNano(), 36)}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	s, err := openSQLite(ctx)
	if err != nil {
		return nil, err
	}
	f.db = s.db
	f.closers = append(f.closers, s.closer, func() { _ = s.db.Close() })
	var stop func()
	if f.url, stop, err = apart.NATS(ctx); err != nil {
		return nil, err
	}
	f.closers = append(f.closers, stop)
	if f.owner, err = f.connect(); err != nil {
		return nil, err
	}
	hears, err := f.connect()
	if err != nil {
		return nil, err
	}
	if _, err := hears.Broadcast(ctx, "plain", bus.BroadcastHandler{Event: func(e bus.Event) { f.heard <- arrival{e.ID, time.Now()} }}, nil); err != nil {
		return nil, err
	}
	if _, err := f.db.ExecContext(ctx, `CREATE TABLE item (version INTEGER NOT NULL); INSERT INTO item VALUES (0)`); err != nil {
		return nil, err
	}
	f.box = outbox.New(f.db, s.dialect, nil)
	if err := f.box.Migrate(ctx); err != nil {
		return nil, err
	}
	if err := f.serve(); err != nil {
		return nil, err
	}
	f.relay()
	// A read before the notice is answered from memory, with the old version: the
	// first one that can be fresh is sent when the notice is taken in. Reading all
	// the time would find the same moment, and take the relay's processor for it.
	listens := resn.ListenerOptions{OnNotice: func(resn.Event) { f.told <- struct{}{} }}
	if f.reader, err = resn.NewClient(hears, &resn.ClientOptions{Listener: &listens}); err != nil {
		return nil, err
	}
	f.closers = append(f.closers, func() { _ = f.reader.Close(context.WithoutCancel(ctx)) })
	if err := live(ctx, f.reader, resnTopic); err != nil {
		return nil, err
	}
	for range 20 {
		if _, err := f.change(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *fresh) connect() (*bus.Bus, error) {
	b, err := natsbus.Open(f.ctx, f.url, &natsbus.Options{Prefix: f.prefix})
	if err == nil {
		f.closers = append(f.closers, func() { _ = b.Shutdown(context.WithoutCancel(f.ctx)) })
	}
	return b, err
}

func (f *fresh) relay() {
	relay := outbox.NewRelay(f.box, f.owner, &outbox.RelayOptions{
		Topics: []string{resnTopic},
		Watermark: func(topic string, w outbox.Watermark) bus.Event {
			return resn.Watermark{Topic: topic, Epoch: w.Epoch, Seq: w.Sequence, Time: w.Time}.CloudEvent("/items")
		},
	})
	running, stop := context.WithCancel(f.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = relay.Run(running) // if it fails nothing arrives
	}()
	f.closers = append(f.closers, func() { stop(); <-done })
}

// serve serves the item from the database.
func (f *fresh) serve() error {
	item, err := f.db.PrepareContext(f.ctx, `SELECT version FROM item`)
	if err != nil {
		return err
	}
	f.closers = append(f.closers, func() { _ = item.Close() })
	ln, err := (&net.ListenConfig{}).Listen(f.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var version int
		if err := item.QueryRowContext(r.Context()).Scan(&version); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Cache-Control", "max-age=0")
		w.Header().Set("Etag", versionTag(int64(version)))
		_, _ = io.WriteString(w, strconv.Itoa(version))
	})
	server := &http.Server{Handler: resn.Stamp(resnTopic)(handler), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(ln) }()
	f.closers = append(f.closers, func() { _ = server.Close() })
	f.root = "http://" + ln.Addr().String()
	return nil
}

func (f *fresh) close() {
	for _, end := range slices.Backward(f.closers) {
		end()
	}
}

// change commits a new version and reads until it is there. It returns the
// nanoseconds from the commit to the end of that read.
func (f *fresh) change() (float64, error) {
	f.version++
	e := resn.Event{Topic: resnTopic, Type: resn.Update, Href: f.root + "/item", ETag: versionTag(int64(f.version))}
	tx, err := f.db.BeginTx(f.ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if _, err := tx.ExecContext(f.ctx, `UPDATE item SET version = $1`, f.version); err != nil {
		return 0, err
	}
	if err := f.box.Append(f.ctx, tx, resnTopic, e.CloudEvent("/items")); err != nil {
		return 0, err
	}
	if err := tx.Commit(); err != nil {
		return 0, err
	}
	committed := time.Now()
	f.box.Wake()
	select {
	case <-f.told:
	case <-time.After(natsPatient):
		return 0, errors.New("the notice didn't arrive")
	}
	version, err := f.read()
	if err == nil && version != f.version {
		err = fmt.Errorf("version %d was read after the notice of version %d", version, f.version)
	}
	return float64(time.Since(committed).Nanoseconds()), err
}

func (f *fresh) read() (int, error) {
	req, err := http.NewRequestWithContext(f.ctx, http.MethodGet, f.root+"/item", nil)
	if err != nil {
		return 0, err
	}
	resp, err := f.reader.HTTP().Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(body))
}

// plain is the bus alone: from Publish to the subscriber.
func (f *fresh) plain() (float64, error) {
	return latency(func(e bus.Event) (time.Time, error) {
		began := time.Now()
		return began, f.owner.Publish(f.ctx, "plain", e)
	}, f.heard)
}

func (f *fresh) both() (ours, theirs []float64, err error) {
	for range freshReads {
		mine, err := f.change()
		if err != nil {
			return nil, nil, err
		}
		other, err := f.plain()
		if err != nil {
			return nil, nil, err
		}
		ours, theirs = append(ours, mine), append(theirs, other)
	}
	return ours, theirs, nil
}

func (f *fresh) versus() (float64, error) {
	ours, theirs, err := f.both()
	return ratio.Median(ours) / ratio.Median(theirs), err
}

// slowest returns the 99th percentile in milliseconds.
func (f *fresh) slowest() (float64, error) {
	ours, _, err := f.both()
	if err != nil {
		return 0, err
	}
	slices.Sort(ours)
	return ours[len(ours)*99/100] / 1e6, nil
}
