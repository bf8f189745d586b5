package liveops

import (
	"bytes"
	"context"

	"github.com/goswale/swale/configsvc"
)

// Load brings rules into use, for orders that are open already too, or says what is
// wrong with them and where; then those in use stay.
func (s *Service) Load(text []byte) error {
	set, err := compile(text)
	if err != nil {
		return err
	}
	s.rules.Store(set)
	select {
	case s.changed <- struct{}{}:
	default: // who is told already reads the newest
	}
	return nil
}

// Watcher keeps a service's rules those of the configuration.
type Watcher struct {
	watcher *configsvc.Watcher[document]
}

// Watch brings into use what the configuration has at [Key], now and whenever it
// changes. Rules that aren't valid are rejected, and the last good ones stay.
func Watch(ctx context.Context, client *configsvc.Client, s *Service) (*Watcher, error) {
	w, err := configsvc.Watch[document](ctx, client, Key)
	if err != nil {
		return nil, err
	}
	load := func() {
		// Validate has accepted it.
		if err := s.Load(w.Get().text); err != nil {
			s.log.Error("rules that were accepted can't be used, the good ones stay", "error", err)
		}
	}
	w.OnChange(func(_, _ *document) { load() })
	load()
	return &Watcher{w}, nil
}

// Rejected says why the newest rules aren't in use; nil if they are.
func (w *Watcher) Rejected() error {
	if s := w.watcher.Status(); s.Rejected != "" {
		return s.Err
	}
	return nil
}

// Close ends watching.
func (w *Watcher) Close() { w.watcher.Close() }

// document is the rules as the configuration has them.
type document struct{ text []byte }

// SetDefaults begins with the rules that hold where none were written.
func (d *document) SetDefaults() { d.text = []byte(Default) }

// UnmarshalJSON takes the document as it is. An empty one says nothing.
func (d *document) UnmarshalJSON(text []byte) error {
	if !bytes.Equal(bytes.TrimSpace(text), []byte("{}")) {
		d.text = bytes.Clone(text)
	}
	return nil
}

// Validate has the client reject what can't be used.
func (d *document) Validate() error { return Check(d.text) }
