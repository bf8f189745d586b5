package kernel

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/resn"
)

// announcer puts notices of a topic into the outbox of a database, and relays
// them.
type announcer struct {
	box    *outbox.Outbox
	relay  *outbox.Relay
	topic  string
	source string
}

func newAnnouncer(ctx context.Context, db *sql.DB, b *bus.Bus, topic, source string, log *slog.Logger) (*announcer, error) {
	a := &announcer{box: outbox.New(db, outbox.SQLite, nil), topic: topic, source: source}
	if err := a.box.Migrate(ctx); err != nil {
		return nil, err
	}
	a.relay = outbox.NewRelay(a.box, b, &outbox.RelayOptions{
		Topics:    []string{topic},
		Watermark: resn.Watermarks[outbox.Watermark](source),
		LeaderTTL: time.Second, PublishTimeout: 2 * time.Second,
		Logger: log,
	})
	return a, nil
}

// append adds notices to a transaction.
func (a *announcer) append(ctx context.Context, tx *sql.Tx, notices ...resn.Event) error {
	for _, e := range notices {
		if err := e.Validate(); err != nil {
			return err
		}
		if err := a.box.Append(ctx, tx, e.Topic, e.CloudEvent(a.source)); err != nil {
			return err
		}
	}
	return nil
}

// run relays while the topic is the owner's.
func (a *announcer) run(ctx context.Context, l resn.Lease, owner string, log *slog.Logger) error {
	return resn.RunOwned(ctx, l, []string{a.topic}, a.relay.Run, &resn.OwnershipOptions{Owner: owner, Logger: log})
}

// ownerFile returns who owns the topics: the kernels of one directory, whose relays
// agree by its databases. One of another directory, by mistake, would publish
// changes that they know nothing of. The first start makes the file.
func ownerFile(path string) (string, error) {
	name, err := os.ReadFile(path) //nolint:gosec // the kernel's own file
	if err == nil && len(name) > 0 {
		return string(name), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	made := "kernel " + rand.Text()
	// Of those who start together one makes it; whoever reads it half-written
	// makes up none.
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if _, err := f.WriteString(made); err != nil {
		return "", errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	if err := os.Link(f.Name(), path); err == nil || !errors.Is(err, fs.ErrExist) {
		return made, err
	}
	name, err = os.ReadFile(path) //nolint:gosec // the kernel's own file
	return string(name), err
}
