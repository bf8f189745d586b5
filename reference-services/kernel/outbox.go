package kernel

import (
	"context"
	"database/sql"
	"log/slog"
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
	source string
}

func newAnnouncer(ctx context.Context, db *sql.DB, b *bus.Bus, topic, source string, log *slog.Logger) (*announcer, error) {
	a := &announcer{box: outbox.New(db, outbox.SQLite, nil), source: source}
	if err := a.box.Migrate(ctx); err != nil {
		return nil, err
	}
	a.relay = outbox.NewRelay(a.box, b, &outbox.RelayOptions{
		Topics: []string{topic},
		Watermark: func(topic string, w outbox.Watermark) bus.Event {
			return resn.Watermark{Topic: topic, Epoch: w.Epoch, Seq: w.Sequence, Time: w.Time}.CloudEvent(source)
		},
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
