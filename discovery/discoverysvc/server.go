package discoverysvc

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// Options configure New. Authorise is needed, and Base with a Bus.
type Options struct {
	// Authorise says who asks, or why they may not do it: with an error that is
	// a *hal.Problem, or any other for a bare 403. An empty name leaves the
	// author of a binding to the request.
	Authorise func(*http.Request, Op) (who string, err error)
	// Base is the URL that clients know the service by, without a slash at the
	// end: "https://kernel.example/discovery". Links and notices begin with it.
	// Default: links are relative to the host and begin at its root.
	Base string
	// Bindings is the store of bindings. Default: one in memory.
	Bindings binding.Store
	// Bus announces changes. Of the replicas that have one, each topic belongs to one
	// at a time, and to another when that one is gone; the others log once whose it
	// is. Default nil: this replica announces none.
	Bus *bus.Bus
	// Lag is by how much this replica may be behind what another announced.
	// Default: 2 s.
	Lag time.Duration
	// Discovery are the options of the registry inside: Verify, for one.
	Discovery discovery.Options
	// Logger gets failures. Default: none are logged.
	Logger *slog.Logger
}

// Server is the service. It is safe for concurrent use.
type Server struct {
	opts     Options
	driver   driver.Driver
	registry *discovery.Registry
	store    binding.Store
	table    *binding.Table
	mux      *http.ServeMux
	path     string // of Base
	cache    string // Cache-Control, without the topic

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	services shown[serviceView]
	bindings shown[binding.Revision]
	live     liveness
}

// unclosed is a driver that stays its owner's.
type unclosed struct{ driver.Driver }

// Close implements [driver.Driver] and leaves the driver open.
func (unclosed) Close(context.Context) error { return nil }

var (
	errNoAuthorise = errors.New("discoverysvc: Options.Authorise is missing: say who may register what, or AllowAll on a developer's machine")
	errNoBase      = errors.New("discoverysvc: Options.Base is missing or no URL: notices name resources by the URL that clients know")
)

// New returns a service in front of a driver, which stays the caller's, and
// begins to watch it. Call Close in the end.
func New(d driver.Driver, opts *Options) (*Server, error) {
	s := &Server{driver: d}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Authorise == nil {
		return nil, errNoAuthorise
	}
	s.opts.Base = strings.TrimSuffix(s.opts.Base, "/")
	base, err := url.Parse(s.opts.Base)
	if err != nil || s.opts.Base != "" && base.Host == "" || s.opts.Base == "" && s.opts.Bus != nil {
		return nil, errNoBase
	}
	s.path = base.EscapedPath()
	if s.opts.Lag <= 0 {
		s.opts.Lag = 2 * time.Second
	}
	if s.opts.Logger == nil {
		s.opts.Logger = slog.New(slog.DiscardHandler)
	}
	s.cache = "private, max-age=1, resn-lag=" + strconv.Itoa(max(1, int(s.opts.Lag.Seconds())))
	if s.store = s.opts.Bindings; s.store == nil {
		s.store = binding.NewMemory()
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.registry = discovery.New(unclosed{d}, &s.opts.Discovery)
	if err := s.announce(); err != nil {
		s.cancel()
		return nil, err
	}
	revisions := newQueue[binding.Revision]()
	s.table = binding.NewTable(s.store, &binding.Options{Logger: s.opts.Logger, OnChange: func(r binding.Revision, _ error) { revisions.push(r) }})
	s.work.Go(func() { revisions.each(s.ctx, s.showBinding) })
	s.work.Go(func() {
		if err := s.registry.Watch(s.ctx, "", s.showServices); s.ctx.Err() == nil {
			s.opts.Logger.Error("discoverysvc: nothing is watched any more", "error", err)
		}
	})
	s.routes()
	return s, nil
}

// announce opens the publishers, if there is a bus.
func (s *Server) announce() error {
	s.services.init("services")
	s.bindings.init("bindings")
	if s.opts.Bus == nil {
		return nil
	}
	for _, p := range []struct {
		topic string
		at    **resn.Publisher
	}{{"services", &s.services.publisher}, {"bindings", &s.bindings.publisher}} {
		made, err := resn.NewPublisher(s.opts.Bus, p.topic, &resn.PublisherOptions{
			Source: s.opts.Base, Logger: s.opts.Logger,
			Claim: &resn.OwnershipOptions{Wait: true}, // all replicas show the same, and one announces it
		})
		if err != nil {
			return errors.Join(err, s.services.close(context.Background()))
		}
		*p.at = made
	}
	return nil
}

// Close ends the watches and every stream. The driver, the store and the bus
// stay open. It may be called twice.
func (s *Server) Close(ctx context.Context) error {
	s.cancel()
	errs := []error{s.table.Close(ctx), s.registry.Shutdown(ctx)}
	s.work.Wait()
	errs = append(errs, s.services.close(ctx), s.bindings.close(ctx))
	return errors.Join(errs...)
}

// Ready waits until both stores have been read.
func (s *Server) Ready(ctx context.Context) error {
	if err := s.table.Ready(ctx); err != nil {
		return err
	}
	return s.live.wait(ctx)
}

// ServeHTTP serves the service's resources.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Server) routes() {
	s.mux = http.NewServeMux()
	for pattern, h := range map[string]hal.Handler{
		"GET /{$}":                                     s.root,
		"GET /status":                                  s.status,
		"GET /services":                                s.listServices,
		"GET /services/{service}":                      s.getService,
		"GET /services/{service}/instances/{id}":       s.getInstance,
		"GET /bindings":                                s.listBindings,
		"GET /bindings/events":                         s.streamBindings,
		"GET /bindings/{service}":                      s.getBinding,
		"PUT /bindings/{service}":                      s.putBinding,
		"DELETE /bindings/{service}":                   s.deleteBinding,
		"POST /bindings/{service}":                     s.rollback,
		"GET /bindings/{service}/history":              s.getHistory,
		"GET /records":                                 s.listRecords,
		"GET /records/events":                          s.streamRecords,
		"PUT /records/{kind}/{service}/{id}":           s.putRecord,
		"POST /records/{kind}/{service}/{id}/renewals": s.renewRecord,
		"DELETE /records/{kind}/{service}/{id}":        s.deleteRecord,
	} {
		s.mux.Handle(pattern, h)
	}
	s.mux.Handle("/", hal.Handler(func(http.ResponseWriter, *http.Request) error {
		return hal.NewProblem(http.StatusNotFound, "There is no such resource, or it hasn't this method.")
	}))
}

// allow asks whether the request may do something, and by whom it is.
func (s *Server) allow(r *http.Request, op Op) (string, error) {
	who, err := s.opts.Authorise(r, op)
	if err == nil {
		return who, nil
	}
	if p := (hal.Problemer)(nil); errors.As(err, &p) {
		return "", err
	}
	return "", &hal.Problem{Status: http.StatusForbidden, Detail: "This isn't allowed to you.", Err: err}
}

// href is the URL of a path of the service.
func (s *Server) href(path string) string { return s.path + path }

func servicePath(service string) string { return "/services/" + url.PathEscape(service) }

func bindingPath(service string) string { return "/bindings/" + url.PathEscape(service) }

type rootDocument struct {
	Links struct {
		Self     hal.Link `json:"self"`
		Services hal.Link `json:"services"`
		Service  hal.Link `json:"service"`
		Bindings hal.Link `json:"bindings"`
		Binding  hal.Link `json:"binding"`
		Records  hal.Link `json:"records"`
		Status   hal.Link `json:"status"`
	} `json:"_links"`
}

func (s *Server) root(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.allow(r, Op{Action: Read}); err != nil {
		return err
	}
	var doc rootDocument
	doc.Links.Self = hal.To(s.href("/"))
	doc.Links.Services, doc.Links.Service = hal.To(s.href("/services")), hal.TemplateTo(s.href("/services/{service}"))
	doc.Links.Bindings, doc.Links.Binding = hal.To(s.href("/bindings")), hal.TemplateTo(s.href("/bindings/{service}"))
	doc.Links.Records, doc.Links.Status = hal.TemplateTo(s.href("/records{?service}")), hal.To(s.href("/status"))
	return hal.Write(w, r, http.StatusOK, doc, &hal.WriteOptions{CacheControl: "private, max-age=3600"})
}

type statusDocument struct {
	Links struct {
		Self hal.Link `json:"self"`
	} `json:"_links"`
	// Live says that changes of instances arrive; otherwise AsOf is when what
	// is shown was last known to be complete, and Reason says why.
	Live      bool              `json:"live"`
	AsOf      time.Time         `json:"asOf,omitzero"`
	Reason    string            `json:"reason,omitempty"`
	Instances int               `json:"instances"`
	Bindings  int               `json:"bindings"`
	Refused   map[string]string `json:"refused,omitempty"` // bindings that can't be used, and why
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.allow(r, Op{Action: Read}); err != nil {
		return err
	}
	var doc statusDocument
	doc.Links.Self = hal.To(s.href("/status"))
	v := s.live.get()
	doc.Live, doc.AsOf, doc.Instances = v.Live, v.AsOf, len(v.Instances)
	if v.Err != nil {
		doc.Reason = "the store's watch was lost"
	}
	inUse, refused := s.table.InUse()
	doc.Bindings = len(inUse)
	for service, err := range refused {
		if doc.Refused == nil {
			doc.Refused = map[string]string{}
		}
		doc.Refused[service] = err.Error()
	}
	return hal.Write(w, r, http.StatusOK, doc, &hal.WriteOptions{CacheControl: "no-store"})
}

// problemOf turns a driver's or store's error into an answer.
func problemOf(err error) error {
	status, detail := 0, ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, driver.ErrTaken):
		status, detail = http.StatusConflict, "A living instance has this name."
	case errors.Is(err, driver.ErrGone):
		status, detail = http.StatusGone, "The lease has ended; register again."
	case errors.Is(err, driver.ErrDenied):
		status, detail = http.StatusForbidden, "The store refuses it."
	case errors.Is(err, binding.ErrConflict):
		status, detail = http.StatusPreconditionFailed, "Somebody else has changed it; read it again."
	case errors.Is(err, binding.ErrInvalid):
		status, detail = http.StatusUnprocessableEntity, err.Error()
	case errors.Is(err, fs.ErrNotExist):
		status, detail = http.StatusNotFound, err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		status, detail = http.StatusServiceUnavailable, "The store doesn't answer."
	default:
		return &hal.Problem{Status: http.StatusBadGateway, Detail: "The store failed.", Err: err}
	}
	return &hal.Problem{Status: status, Detail: detail, Err: err}
}
