package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// serveAdmin answers at the admin port until everything else has ended.
func (s *Service) serveAdmin(l net.Listener) {
	server := &http.Server{
		Handler: s.admin(), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	s.log.Info("admin port", "address", l.Addr().String())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.end(&PartError{Part: "admin port", Err: err})
		}
	}()
	s.Defer("admin port", func(context.Context) error {
		err := server.Close() // nothing here is worth waiting for
		<-done
		return err
	})
}

// admin is what operators and their probes ask.
func (s *Service) admin() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", s.index)
	m.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { s.writeHealth(w, nil, nil) })
	m.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		found, err := s.health.report()
		s.writeHealth(w, found, err)
	})
	m.HandleFunc("GET /info", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.info()) })
	m.HandleFunc("GET /loglevel", func(w http.ResponseWriter, _ *http.Request) { s.writeLevel(w) })
	m.HandleFunc("PUT /loglevel", s.setLevel)
	m.HandleFunc("GET /state/{name}", s.state)
	if s.opts.Metrics != nil {
		m.Handle("GET /metrics", s.opts.Metrics)
	}
	profiles(m)
	return m
}

// writeHealth answers in the form of draft-inadarei-api-health-check-06.
func (s *Service) writeHealth(w http.ResponseWriter, found []Finding, why error) {
	type observation struct {
		Status string    `json:"status"`
		Output string    `json:"output,omitempty"`
		Time   time.Time `json:"time,omitzero"`
		Value  float64   `json:"observedValue"`
		Unit   string    `json:"observedUnit"`
	}
	body := struct {
		Status    string                   `json:"status"`
		Output    string                   `json:"output,omitempty"`
		Version   string                   `json:"version"`
		ServiceID string                   `json:"serviceId"`
		Checks    map[string][]observation `json:"checks,omitempty"`
	}{Status: "pass", Version: s.opts.Version, ServiceID: s.opts.Name + "/" + s.Instance(), Checks: make(map[string][]observation)}
	status := http.StatusOK
	if why != nil {
		status, body.Status, body.Output = http.StatusServiceUnavailable, "fail", why.Error()
	}
	for _, f := range found {
		o := observation{Status: "pass", Time: f.At, Value: float64(f.Took.Microseconds()) / 1000, Unit: "ms"}
		if f.Err != nil {
			o.Status, o.Output = "fail", f.Err.Error()
		}
		body.Checks[f.Name] = append(body.Checks[f.Name], o)
	}
	w.Header().Set("Content-Type", "application/health+json")
	writeJSON(w, status, body)
}

// info says what was built and how it runs.
func (s *Service) info() map[string]any {
	env := s.Environment()
	info := map[string]any{
		"service": s.opts.Name, "version": s.opts.Version, "instance": env.Instance, "zone": env.Zone, "region": env.Region,
		"address": s.public.Addr().String(), "advertise": env.Advertise,
		"go": runtime.Version(), "cores": runtime.GOMAXPROCS(0), "goroutines": runtime.NumGoroutine(),
	}
	if b, ok := debug.ReadBuildInfo(); ok {
		modules := make(map[string]string)
		for _, d := range b.Deps {
			modules[d.Path] = d.Version
		}
		info["modules"] = modules
		for _, kv := range b.Settings {
			if strings.HasPrefix(kv.Key, "vcs.") {
				info[kv.Key] = kv.Value
			}
		}
	}
	return info
}

func (s *Service) writeLevel(w http.ResponseWriter) {
	if s.level == nil {
		http.Error(w, "the logger was given by the program, which alone can change its level", http.StatusNotFound)
		return
	}
	fmt.Fprintln(w, strings.ToLower(s.level.Level().String()))
}

func (s *Service) setLevel(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64))
	var level slog.Level
	if err == nil {
		err = level.UnmarshalText([]byte(strings.TrimSpace(string(text))))
	}
	if err != nil {
		http.Error(w, "the body is not one of debug, info, warn and error: "+err.Error(), http.StatusBadRequest)
		return
	}
	if s.level != nil {
		s.level.Set(level)
		s.log.Info("log level set", "to", level.String())
	}
	s.writeLevel(w)
}

func (s *Service) state(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	show := s.shown[r.PathValue("name")]
	s.mu.Unlock()
	if show == nil {
		http.Error(w, "nothing is shown under this name; / lists what is", http.StatusNotFound)
		return
	}
	writeJSON(w, http.StatusOK, show())
}

// index lists what can be asked.
func (s *Service) index(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	names := slices.Sorted(maps.Keys(s.shown))
	s.mu.Unlock()
	paths := []string{"/livez", "/readyz", "/info", "/loglevel", "/debug/pprof/"}
	if s.opts.Metrics != nil {
		paths = append(paths, "/metrics")
	}
	for _, n := range names {
		paths = append(paths, "/state/"+n)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	title := html.EscapeString(s.opts.Name + " " + s.opts.Version)
	fmt.Fprintf(w, "<!doctype html><html lang=en><title>%s</title><h1>%s</h1><ul>", title, title)
	for _, p := range paths {
		p = html.EscapeString(p)
		fmt.Fprintf(w, `<li><a href="%s">%s</a>`, p, p)
	}
	fmt.Fprint(w, "</ul>")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"this can't be shown as JSON"}`)
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}
