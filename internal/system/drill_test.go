package system

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/resn"
)

const (
	drillItems = 20
	ownerSkew  = 300 * time.Millisecond  // the owners' clocks
	readerSkew = -150 * time.Millisecond // the reader's
)

// patience bounds a wait for what must happen in the end, also on a machine that
// has much else to do.
const patience = 2 * time.Minute

// drill is an owner's database, two processes with relays over it, and a reader,
// with a real broker between, to which each has a way of its own.
type drill struct {
	t            *testing.T
	product      *product
	prefix, file string
	ownerURL     string
	toOwner      *proxy // between the relays and the broker
	toReader     *proxy
	db           *sql.DB
	box          *outbox.Outbox
	children     [2]*child
	client       *resn.Client
	root         string

	mu       sync.Mutex
	replaced [drillItems][]time.Time // when version n was certainly over
	hits     int
	asked    int
	worst    time.Duration
	wrong    []string
}

// Real brokers, processes that are killed and that stand still, connections that
// are cut and that go silent, clocks that are apart: what is vouched for is never
// older than promised.
func TestStalenessIsBoundedOnRealBrokers(t *testing.T) {
	for i := range products {
		p := &products[i]
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			server := p.server(t)
			if testing.Short() {
				t.Skip("takes a quarter of a minute")
			}
			d := newDrill(t, p, server)
			ctx, stop := context.WithCancel(t.Context())
			var work sync.WaitGroup
			work.Go(func() { d.write(ctx) })
			for range 2 {
				work.Go(func() { d.read(ctx) })
			}
			d.round()
			d.untilTested()
			stop()
			work.Wait()
			d.settled()
			d.judge()
		})
	}
}

func newDrill(t *testing.T, p *product, server string) *drill {
	t.Helper()
	d := &drill{t: t, product: p, prefix: p.prefix(t, server), file: filepath.Join(t.TempDir(), "things.db")}
	address := strings.TrimPrefix(server[strings.LastIndex(server, "@")+1:], "nats://")
	address = strings.TrimSuffix(address, "/")
	d.toOwner, d.toReader = newProxy(t, address), newProxy(t, address)
	d.ownerURL = through(t, server, d.toOwner.address())
	d.openDatabase()
	d.serve()
	d.children[0] = d.startChild(ownerSkew)
	d.children[1] = d.startChild(ownerSkew)

	b, err := p.open(t.Context(), through(t, server, d.toReader.address()), d.prefix)
	if err != nil {
		t.Fatal(err)
	}
	d.client, err = resn.NewClient(b, &resn.ClientOptions{
		Listener: &resn.ListenerOptions{Clock: func() time.Time { return time.Now().Add(readerSkew) }},
		Guard:    &resn.GuardOptions{Failures: 1 << 30},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = d.client.Close(ctx)
		_ = b.Shutdown(ctx)
	})
	if err := d.client.Listen(t.Context(), things); err != nil {
		t.Fatal(err)
	}
	d.live("at the start")
	return d
}

func (d *drill) openDatabase() {
	d.t.Helper()
	var err error
	if d.db, err = openFile(d.file); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = d.db.Close() })
	d.box = outbox.New(d.db, outbox.SQLite, nil)
	if err := d.box.Migrate(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.db.ExecContext(d.t.Context(), `CREATE TABLE thing (id INTEGER PRIMARY KEY, version INTEGER NOT NULL)`); err != nil {
		d.t.Fatal(err)
	}
	for i := range drillItems {
		if _, err := d.db.ExecContext(d.t.Context(), `INSERT INTO thing VALUES ($1, 0)`, i); err != nil {
			d.t.Fatal(err)
		}
	}
}

// serve serves the things. This part of the owner isn't killed: who asks it gets
// the truth.
func (d *drill) serve() {
	things := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var version int
		id := strings.TrimPrefix(r.URL.Path, "/things/")
		if err := d.db.QueryRowContext(r.Context(), `SELECT version FROM thing WHERE id = $1`, id).Scan(&version); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Cache-Control", "max-age=0")
		w.Header().Set("Etag", fmt.Sprintf(`"%s-%d"`, id, version))
		_, _ = io.WriteString(w, strconv.Itoa(version))
	})
	server := httptest.NewServer(resn.Stamp("things")(things))
	d.t.Cleanup(server.Close)
	d.root = server.URL
}

// write changes things until ctx ends.
func (d *drill) write(ctx context.Context) {
	notices := resn.Announcer{Topic: things, Origins: []string{d.root}}
	for version := map[int]int{}; ctx.Err() == nil; {
		id := rand.IntN(drillItems)
		event, err := notices.Notice(resn.Event{Type: resn.Update, Href: fmt.Sprintf("%s/things/%d", d.root, id), Time: time.Now()})
		if err == nil {
			err = d.box.InTx(context.WithoutCancel(ctx), func(tx *sql.Tx) error {
				if _, err := tx.ExecContext(ctx, `UPDATE thing SET version = version + 1 WHERE id = $1`, id); err != nil {
					return err
				}
				return d.box.Append(ctx, tx, things, event)
			})
		}
		over := time.Now()
		switch {
		case err == nil:
			version[id]++
			d.mu.Lock()
			d.replaced[id] = append(d.replaced[id], over)
			d.mu.Unlock()
		case ctx.Err() == nil:
			d.fail("write: %v", err)
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (d *drill) fail(text string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wrong = append(d.wrong, fmt.Sprintf(text, args...))
}

// read reads things, and measures how old what it gets is.
func (d *drill) read(ctx context.Context) {
	for ctx.Err() == nil {
		id, began := rand.IntN(drillItems), time.Now()
		version, hit, err := d.get(ctx, id)
		switch {
		case err != nil && ctx.Err() == nil:
			d.fail("read: %v", err)
			return
		case err == nil:
			d.measure(id, version, hit, began)
		}
		select {
		case <-time.After(500 * time.Microsecond):
		case <-ctx.Done():
		}
	}
}

func (d *drill) get(ctx context.Context, id int) (version int, hit bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/things/%d", d.root, id), http.NoBody)
	if err != nil {
		return 0, false, err
	}
	resp, err := d.client.HTTP().Do(req)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, false, err
	}
	version, err = strconv.Atoi(string(body))
	return version, strings.Contains(resp.Header.Get("Cache-Status"), "; hit"), err
}

// measure notes how long a version had been over when somebody began to read it.
func (d *drill) measure(id, version int, hit bool, began time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !hit {
		d.asked++
		return
	}
	d.hits++
	if version < len(d.replaced[id]) {
		d.worst = max(d.worst, began.Sub(d.replaced[id][version]))
	}
}

// round lets everything go wrong once.
func (d *drill) round() {
	wait := func(t time.Duration) { <-time.After(t) }
	wait(time.Second)
	leader := d.leader()
	d.children[leader].kill()
	wait(time.Second)
	d.children[leader] = d.startChild(ownerSkew)
	d.live("after the relay that led was killed")

	d.toReader.sever(true)
	wait(500 * time.Millisecond)
	d.toReader.sever(false)
	d.live("after the reader's connection was cut")

	leader = d.leader()
	d.children[leader].stand(d.t, true)
	wait(2500 * time.Millisecond)
	d.children[leader].stand(d.t, false)
	d.live("after the relay that led stood still")

	d.toReader.stall(true)
	wait(4 * time.Second)
	d.toReader.stall(false)
	d.live("after nothing reached the reader")

	d.toOwner.sever(true)
	wait(time.Second)
	d.toOwner.sever(false)
	d.live("after the relays' connections were cut")

	for _, c := range d.children {
		c.kill()
	}
	wait(3 * time.Second)
	d.children[0], d.children[1] = d.startChild(ownerSkew), d.startChild(ownerSkew)
	d.live("after all relays were killed")
}

// untilTested waits until enough was answered from memory, for which a busy machine
// may have needed longer than it was left in peace.
func (d *drill) untilTested() {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		d.mu.Lock()
		enough := d.hits >= d.asked/4 || len(d.wrong) > 0
		d.mu.Unlock()
		if enough {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}

// leader returns which relay leads.
func (d *drill) leader() int {
	d.t.Helper()
	for end := time.After(patience); ; {
		for i, c := range d.children {
			if c.leading() {
				return i
			}
		}
		select {
		case <-end:
			d.t.Fatal("no relay leads")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// live waits until the topic is vouched for.
func (d *drill) live(when string) {
	d.t.Helper()
	for end := time.After(patience); ; {
		if state := d.client.Topics()[0]; state.Live {
			return
		}
		select {
		case <-end:
			d.t.Fatalf("%s the topic isn't live again: %+v", when, d.client.Topics()[0])
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// settled checks that when nothing goes wrong any more everything is known.
func (d *drill) settled() {
	end := time.Now().Add(patience)
	for id := range drillItems {
		for {
			version, _, err := d.get(d.t.Context(), id)
			want := len(d.replaced[id])
			if err == nil && version == want {
				break
			}
			if err != nil || time.Now().After(end) {
				d.t.Errorf("at the end thing %d is read as version %d (%v), and is %d", id, version, err, want)
				break
			}
			<-time.After(10 * time.Millisecond)
		}
	}
}

func (d *drill) judge() {
	state := d.client.Topics()[0]
	d.t.Logf("%s: %d hits, %d questions, worst staleness of a hit %v, %d notices, %d repeated, %d resets",
		d.product.name, d.hits, d.asked, d.worst.Round(time.Millisecond), state.Notices, state.Duplicates, state.Resets)
	for _, what := range d.wrong {
		d.t.Error(what)
	}
	if d.worst > lease+tolerance {
		d.t.Errorf("G3: somebody got from memory what had been over for %v; promised is %v", d.worst, lease+tolerance)
	}
	if d.hits < d.asked/4 || state.Notices == 0 {
		d.t.Errorf("%d of %d reads were answered from memory: nothing was put to the test", d.hits, d.hits+d.asked)
	}
}
