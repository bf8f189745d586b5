package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Options are the options of Start. The zero value is useful.
type Options struct {
	// Dir is where JetStream keeps its files. Default: a temporary directory that
	// Shutdown removes.
	Dir string
	// Host is the address to listen on. Default 127.0.0.1.
	Host string
	// Port is the port to listen on. Default 0, a free one, see Server.URL.
	Port int
	// NoListen opens no port; connect with Server.InProcess.
	NoListen bool
	// SyncAlways fsyncs every write before it is confirmed; say natsbus.Options.Synced
	// too. It costs an order of magnitude of throughput.
	SyncAlways bool
	// MaxMemory and MaxStore bound what JetStream keeps, in bytes. Default 256 MiB
	// and 4 GiB.
	MaxMemory, MaxStore int64
	// MaxPayload bounds a message. Default 1 MiB.
	MaxPayload int32
	// Logger receives the server's warnings and errors, and at debug level what it
	// says of itself. Default: none.
	Logger *slog.Logger
	// Name is the server's name. Default "swale".
	Name string
	// Cluster makes it a node of a cluster; nil is a single server.
	Cluster *Cluster
}

// Cluster says how a node finds the others.
type Cluster struct {
	// Name is the cluster's name, the same on each node.
	Name string
	// Port is where this node listens for the others.
	Port int
	// Routes are the addresses of the nodes, such as nats://127.0.0.1:6222.
	Routes []string
}

// Server is a running server. Its methods are safe for concurrent use.
type Server struct {
	inner *server.Server
	temp  string
	url   string
}

// Start starts a server and waits until it is ready: JetStream runs. In a
// cluster it doesn't wait for the other nodes or a leader. nil is fine for opts.
func Start(ctx context.Context, opts *Options) (*Server, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	s := &Server{}
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "swale-nats-")
		if err != nil {
			return nil, fmt.Errorf("embedded: %w", err)
		}
		o.Dir, s.temp = dir, dir
	}
	inner, err := server.NewServer(config(&o))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded: %w", err), s.clean())
	}
	s.inner = inner
	l := &logger{log: o.Logger, fatal: make(chan error, 1)}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	inner.SetLogger(l, false, false)
	go inner.Start()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := s.await(ctx, l.fatal); err != nil {
		s.Shutdown()
		return nil, fmt.Errorf("embedded: %w", err)
	}
	s.url = inner.ClientURL()
	if o.NoListen {
		s.url = nats.DefaultURL
	}
	return s, nil
}

// await waits until the server is ready, or says that it never will be.
func (s *Server) await(ctx context.Context, fatal <-chan error) error {
	for !s.inner.ReadyForConnections(25 * time.Millisecond) {
		select {
		case err := <-fatal:
			return err
		case <-ctx.Done():
			return fmt.Errorf("the server was not ready in time: %w", ctx.Err())
		default:
		}
	}
	return ctx.Err()
}

func config(o *Options) *server.Options {
	c := &server.Options{
		ServerName: o.Name, Host: o.Host, Port: o.Port, DontListen: o.NoListen,
		JetStream: true, StoreDir: filepath.Clean(o.Dir), SyncAlways: o.SyncAlways,
		JetStreamMaxMemory: o.MaxMemory, JetStreamMaxStore: o.MaxStore, MaxPayload: o.MaxPayload,
		NoSigs: true, NoLog: o.Logger == nil,
	}
	if c.ServerName == "" {
		c.ServerName = "swale"
	}
	if c.Host == "" {
		c.Host = "127.0.0.1"
	}
	if c.Port == 0 {
		c.Port = server.RANDOM_PORT
	}
	if c.JetStreamMaxMemory <= 0 {
		c.JetStreamMaxMemory = 256 << 20
	}
	if c.JetStreamMaxStore <= 0 {
		c.JetStreamMaxStore = 4 << 30
	}
	if o.Cluster != nil {
		c.Cluster = server.ClusterOpts{Name: o.Cluster.Name, Host: c.Host, Port: o.Cluster.Port}
		c.Routes = server.RoutesFromStr(strings.Join(o.Cluster.Routes, ","))
	}
	return c
}

// URL is where the server listens, also after Shutdown; with NoListen it is an address that only
// serves as an argument beside InProcess.
func (s *Server) URL() string { return s.url }

// InProcess returns the options of a connection that goes through memory instead
// of a socket.
func (s *Server) InProcess() []nats.Option { return []nats.Option{nats.InProcessServer(s.inner)} }

// Shutdown stops the server and waits until it has. Twice is fine.
func (s *Server) Shutdown() {
	if s.inner != nil {
		s.inner.Shutdown()
		s.inner.WaitForShutdown()
	}
	_ = s.clean()
}

func (s *Server) clean() error {
	if s.temp == "" {
		return nil
	}
	return os.RemoveAll(s.temp)
}

// logger passes the server's messages on. Upon a fatal one a server that is a
// process of its own would end; ours says it to who starts it.
type logger struct {
	log   *slog.Logger
	fatal chan error // room for the first
}

func (l *logger) write(level slog.Level, format string, v []any) {
	l.log.Log(context.Background(), level, "nats server", "message", fmt.Sprintf(format, v...))
}

func (l *logger) Fatalf(format string, v ...any) {
	l.write(slog.LevelError, format, v)
	select {
	case l.fatal <- fmt.Errorf("the server can't start: "+format, v...):
	default:
	}
}

func (l *logger) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }
func (l *logger) Warnf(format string, v ...any)   { l.write(slog.LevelWarn, format, v) }
func (l *logger) Errorf(format string, v ...any)  { l.write(slog.LevelError, format, v) }
func (l *logger) Debugf(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }
func (l *logger) Tracef(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }
