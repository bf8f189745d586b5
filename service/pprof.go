package service

import (
	"fmt"
	"net/http"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"time"
)

// profiles serves what `go tool pprof` and `go tool trace` read. net/http/pprof
// would put itself into http.DefaultServeMux of every program that imports this.
func profiles(m *http.ServeMux) {
	m.HandleFunc("GET /debug/pprof/{$}", func(w http.ResponseWriter, _ *http.Request) {
		for _, p := range pprof.Profiles() {
			fmt.Fprintf(w, "%s\t%d\n", p.Name(), p.Count())
		}
		fmt.Fprint(w, "profile?seconds=30\ntrace?seconds=1\n")
	})
	m.HandleFunc("GET /debug/pprof/{name}", func(w http.ResponseWriter, r *http.Request) {
		p := pprof.Lookup(r.PathValue("name"))
		if p == nil {
			http.Error(w, "there is no profile of this name; /debug/pprof/ lists them", http.StatusNotFound)
			return
		}
		level, _ := strconv.Atoi(r.FormValue("debug"))
		if level == 0 {
			w.Header().Set("Content-Type", "application/octet-stream")
		}
		_ = p.WriteTo(w, level)
	})
	m.HandleFunc("GET /debug/pprof/profile", func(w http.ResponseWriter, r *http.Request) {
		timed(w, r, 30, func() error { return pprof.StartCPUProfile(w) }, pprof.StopCPUProfile)
	})
	m.HandleFunc("GET /debug/pprof/trace", func(w http.ResponseWriter, r *http.Request) {
		timed(w, r, 1, func() error { return trace.Start(w) }, trace.Stop)
	})
}

// timed records for as long as was asked for, five minutes at the most.
func timed(w http.ResponseWriter, r *http.Request, seconds int, start func() error, stop func()) {
	if n, err := strconv.Atoi(r.FormValue("seconds")); err == nil && n > 0 {
		seconds = min(n, 300)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := start(); err != nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		http.Error(w, "somebody else is recording: "+err.Error(), http.StatusConflict)
		return
	}
	defer stop()
	select {
	case <-time.After(time.Duration(seconds) * time.Second):
	case <-r.Context().Done():
	}
}
