package service

import (
	"context"
	"log/slog"
)

// attributed is a log handler that asks what each line's context says.
type attributed struct {
	slog.Handler
	attrs func(context.Context) []slog.Attr
}

// Handle implements [slog.Handler].
func (h attributed) Handle(ctx context.Context, r slog.Record) error {
	if more := h.attrs(ctx); len(more) > 0 {
		r = r.Clone()
		r.AddAttrs(more...)
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h attributed) WithAttrs(attrs []slog.Attr) slog.Handler {
	return attributed{h.Handler.WithAttrs(attrs), h.attrs}
}

// WithGroup implements [slog.Handler].
func (h attributed) WithGroup(name string) slog.Handler {
	return attributed{h.Handler.WithGroup(name), h.attrs}
}
