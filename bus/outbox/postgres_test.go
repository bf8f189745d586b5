package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/bus/outbox"
)

// gate is an advisory lock that a test holds while somebody in the database waits
// for it. Such locks are the whole database's, so that each gate has a key of its
// own, which no other run of the test has.
type gate struct {
	db   *sql.DB
	conn *sql.Conn
	key  int32
}

func newGate(db *sql.DB) *gate { return &gate{db: db, key: rand.Int32()} }

// wait is the statement that waits until the gate is open.
func (g *gate) wait() string { return fmt.Sprintf("PERFORM pg_advisory_xact_lock(%d);", g.key) }

func (g *gate) close(t *testing.T) {
	t.Helper()
	conn, err := g.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.ExecContext(t.Context(), `SELECT pg_advisory_lock($1)`, g.key); err != nil {
		t.Fatal(err)
	}
	g.conn = conn
}

// reached waits until somebody waits at the gate.
func (g *gate) reached(t *testing.T, who string) {
	t.Helper()
	eventually(t, who+" to wait at the gate", func() bool {
		var n int
		err := g.db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = $1 AND NOT granted`, g.key).Scan(&n)
		return err == nil && n > 0
	})
}

func (g *gate) open(t *testing.T) {
	t.Helper()
	if _, err := g.conn.ExecContext(t.Context(), `SELECT pg_advisory_unlock($1)`, g.key); err != nil {
		t.Fatal(err)
	}
}

func execute(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// TestCommitThatTakesLong stops a commit after it has taken its place in the order
// and before it is visible. Another one must not come before it: a relay that had
// seen the later place would never look for the earlier one.
func TestCommitThatTakesLong(t *testing.T) {
	on := onPostgres(t)
	box := on.outbox(t, nil)
	b := newBus(t, nil)
	rec := recording(t, b, "things")
	g := newGate(on.db)
	execute(t, on.db,
		// Deferred like the outbox's own, and after it by its name.
		`CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.event LIKE '%"slow"%' THEN `+g.wait()+` END IF; RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER zz_wait AFTER INSERT ON swale_outbox DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()`,
	)
	running(t, outbox.NewRelay(box, b, &outbox.RelayOptions{Listen: on.listen, PollInterval: 5 * time.Millisecond}))
	add(t, box, "things", "before")
	rec.await(t, "the first event", atLeast(1))
	g.close(t)
	results := make(chan error, 2)
	commit := func(id string) {
		results <- box.InTx(t.Context(), func(tx *sql.Tx) error { return box.Append(t.Context(), tx, "things", event(id)) })
	}
	go commit("slow")
	g.reached(t, "the slow commit")
	go commit("quick")
	select {
	case err := <-results:
		t.Errorf("a commit came before one that had taken an earlier place: %v", err)
		results <- err
	case <-time.After(200 * time.Millisecond):
	}
	g.open(t)
	for range 2 {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	events := rec.await(t, "all three", atLeast(3))
	if diff := cmp.Diff([]string{"before", "slow", "quick"}, first(t, events)); diff != "" {
		t.Errorf("events come in the order in which they became visible (-want +got):\n%s", diff)
	}
}

// TestWithoutNotify has appenders whose commits wait for nobody; the relay gives
// the places, also among rows that have one already.
func TestWithoutNotify(t *testing.T) {
	on := onPostgres(t)
	quiet, loud := on.outbox(t, &outbox.Options{DisableNotify: true}), on.outbox(t, nil)
	b := newBus(t, nil)
	rec := recording(t, b, "things")
	// The older of two that are open commits last.
	older, err := on.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = older.Rollback() }()
	if err := quiet.Append(t.Context(), older, "things", event("older")); err != nil {
		t.Fatal(err)
	}
	running(t, outbox.NewRelay(quiet, b, &outbox.RelayOptions{PollInterval: 5 * time.Millisecond, Watermark: watermarks("relay"), WatermarkInterval: 5 * time.Millisecond}))
	want := []string{}
	for i := range 20 {
		for name, box := range map[string]*outbox.Outbox{"quiet": quiet, "loud": loud} {
			id := fmt.Sprint(name, i)
			add(t, box, "things", id)
			rec.await(t, id, atLeast(len(want)+1))
			want = append(want, id)
		}
	}
	if err := older.Commit(); err != nil {
		t.Fatal(err)
	}
	committed := databaseTime(t, on.db)
	events := rec.await(t, "a watermark after the older one", func(e []bus.Event) bool {
		return atLeast(41)(e) && e[len(e)-1].Type == "watermark" && e[len(e)-1].Time.After(committed)
	})
	if diff := cmp.Diff(append(want, "older"), first(t, events)); diff != "" {
		t.Errorf("events come in the order of their commits, whoever places them (-want +got):\n%s", diff)
	}
	checkWatermarks(t, events, map[string]time.Time{"older": committed})
}

// TestNumbersAreWrittenDown is about rows that wait: whoever looks into the table
// sees their numbers, and a relay that has seen others removes nothing by mistake.
func TestNumbersAreWrittenDown(t *testing.T) {
	on := onPostgres(t)
	box := on.outbox(t, nil)
	faults := &membus.Faults{}
	b := newBus(t, &membus.Options{Faults: faults})
	rec := recording(t, b, "things")
	faults.Cut()
	opts := &outbox.RelayOptions{Listen: on.listen, PublishTimeout: 10 * time.Millisecond, RetryMax: 20 * time.Millisecond, LeaderTTL: 400 * time.Millisecond}
	running(t, outbox.NewRelay(box, b, opts))
	add(t, box, "things", "1", "2")
	add(t, box, "things", "3")
	eventually(t, "the numbers of rows that wait", func() bool {
		var n int
		err := on.db.QueryRowContext(t.Context(), `SELECT count(*) FROM swale_outbox WHERE sequence > 0`).Scan(&n)
		return err == nil && n == 3
	})
	execute(t, on.db, `DELETE FROM swale_outbox WHERE sequence = 2`)
	add(t, box, "things", "4")
	faults.Heal(false)
	events := rec.await(t, "the others", atLeast(3))
	got := map[string]uint64{}
	for _, e := range events {
		got[e.ID] = number(t, e)
	}
	if diff := cmp.Diff(map[string]uint64{"1": 1, "3": 3, "4": 4}, got); diff != "" {
		t.Errorf("a number that was given stays, also when somebody removed a row (-want +got):\n%s", diff)
	}
}

// TestSerializable checks that the order costs transactions of the strictest
// isolation nothing but waiting.
func TestSerializable(t *testing.T) {
	on := onPostgres(t)
	box := on.outbox(t, nil)
	b := newBus(t, nil)
	rec := recording(t, b, "things")
	running(t, outbox.NewRelay(box, b, &outbox.RelayOptions{Listen: on.listen}))
	const writers, each = 24, 50 // four weren't enough to see what reading an index costs
	results := make(chan error, writers)
	for w := range writers {
		go func() { results <- appendSerializable(t.Context(), on.db, box, w, each) }()
	}
	for range writers {
		if err := <-results; err != nil {
			t.Errorf("transactions that have nothing else in common: %v", err)
		}
	}
	if t.Failed() {
		return
	}
	first(t, rec.await(t, "everything", atLeast(writers*each)))
}

// TestRowChangedAfterAppend is about a row that isn't any more where Append wrote it:
// it gets its place all the same.
func TestRowChangedAfterAppend(t *testing.T) {
	on := onPostgres(t)
	box := on.outbox(t, nil)
	b := newBus(t, nil)
	rec := recording(t, b, "things")
	running(t, outbox.NewRelay(box, b, &outbox.RelayOptions{Listen: on.listen}))
	tx, err := on.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := box.Append(t.Context(), tx, "things", event("1")); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), `UPDATE swale_outbox SET created = created - interval '1 second'`); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	add(t, box, "things", "2")
	if diff := cmp.Diff([]string{"1", "2"}, first(t, rec.await(t, "both", atLeast(2)))); diff != "" {
		t.Errorf("a row that its transaction changed comes in its turn (-want +got):\n%s", diff)
	}
}

// TestSerializableWhenTheTableIsKnownToBeSmall has the statistics of an outbox that
// is nearly empty, as it is most of the time. Who then looked for its own row in the
// whole table would have read the others' too, and one of three that have nothing in
// common were refused.
func TestSerializableWhenTheTableIsKnownToBeSmall(t *testing.T) {
	on := onPostgres(t)
	box := on.outbox(t, nil)
	add(t, box, "things", "0")
	execute(t, on.db, `ANALYZE swale_outbox`)
	late, err := on.db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelSerializable})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = late.Rollback() }()
	if _, err := late.ExecContext(t.Context(), `SELECT 1`); err != nil { // what it sees is decided now
		t.Fatal(err)
	}
	for i := range 2 {
		if err := appendSerializable(t.Context(), on.db, box, i, 1); err != nil {
			t.Fatal(err)
		}
	}
	err = box.Append(t.Context(), late, "things", event("late"))
	if err == nil {
		err = late.Commit()
	}
	if err != nil {
		t.Errorf("transactions that have nothing else in common: %v", err)
	}
}

func appendSerializable(ctx context.Context, db *sql.DB, box *outbox.Outbox, writer, n int) error {
	for i := range n {
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
		if err != nil {
			return err
		}
		if err := box.Append(ctx, tx, "things", event(fmt.Sprint(writer, "-", i))); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}
