package sqladapter

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/configsvc"
)

// ErrNoConfig is returned by queries of a Database that has had no configuration
// yet.
var ErrNoConfig = errors.New("sqladapter: there is no configuration of the database yet")

// Options are the options of New and Open. The zero value and nil are useful.
type Options struct {
	// Recheck is called when a connection can't be opened, which may be because the
	// configuration is not the newest any more: it is to call Use if it is not.
	// Open sets it to configsvc.Watcher.Recheck. Default: nobody is asked.
	Recheck func(context.Context) error
	// Logger hears of changes. Default: nothing is logged.
	Logger *slog.Logger
}

// Database is a *sql.DB that follows its configuration. It is safe for concurrent
// use. End it with Close.
type Database struct {
	*sql.DB
	connect Connector
	opts    Options
	current atomic.Pointer[generation]
	watcher *configsvc.Watcher[Config] // nil where others watch

	mu     sync.Mutex // one change at a time
	old    []*generation
	closed bool

	closers closers
}

// New returns a database without a configuration, for those who watch one
// themselves, of which the database's is a part: Try is to be asked by
// configsvc.WatchOptions.Try, and Use to be called for the first one and each
// change.
func New(connect Connector, opts *Options) *Database {
	d := &Database{connect: connect}
	if opts != nil {
		d.opts = *opts
	}
	if d.opts.Logger == nil {
		d.opts.Logger = slog.New(slog.DiscardHandler)
	}
	d.DB = sql.OpenDB(connector{d})
	return d
}

// Open returns a database that follows what is compiled from the keys. It returns
// when it has a configuration that works, or the last good copy of one; see
// [configsvc.WatchWith]. ctx bounds only that.
func Open(ctx context.Context, client *configsvc.Client, keys []string, connect Connector, opts *Options) (*Database, error) {
	d := New(connect, opts)
	w, err := configsvc.Follow(ctx, client, keys,
		func(ctx context.Context, c *Config) error { return d.Try(ctx, *c) },
		func(c *Config) error { return d.use(*c) })
	if err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("sqladapter: %w", err)
	}
	d.watcher, d.opts.Recheck = w, w.Recheck
	return d, nil
}

// Try says what is wrong with a configuration: it opens a connection as that says.
// When the database doesn't answer or refuses, the error wraps
// [configsvc.ErrNotYet]. No error tells the password. Where only limits of the pool
// are new, nothing is opened.
func (d *Database) Try(ctx context.Context, c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if g := d.current.Load(); g != nil && g.config.sameConnection(c) {
		return nil
	}
	g, err := d.make(c)
	if err != nil {
		return fmt.Errorf("sqladapter: %w", err)
	}
	raw, err := g.connect(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", configsvc.ErrNotYet, err)
	}
	defer func() { _ = raw.Close() }()
	if p, ok := raw.(driver.Pinger); ok {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(c.ConnectTimeout))
		defer cancel()
		if err := p.Ping(ctx); err != nil {
			return fmt.Errorf("%w: %w", configsvc.ErrNotYet, c.Password.Hide(err))
		}
	}
	return nil
}

// make returns a generation that isn't in force.
func (d *Database) make(c Config) (*generation, error) {
	g := &generation{config: c, since: time.Now(), sockets: map[*socket]bool{}}
	var err error
	if g.connector, err = d.connect(c, g.dial); err != nil {
		return nil, c.Password.Hide(err)
	}
	return g, nil
}

// Use puts a configuration into force, without trying it: from now on each new
// connection is one of it. It returns at once, with an error when nothing can be
// made of it; then the one before stays.
func (d *Database) Use(c Config) error {
	if err := d.use(c); err != nil {
		return fmt.Errorf("sqladapter: %w", err)
	}
	return nil
}

func (d *Database) use(c Config) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return sql.ErrConnDone
	}
	if err := c.Validate(); err != nil {
		return err
	}
	before := d.current.Load()
	if before != nil && before.config.sameConnection(c) {
		d.limit(c)
		return nil
	}
	next, err := d.make(c)
	if err != nil {
		return err
	}
	d.old = slices.DeleteFunc(d.old, func(g *generation) bool { return g.inUse() == 0 })
	if before != nil {
		next.number = before.number + 1
		d.old = append(d.old, before)
		d.opts.Logger.Info("database: the connections change over", "to", c.place(), "user", c.User, "same_place", c.samePlace(before.config), "open", before.inUse())
	}
	d.current.Store(next)
	if before != nil && !c.samePlace(before.config) {
		for _, g := range d.old {
			g.cutAfter(time.Duration(c.Drain))
		}
	}
	d.SetMaxIdleConns(-1) // closes the idle ones; the others are closed as they come back
	d.limit(c)
	return nil
}

// limit sets the pool's limits.
func (d *Database) limit(c Config) {
	d.SetMaxOpenConns(c.MaxOpen)
	if c.MaxIdle == 0 {
		c.MaxIdle = c.MaxOpen
	}
	d.SetMaxIdleConns(c.MaxIdle)
	d.SetConnMaxIdleTime(time.Duration(c.MaxIdleTime))
	d.SetConnMaxLifetime(time.Duration(c.MaxLifetime))
}

// Close ends the watcher and closes the database as [sql.DB.Close] does.
func (d *Database) Close() error {
	if d.watcher != nil {
		d.watcher.Close() // first, and without the lock: a callback may wait for it
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, g := range d.old {
		if g.end != nil {
			g.end.Stop()
		}
	}
	err := d.DB.Close()
	d.closers.wait()
	return err
}

// Refresh asks for the configuration now, which otherwise comes by itself. When it
// returns nil, the newest is in force. Only a database of Open can do it.
func (d *Database) Refresh(ctx context.Context) error {
	if d.watcher == nil {
		return fmt.Errorf("sqladapter: somebody else watches the configuration: %w", errors.ErrUnsupported)
	}
	return d.watcher.Refresh(ctx)
}

// Shutdown is Close in the form of service.Service.Defer, which calls it when
// requests have ended.
func (d *Database) Shutdown(context.Context) error { return d.Close() }

// connector gives database/sql connections of the current configuration.
type connector struct{ of *Database }

// attempts bounds how many changes of the configuration one connection follows.
const attempts = 10

// Connect opens one. If that fails, the configuration may have changed, and the
// news is still on its way.
func (k connector) Connect(ctx context.Context) (driver.Conn, error) {
	d := k.of
	var err error
	for range attempts {
		g := d.current.Load()
		if g == nil {
			return nil, ErrNoConfig
		}
		var raw driver.Conn
		raw, err = g.connect(ctx)
		if err == nil && d.current.Load() == g {
			g.count(+1)
			return &conn{Conn: raw, of: g, in: d}, nil
		}
		if err == nil {
			_ = raw.Close() // it came too late
			err = errChanging
			continue
		}
		if d.current.Load() == g && !d.changed(ctx, g) {
			return nil, err
		}
	}
	return nil, err
}

var errChanging = errors.New("sqladapter: the configuration changes all the time")

// changed asks whether there is another configuration.
func (d *Database) changed(ctx context.Context, g *generation) bool {
	if d.opts.Recheck == nil || ctx.Err() != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(g.config.ConnectTimeout))
	defer cancel()
	_ = d.opts.Recheck(ctx) // what counts is what came of it
	return d.current.Load() != g
}

// Driver returns that of the current configuration's connector.
func (k connector) Driver() driver.Driver {
	if g := k.of.current.Load(); g != nil {
		return g.connector.Driver()
	}
	return noDriver{}
}

// noDriver stands for the driver until there is a configuration.
type noDriver struct{}

func (noDriver) Open(string) (driver.Conn, error) { return nil, ErrNoConfig }
