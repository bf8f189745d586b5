package outbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/bus/outbox"
)

// What is forgotten on the first day is said with what to do.
func TestWhatWasForgottenIsNamed(t *testing.T) {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	ctx := t.Context()
	event := bus.Event{Type: "order.paid", Source: "/orders"}
	box := outbox.New(db, outbox.SQLite, nil)

	unmade := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.HasSuffix(err.Error(), "; Outbox.Migrate makes the tables") {
			t.Errorf("%s before Migrate: %v", what, err)
		}
	}
	unmade("InTx", box.InTx(ctx, func(*sql.Tx) error { return nil }))
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	unmade("Append", box.Append(ctx, tx, "orders", event))
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}

	b := membus.New(nil)
	defer func() { _ = b.Shutdown(context.Background()) }()
	relaying, stop := context.WithCancel(ctx)
	defer stop()
	said := cue{text: "Outbox.Migrate makes the tables", then: stop}
	relay := outbox.NewRelay(box, b, &outbox.RelayOptions{Logger: slog.New(slog.NewTextHandler(said, nil))})
	if err := relay.Run(relaying); err != nil { // it ends when that was said, and never otherwise
		t.Errorf("Run goes on until it is told to end: %v", err)
	}

	if err := box.Append(ctx, nil, "orders", event); err == nil || err.Error() != "outbox: append to orders: there is no transaction" {
		t.Errorf("Append without a transaction: %v", err)
	}
	if err := box.InTx(ctx, nil); err == nil || err.Error() != "outbox: InTx has no function to call" {
		t.Errorf("InTx without a function: %v", err)
	}
	if err := outbox.NewRelay(nil, b, nil).Run(ctx); err == nil || err.Error() != "outbox: the relay has no outbox" {
		t.Errorf("Run without an outbox: %v", err)
	}
	if err := outbox.NewRelay(box, nil, nil).Run(ctx); err == nil || err.Error() != "outbox: the relay has no bus" {
		t.Errorf("Run without a bus: %v", err)
	}
}

// cue is a log that acts when a text is in it.
type cue struct {
	text string
	then func()
}

func (c cue) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.text)) {
		c.then()
	}
	return len(p), nil
}
