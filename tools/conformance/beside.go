package conformance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	fork "github.com/gohugoio/httpcache"
	"github.com/gregjones/httpcache"

	"github.com/goswale/swale/cache"
)

// A Peer is a cache for clients, with what its users get by default.
type Peer struct {
	// Name is its import path and version.
	Name string
	// New makes one in front of next.
	New func(next http.RoundTripper) http.RoundTripper
}

// Peers returns ours and what it is compared with.
func Peers() []Peer {
	return []Peer{
		{"swale/cache", func(next http.RoundTripper) http.RoundTripper { return Ours(next) }},
		{"gregjones/httpcache 901d907", func(next http.RoundTripper) http.RoundTripper {
			t := httpcache.NewMemoryCacheTransport()
			t.Transport = next
			return t
		}},
		{"gohugoio/httpcache v0.9.0", func(next http.RoundTripper) http.RoundTripper {
			return &fork.Transport{Transport: next, Cache: httpcache.NewMemoryCache()}
		}},
	}
}

// Ours returns the cache as it is judged. Serving stale while the origin can't
// be reached is off unless asked for; some required tests say what may not be
// served then.
func Ours(next http.RoundTripper) *cache.Transport {
	return cache.New(next, &cache.Options{StaleIfDisconnected: time.Hour})
}

// WriteBeside runs the suite through every peer and writes a table of what
// passed. It says on progress which peer is running.
func WriteBeside(ctx context.Context, w, progress io.Writer, s *Suite, origin func() *http.Transport) error {
	peers := Peers()
	passed := make([]map[string]Count, len(peers))
	var suites []string
	for i, p := range peers {
		fmt.Fprintf(progress, "conformance: running the tests through %s\n", p.Name)
		tests, err := s.Run(ctx, p.New(origin()))
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		passed[i] = bySuite(tests)
		if i == 0 {
			suites = inOrder(tests)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# HTTP cache conformance, side by side\n\n"+
		"The same tests (http-cache-tests %s) through the same proxy over each cache for\n"+
		"clients, as a private cache: the others with their defaults, ours as in\n"+
		"conformance.md. Written by `make conformance-beside`; do not edit. A test counts\n"+
		"as passed when those that it depends on pass too.\n\n", Version())
	cells := []string{"tests"}
	for _, p := range peers {
		cells = append(cells, p.Name)
	}
	row(&b, cells...)
	b.WriteString(strings.Repeat("|---", len(cells)) + "|\n")
	for _, suite := range suites {
		cells = []string{suite}
		for i := range peers {
			cells = append(cells, fmt.Sprintf("%d of %d", passed[i][suite].Passed, passed[i][suite].Total))
		}
		row(&b, cells...)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// bySuite counts by kind and, within the required ones, by suite.
func bySuite(tests []Test) map[string]Count {
	counts := make(map[string]Count)
	byID := make(map[string]Test, len(tests))
	for _, t := range tests {
		byID[t.ID] = t
	}
	for _, t := range tests {
		for _, name := range rows(t) {
			c := counts[name]
			c.Total++
			if failure(t, byID) == "" {
				c.Passed++
			}
			counts[name] = c
		}
	}
	return counts
}

// rows returns the rows of the table in which a test counts.
func rows(t Test) []string {
	if Profile(t) != "" || t.Kind == Check {
		return nil
	}
	all := "**all " + string(t.Kind) + "**"
	return []string{all, t.Suite + ", " + string(t.Kind)}
}

// inOrder returns the rows, those of everything first.
func inOrder(tests []Test) []string {
	names := []string{"**all required**", "**all optimal**"}
	for _, t := range tests {
		for _, name := range rows(t) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}
