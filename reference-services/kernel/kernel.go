package kernel

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/outbox"
	configdriver "github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/server"
	"github.com/goswale/swale/configsvc/sqlconfig"
	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/discovery/discoverysvc"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/rules"
	"github.com/goswale/swale/discovery/rules/rulespage"
	"github.com/goswale/swale/discovery/sqlbinding"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/reference-services/restaurants"
	"github.com/goswale/swale/resn"
)

// Options configure a Kernel. All of them but Rules, Console and Logger must be given.
type Options struct {
	// BaseURL is how clients reach it. Its services are below.
	BaseURL string
	// Dir is where its databases and its key are.
	Dir string
	// Registry keeps the instances. It stays the caller's to close.
	Registry driver.Driver
	// Rules are those that the door uses now, for the page that explains them.
	// Default: nobody's, and there is no such page.
	Rules func() *rules.Engine
	// Console is the operators' page, at /console/. Default: there is none.
	Console http.Handler
	// Logger. Default: nothing is logged.
	Logger *slog.Logger
}

// Kernel is the kernel services. Make one with [New].
type Kernel struct {
	base      string
	discovery *discoverysvc.Server
	config    *server.Handler
	login     *login.Service
	bus       *bus.Bus
	owner     string // of the topics
	announce  []*announcer
	log       *slog.Logger
	databases []*sql.DB
	handler   http.Handler
	down      []func(context.Context) error
}

// New returns the services on b, with the tables that they need. The caller
// runs [Kernel.Run] beside serving [Kernel.Handler], and calls [Kernel.Close].
func New(ctx context.Context, b *bus.Bus, opts *Options) (_ *Kernel, err error) {
	k := &Kernel{base: strings.TrimSuffix(opts.BaseURL, "/")}
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.Close(context.WithoutCancel(ctx)))
		}
	}()
	k.bus, k.log = b, log
	if k.owner, err = ownerFile(filepath.Join(opts.Dir, "kernel.owner")); err != nil {
		return nil, fmt.Errorf("kernel: who owns the topics: %w", err)
	}
	if err := k.openDiscovery(ctx, opts, b, log); err != nil {
		return nil, fmt.Errorf("kernel: discovery: %w", err)
	}
	if err := k.openConfig(ctx, opts, b, log); err != nil {
		return nil, fmt.Errorf("kernel: configuration: %w", err)
	}
	if err := k.openLogin(ctx, opts, b, log); err != nil {
		return nil, fmt.Errorf("kernel: login: %w", err)
	}
	k.handler = k.routes(opts.Rules, opts.Console)
	return k, nil
}

func (k *Kernel) openDiscovery(ctx context.Context, opts *Options, b *bus.Bus, log *slog.Logger) error {
	db, err := k.database(opts.Dir, "bindings.db")
	if err != nil {
		return err
	}
	bindings := sqlbinding.New(db, nil)
	if err := bindings.Migrate(ctx); err != nil {
		return err
	}
	k.discovery, err = discoverysvc.New(opts.Registry, &discoverysvc.Options{
		Base: k.DiscoveryURL(), Bindings: bindings, Bus: b, Logger: log.With("part", "discovery"),
		Authorise: func(r *http.Request, op discoverysvc.Op) (string, error) {
			if op.Action == discoverysvc.Read || isLocal(r) {
				return who(r), nil
			}
			return "", errRemote
		},
	})
	if err == nil {
		k.down = append(k.down, k.discovery.Close)
	}
	return err
}

func (k *Kernel) openConfig(ctx context.Context, opts *Options, b *bus.Bus, log *slog.Logger) error {
	db, err := k.database(opts.Dir, "config.db")
	if err != nil {
		return err
	}
	announce, err := newAnnouncer(ctx, db, b, server.DefaultTopic, "/config", log.With("part", "config"))
	if err != nil {
		return err
	}
	k.announce = append(k.announce, announce)
	d := sqlconfig.New(db, sqlconfig.SQLite, &sqlconfig.Options{
		InTx: func(ctx context.Context, tx *sql.Tx, c configdriver.Commit) error {
			return announce.append(ctx, tx, server.Notices(k.ConfigURL(), server.DefaultTopic, c)...)
		},
	})
	if err := d.Migrate(ctx); err != nil {
		return err
	}
	documents := store.New(d, &store.Options{
		Validators: []store.Validator{checkRules},
		Cohort:     newCohorts().has,
		OnCommit:   func(context.Context, *store.Commit) { announce.box.Wake() },
	})
	if err := describeRules(ctx, documents); err != nil {
		// A stricter schema than what is stored is no reason not to start.
		log.WarnContext(ctx, "kernel: rules have no schema", "error", err)
	}
	k.config = server.New(documents, &server.Options{
		BaseURL: k.ConfigURL(), Announced: true, Title: "Swale", Logger: log.With("part", "config"),
		Identify: func(r *http.Request) (string, error) { return who(r), nil },
		Allow: func(_ context.Context, who string, action server.Action, _ string) bool {
			return who == developer || action == server.Read
		},
	})
	return nil
}

// database opens one of the kernel's databases.
func (k *Kernel) database(dir, name string) (*sql.DB, error) {
	db, err := restaurants.OpenDB(filepath.Join(dir, name))
	if err == nil {
		k.databases = append(k.databases, db)
		k.down = append(k.down, func(context.Context) error { return db.Close() })
	}
	return db, err
}

// Ping asks its databases whether they answer.
func (k *Kernel) Ping(ctx context.Context) error {
	for _, db := range k.databases {
		if err := db.PingContext(ctx); err != nil {
			return err
		}
	}
	return nil
}

// DiscoveryURL is where instances and bindings are.
func (k *Kernel) DiscoveryURL() string { return k.base + "/discovery" }

// ConfigURL is where configuration is.
func (k *Kernel) ConfigURL() string { return k.base + "/config" }

// RulesURL is the page about the door's rules.
func (k *Kernel) RulesURL() string { return k.base + "/rules/" }

// LoginURL is the issuer of tokens.
func (k *Kernel) LoginURL() string { return k.base + "/login" }

// Login is the login service, for programs in the same process.
func (k *Kernel) Login() *login.Service { return k.login }

// Handler serves all of them.
func (k *Kernel) Handler() http.Handler { return k.handler }

func (k *Kernel) routes(inUse func() *rules.Engine, console http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/discovery/", http.StripPrefix("/discovery", k.discovery))
	mux.Handle("/config/", k.config)
	loginPages := k.login.Handler(nil)
	mux.Handle("/login/", loginPages)
	mux.Handle("/.well-known/", loginPages)
	if inUse != nil {
		mux.Handle("/rules/", rulespage.New(inUse, &rulespage.Options{Title: "Rules of the door"}))
	}
	if console != nil {
		mux.Handle("/console/", console)
	}
	mux.Handle("GET /{$}", hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		var doc struct {
			Links struct {
				Self      hal.Link `json:"self"`
				Discovery hal.Link `json:"discovery"`
				Config    hal.Link `json:"config"`
				Login     hal.Link `json:"login"`
				Rules     hal.Link `json:"rules,omitzero"`
				Console   hal.Link `json:"console,omitzero"`
			} `json:"_links"`
		}
		doc.Links.Self = hal.To(k.base + "/")
		doc.Links.Discovery = hal.Link{Href: k.DiscoveryURL() + "/", Title: "Instances, and which version gets which requests"}
		doc.Links.Config = hal.Link{Href: k.ConfigURL() + "/", Title: "Configuration; its page is at " + k.ConfigURL() + "/page/"}
		doc.Links.Login = hal.Link{Href: k.LoginURL() + "/", Title: "Accounts, sessions and tokens"}
		if inUse != nil {
			doc.Links.Rules = hal.Link{Href: k.RulesURL(), Title: "Which rule decides about a request at the door, and why"}
		}
		if console != nil {
			doc.Links.Console = hal.Link{Href: k.base + "/console/", Title: "The running system on one page"}
		}
		return hal.Write(w, r, http.StatusOK, &doc, nil)
	}))
	return guarded(mux)
}

// Run announces changes of configuration and accounts, and keeps signing keys
// in rotation, until ctx ends. Kernels of one directory share the topics; where
// another has them Run ends with a [*resn.OwnedError].
func (k *Kernel) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop() // what ends ends all of it
	running := []func(context.Context) error{k.login.Run}
	lease := resn.NewBusLease(k.bus)
	defer func() { _ = lease.Close(context.WithoutCancel(ctx)) }()
	for _, a := range k.announce {
		running = append(running, func(ctx context.Context) error { return a.run(ctx, lease, k.owner, k.log) })
	}
	ended := make(chan error, len(running))
	for _, run := range running {
		go func() {
			defer stop()
			ended <- run(ctx)
		}()
	}
	var errs []error
	for range running {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

// RelayStats says what its relays have published and what waits.
func (k *Kernel) RelayStats() []outbox.RelayStats {
	stats := make([]outbox.RelayStats, len(k.announce))
	for i, a := range k.announce {
		stats[i] = a.relay.Stats()
	}
	return stats
}

// Close closes what New has opened, the last first. Stop Run and the server
// before.
func (k *Kernel) Close(ctx context.Context) error {
	var errs []error
	for len(k.down) > 0 {
		last := len(k.down) - 1
		errs = append(errs, k.down[last](ctx))
		k.down = k.down[:last]
	}
	return errors.Join(errs...)
}
