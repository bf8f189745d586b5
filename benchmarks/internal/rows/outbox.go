package rows

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/goswale/swale/benchmarks/internal/apart"
	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/bus/outbox/pgxnotify"
)

const (
	outboxTopic  = "orders"
	outboxEvents = 150 // per round and side
)

func outboxRows() []ratio.Row {
	return []ratio.Row{
		{
			Name: "outbox.commit_to_consumer.vs_publish", Unit: "x", Bound: ratio.AtMost(3),
			Note: "p50 from the end of a commit in SQLite to the consumer, against from Publish to the consumer",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) { return openOutbox(ctx, openSQLite) },
		},
		{
			Name: "outbox.commit_to_consumer_postgres.vs_publish", Unit: "x", Bound: ratio.AtMost(3),
			Note: "the same with PostgreSQL, whose relay hears of the commit by NOTIFY alone",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				return openOutbox(ctx, openPostgres)
			},
		},
	}
}

// store is a database with an outbox's dialect.
type store struct {
	db      *sql.DB
	dialect outbox.Dialect
	listen  func(context.Context, *sql.DB, string, func()) error
	closer  func()
}

func openSQLite(context.Context) (*store, error) {
	dir, err := os.MkdirTemp("", "swale-rows-")
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "rows.db")+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=synchronous(NORMAL)")
	closer := func() { _ = os.RemoveAll(dir) }
	if err != nil {
		closer()
		return nil, err
	}
	return &store{db: db, dialect: outbox.SQLite, closer: closer}, nil
}

// openPostgres makes a schema of its own.
func openPostgres(ctx context.Context) (*store, error) {
	dsn := os.Getenv("SWALE_TEST_POSTGRES")
	if dsn == "" {
		return nil, fmt.Errorf("%w: not measured, needs SWALE_TEST_POSTGRES", ratio.ErrSkipped)
	}
	admin, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, err
	}
	schema := "swale_rows_" + strconv.FormatInt(time.Now().UnixNano(), 36)
	if _, err := admin.ExecContext(ctx, "CREATE SCHEMA "+schema); err != nil {
		return nil, errors.Join(err, admin.Close())
	}
	closer := func() {
		_, _ = admin.ExecContext(context.WithoutCancel(ctx), "DROP SCHEMA "+schema+" CASCADE")
		_ = admin.Close()
	}
	separator := "?"
	if strings.Contains(dsn, "?") {
		separator = "&"
	}
	db, err := sql.Open("pgx", dsn+separator+"search_path="+schema)
	if err != nil {
		closer()
		return nil, err
	}
	return &store{db: db, dialect: outbox.PostgreSQL, listen: pgxnotify.Listen, closer: closer}, nil
}

// openOutbox starts a server, a consumer, and a relay.
func openOutbox(ctx context.Context, open func(context.Context) (*store, error)) (round func() (float64, error), closer func(), err error) {
	var closers []func()
	stopAll := func() {
		for _, end := range slices.Backward(closers) {
			end()
		}
	}
	defer func() {
		if err != nil {
			stopAll()
		}
	}()
	s, err := open(ctx)
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, s.closer, func() { _ = s.db.Close() })
	url, stopServer, err := apart.NATS(ctx)
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, stopServer)
	b, err := natsbus.Open(ctx, url, &natsbus.Options{Prefix: "rows" + strconv.FormatInt(time.Now().UnixNano(), 36)})
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, func() { _ = b.Shutdown(context.WithoutCancel(ctx)) })
	heard := make(chan arrival, 16)
	if _, err := b.Broadcast(ctx, outboxTopic, bus.BroadcastHandler{Event: func(e bus.Event) { heard <- arrival{e.ID, time.Now()} }}, nil); err != nil {
		return nil, nil, err
	}

	box := outbox.New(s.db, s.dialect, nil)
	if err := box.Migrate(ctx); err != nil {
		return nil, nil, err
	}
	relay := outbox.NewRelay(box, b, &outbox.RelayOptions{Listen: s.listen})
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = relay.Run(running) // if it fails nothing arrives
	}()
	closers = append(closers, func() { stop(); <-done })

	appender := box
	if s.listen != nil {
		// What another process appends: the relay isn't woken by the commit's caller.
		appender = outbox.New(s.db, s.dialect, nil)
	}
	commit := func(e bus.Event) (time.Time, error) { return commitEvent(ctx, s.db, appender, e) }
	publish := func(e bus.Event) (time.Time, error) {
		began := time.Now()
		return began, b.Publish(ctx, outboxTopic, e)
	}
	for range 20 {
		if _, err := latency(commit, heard); err != nil {
			return nil, nil, err
		}
	}
	round = func() (float64, error) {
		var ours, theirs []float64
		for range outboxEvents {
			mine, err := latency(commit, heard)
			if err != nil {
				return 0, err
			}
			other, err := latency(publish, heard)
			if err != nil {
				return 0, err
			}
			ours, theirs = append(ours, mine), append(theirs, other)
		}
		return ratio.Median(ours) / ratio.Median(theirs), nil
	}
	return round, stopAll, nil
}

// commitEvent commits an event and returns when the commit was over.
func commitEvent(ctx context.Context, db *sql.DB, box *outbox.Outbox, e bus.Event) (time.Time, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return time.Time{}, err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := box.Append(ctx, tx, outboxTopic, e); err != nil {
		return time.Time{}, err
	}
	if err := tx.Commit(); err != nil {
		return time.Time{}, err
	}
	committed := time.Now()
	box.Wake()
	return committed, nil
}

// arrival is when the consumer got an event.
type arrival struct {
	id string
	at time.Time
}

// latency sends an event and returns the nanoseconds until it was heard.
func latency(send func(bus.Event) (time.Time, error), heard <-chan arrival) (float64, error) {
	e := bus.Event{ID: rand.Text(), Source: "/orders", Type: "order.paid", Subject: "/orders/9", Data: []byte(`{"total":1290}`)}
	began, err := send(e)
	if err != nil {
		return 0, err
	}
	patience := time.NewTimer(10 * time.Second)
	defer patience.Stop()
	for {
		select {
		case a := <-heard:
			if a.id == e.ID { // another one was repeated
				return float64(a.at.Sub(began).Nanoseconds()), nil
			}
		case <-patience.C:
			return 0, errors.New("the event didn't arrive within 10 s")
		}
	}
}
