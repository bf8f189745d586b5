package sqladapter_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"

	"github.com/goswale/swale/bus/outbox/pgxnotify"
	"github.com/goswale/swale/service/sqladapter"
)

// little is a driver that has only what a driver must have.
type little struct{ said *[]string }

func (d little) Open(name string) (driver.Conn, error) { return littleConn{d.say("open " + name)}, nil }

func (d little) say(what string) little { *d.said = append(*d.said, what); return d }

type littleConn struct{ little }

func (c littleConn) Prepare(query string) (driver.Stmt, error) {
	return littleStmt{c.say("prepare " + query)}, nil
}
func (c littleConn) Close() error              { c.say("close"); return nil }
func (c littleConn) Begin() (driver.Tx, error) { return littleTx{c.say("begin")}, nil }

type littleTx struct{ little }

func (x littleTx) Commit() error   { x.say("commit"); return nil }
func (x littleTx) Rollback() error { x.say("rollback"); return nil }

type littleStmt struct{ little }

func (s littleStmt) Close() error  { s.say("close statement"); return nil }
func (s littleStmt) NumInput() int { return 1 }
func (s littleStmt) Exec(args []driver.Value) (driver.Result, error) {
	s.say("exec " + args[0].(string))
	return driver.ResultNoRows, nil
}

func (s littleStmt) Query(args []driver.Value) (driver.Rows, error) {
	return &littleRows{s.say("query " + args[0].(string))}, nil
}

type littleRows struct{ little }

func (r *littleRows) Columns() []string         { return []string{"a"} }
func (r *littleRows) Close() error              { r.say("close rows"); return nil }
func (r *littleRows) Next([]driver.Value) error { return io.EOF }

// use does with a database what there is to do, and returns how that went.
func use(ctx context.Context, db *sql.DB) []string {
	var went []string
	note := func(err error) {
		text := "fine"
		if err != nil {
			text = strings.TrimPrefix(strings.TrimPrefix(err.Error(), "sql: "), "sqladapter: ")
			text = text[:min(len(text), 10)]
		}
		went = append(went, text)
	}
	note(db.PingContext(ctx))
	_, err := db.ExecContext(ctx, "E", "x")
	note(err)
	var s string
	note(db.QueryRowContext(ctx, "Q", "x").Scan(&s))
	_, err = db.ExecContext(ctx, "E", "x", "y")
	note(err)
	tx, err := db.BeginTx(ctx, nil)
	note(err)
	_, err = tx.ExecContext(ctx, "T", "x")
	note(err)
	note(tx.Commit())
	tx, err = db.BeginTx(ctx, nil)
	note(err)
	note(tx.Rollback())
	for _, opts := range []*sql.TxOptions{{ReadOnly: true}, {Isolation: sql.LevelSerializable}} {
		_, err = db.BeginTx(ctx, opts)
		went = append(went, map[bool]string{true: "refused", false: "fine"}[err != nil])
	}
	note(db.Close())
	return went
}

// A driver behind the adapter is used as it is without.
func TestADriverWithoutAnythingOptional(t *testing.T) {
	var plain, adapted []string
	p := sql.OpenDB(connectorOf(t, sqladapter.DSN(little{&plain}, func(c sqladapter.Config) (string, error) { return c.URL, nil })))
	want := use(t.Context(), p)
	d := sqladapter.New(sqladapter.DSN(little{&adapted}, func(c sqladapter.Config) (string, error) { return c.URL, nil }), nil)
	if err := d.Use(sqladapter.Config{URL: "x:y", MaxOpen: 2, ConnectTimeout: 1e9}); err != nil {
		t.Fatal(err)
	}
	got := use(t.Context(), d.DB)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what comes back (-plain +adapted):\n%s", diff)
	}
	if diff := cmp.Diff(plain, adapted); diff != "" {
		t.Errorf("what the driver is told (-plain +adapted):\n%s", diff)
	}
	if len(plain) < 15 {
		t.Errorf("this test has shown nothing: %v", plain)
	}
}

func connectorOf(t *testing.T, c sqladapter.Connector) driver.Connector {
	t.Helper()
	k, err := c(sqladapter.Config{URL: "x:y"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// gossip is a driver that tells what it is given.
type gossip struct{}

func (gossip) Open(name string) (driver.Conn, error) { return nil, errors.New("can't open " + name) }

func TestErrorsDontTellThePassword(t *testing.T) {
	c := sqladapter.Config{URL: "x:y", Password: "hunter2&/", ConnectTimeout: 1e9}
	for where, dsn := range map[string]func(sqladapter.Config) (string, error){
		"making a connector": func(c sqladapter.Config) (string, error) { return "", errors.New("not " + c.Password.Reveal()) },
		"connecting": func(c sqladapter.Config) (string, error) {
			return (&url.URL{Scheme: "x", User: url.UserPassword("u", c.Password.Reveal())}).String(), nil
		},
	} {
		d := sqladapter.New(sqladapter.DSN(gossip{}, dsn), nil)
		tried, used := d.Try(t.Context(), c), d.Use(c)
		_, queried := d.ExecContext(t.Context(), "SELECT 1")
		for what, err := range map[string]error{"Try": tried, "Use": used, "a query": queried} {
			if err != nil && strings.Contains(err.Error(), word) {
				t.Errorf("%s: %s tells it: %v", where, what, err)
			}
		}
		if tried == nil || queried == nil {
			t.Errorf("%s fails: Try %v, a query %v", where, tried, queried)
		}
		_ = d.Close()
	}
}

// sqliteFile is how SQLite, which has no server, takes a configuration.
func sqliteFile(c sqladapter.Config) (string, error) { return c.URL, nil }

// A driver that is given a text, and whose connections can't be cut.
func TestSQLite(t *testing.T) {
	dir := t.TempDir()
	d := sqladapter.New(sqladapter.DSN(&sqlite.Driver{}, sqliteFile), nil)
	defer func() { _ = d.Close() }()
	config := func(name string) sqladapter.Config {
		return sqladapter.Config{URL: "file:" + filepath.Join(dir, name), MaxOpen: 2, ConnectTimeout: 5e9}
	}
	for _, name := range []string{"a.db", "b.db"} {
		if err := d.Try(t.Context(), config(name)); err != nil {
			t.Fatal(err)
		}
		if err := d.Use(config(name)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.ExecContext(t.Context(), "CREATE TABLE t (a TEXT); INSERT INTO t VALUES (?)", name); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := d.QueryRowContext(t.Context(), "SELECT a FROM t").Scan(&got); err != nil || got != name {
			t.Errorf("%q, %v; the file is %s", got, err, name)
		}
	}
	if err := d.Try(t.Context(), config("no/such/folder/c.db")); err == nil {
		t.Error("what can't be opened doesn't work")
	}
}

// Whoever needs the driver's own connection has it, and a listener, which keeps its
// connection for good, is sent to the new place by the cut.
func TestTheDriversOwnConnection(t *testing.T) {
	behindA, _ := newDatabase(t)
	behindB, _ := newDatabase(t)
	a, b := newFront(t, behindA, "orders", "hunter1"), newFront(t, behindB, "orders", "hunter1")
	s := newSettings(t)
	s.write(config(a, "orders", "hunter1", ""))
	d := s.open(a, b)
	c, err := d.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Raw(func(raw any) error {
		if _, ok := raw.(interface{ Raw() driver.Conn }).Raw().(*stdlib.Conn); !ok {
			t.Errorf("%T isn't around pgx's connection", raw)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	listens, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- pgxnotify.Listen(t.Context(), d.DB, "orders", func() { listens <- struct{}{} }) }()
	<-listens
	if _, err := d.ExecContext(t.Context(), "NOTIFY orders"); err != nil {
		t.Fatal(err)
	}
	<-listens
	s.write(config(b, "orders", "hunter1", `,"drain":"0s"`))
	if err := <-ended; err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("the listener was cut off: %v", err)
	}
	go func() { ended <- pgxnotify.Listen(t.Context(), d.DB, "orders", func() { listens <- struct{}{} }) }()
	<-listens
	if b.open() == 0 || a.open() != 0 {
		t.Errorf("it listens at the new place: %d there, %d at the old one", b.open(), a.open())
	}
	b.close(true)
	if err := <-ended; err == nil {
		t.Error("a listener whose server is gone must say so")
	}
}
