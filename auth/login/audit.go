package login

import (
	"context"
	"log/slog"
	"time"
)

// Event is one entry of the audit log. It never has a secret: no password, no
// token, no hash of one.
type Event struct {
	Time        time.Time
	What        string // such as "login" or "password changed"
	Outcome     string // "done", "denied" or "failed"
	Application string
	Subject     string // whose account, where that is known
	Name        string // what was given as a name
	Session     string // id of the session that was concerned
	Client      string // service that asked
	By          string // who did it, where that isn't Subject
	Address     string
	Reason      string
}

// LogValue implements [slog.LogValuer].
func (e Event) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("what", e.What), slog.String("outcome", e.Outcome)}
	for _, a := range []slog.Attr{
		slog.String("application", e.Application), slog.String("subject", e.Subject), slog.String("name", e.Name),
		slog.String("session", e.Session), slog.String("client", e.Client), slog.String("by", e.By),
		slog.String("address", e.Address), slog.String("reason", e.Reason),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	return slog.GroupValue(attrs...)
}

func (s *Service) audit(ctx context.Context, e Event) {
	e.Time = s.opts.Clock()
	if e.Outcome == "" {
		e.Outcome = "done"
	}
	if s.opts.Audit != nil {
		s.opts.Audit(ctx, e)
		return
	}
	s.opts.Logger.InfoContext(ctx, "audit", "event", e)
}
