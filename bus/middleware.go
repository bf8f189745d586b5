package bus

import (
	"context"
	"log/slog"
	"time"
)

// LogDeliveries returns middleware that logs every attempt of a handler: at debug
// level when it succeeded and at warning level when it failed, with the topic,
// the group, the event's id, type and subject, the attempt and the duration. nil
// is slog.Default.
func LogDeliveries(log *slog.Logger) Middleware {
	if log == nil {
		log = slog.Default()
	}
	return func(next Handler) Handler {
		return func(ctx context.Context, d *Delivery) error {
			// The handler may change its delivery.
			attrs := []slog.Attr{
				slog.String("topic", d.Topic), slog.String("group", d.Group), slog.String("id", d.Event.ID),
				slog.String("type", d.Event.Type), slog.String("subject", d.Event.Subject), slog.Int("attempt", d.Attempt),
			}
			start := time.Now()
			err := next(ctx, d)
			attrs = append(attrs, slog.Duration("took", time.Since(start)))
			if err != nil {
				log.LogAttrs(ctx, slog.LevelWarn, "event failed", append(attrs, slog.Any("error", err))...)
				return err
			}
			log.LogAttrs(ctx, slog.LevelDebug, "event handled", attrs...)
			return nil
		}
	}
}
