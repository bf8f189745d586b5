package configsvc

import (
	"context"
	"errors"
	"log/slog"
	"sync"
)

// Follow is WatchWith for what is made of a configuration and made anew of the next
// one, such as a pool of connections. Each version is tried first, as
// WatchOptions.Try says, and then used: use is called for the one that there is
// before Follow returns, and for each later one, by one goroutine at a time, and the
// last call is with the newest. What use can't do with the first one is Follow's
// error; with a later one it is logged, and what was made before is to stay.
func Follow[T any](ctx context.Context, client *Client, keys []string, try func(context.Context, *T) error, use func(*T) error) (*Watcher[T], error) {
	if use == nil {
		return nil, errors.New("configsvc: Follow has no function that uses a configuration")
	}
	w, err := WatchWith(ctx, client, keys, &WatchOptions[T]{Try: try})
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	newest := func() error { // a change may come before the first one is in use
		mu.Lock()
		defer mu.Unlock()
		return use(w.Get())
	}
	w.OnChange(func(_, _ *T) {
		if err := newest(); err != nil {
			w.feed.log(slog.LevelError, "a configuration can't be used", err)
		}
	})
	if err := newest(); err != nil { // a copy that another program has written
		w.Close()
		return nil, err
	}
	return w, nil
}
