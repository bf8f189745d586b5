package door

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/discovery/rules"
	"github.com/goswale/swale/discovery/thinapi"
)

// Options configure New. The zero value and nil are useful.
type Options struct {
	// ThinAPI is about requests: trusted proxies, CORS, limits.
	ThinAPI thinapi.Options
	// Logger gets failures. Default: none are logged.
	Logger *slog.Logger
}

// Door serves what its rules say. Make one with [New]. It is safe for
// concurrent use.
type Door struct {
	handler *thinapi.Handler
	watcher *configsvc.Watcher[document]
	loading sync.Mutex // what is loaded last is what was read last
}

// New opens a door in front of transport whose rules come through client. It
// returns when there are rules: from the service, or the client's copy on disk.
func New(ctx context.Context, transport http.RoundTripper, client *configsvc.Client, opts *Options) (*Door, error) {
	if opts == nil {
		opts = &Options{}
	}
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	inner := opts.ThinAPI
	if inner.Logger == nil {
		inner.Logger = log
	}
	handler, err := thinapi.New(transport, &inner)
	if err != nil {
		return nil, err
	}
	watcher, err := configsvc.Watch[document](ctx, client, Key)
	if err != nil {
		return nil, errors.Join(err, handler.Close(ctx))
	}
	d := &Door{handler: handler, watcher: watcher}
	watcher.OnChange(func(_, _ *document) {
		if err := d.load(); err != nil {
			log.Error("door: rules that were accepted can't be loaded, the good ones stay", "error", err)
		}
	})
	if err := d.load(); err != nil {
		return nil, errors.Join(err, d.Close(ctx))
	}
	return d, nil
}

// load brings into use what the watcher has now.
func (d *Door) load() error {
	d.loading.Lock()
	defer d.loading.Unlock()
	return d.handler.Load(d.watcher.Get().text)
}

// ServeHTTP does with a request what the rules say.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }

// Engine returns the rules in use, for a rulespage.Page.
func (d *Door) Engine() *rules.Engine { return d.handler.Engine() }

// Rejected says why the newest rules aren't in use; nil if they are.
func (d *Door) Rejected() error {
	if s := d.watcher.Status(); s.Rejected != "" {
		return s.Err
	}
	return nil
}

// Close ends watching and waits for what is under way. Stop the server first.
func (d *Door) Close(ctx context.Context) error {
	d.watcher.Close()
	return d.handler.Close(ctx)
}
