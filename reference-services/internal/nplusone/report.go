package nplusone

import (
	"math"
	"time"
)

// The names of the strategies, in the order in which they are reported.
const (
	None   = "none"
	ETag   = "etag"
	MaxAge = "max-age"
	RESN   = "resn"
)

// Report is the outcome of a run. Its JSON form is what --json prints.
type Report struct {
	Strategies   []Figures `json:"strategies"`
	Updates      int       `json:"updates"`        // acknowledged by the owner
	ItemsPerPage int       `json:"items_per_page"` // besides the list
}

// Figures are the outcome for one strategy. Milliseconds are rounded to three
// places.
type Figures struct {
	Name              string  `json:"name"`
	Pages             int     `json:"pages"`
	PageP50           float64 `json:"page_p50_ms"`
	PageP99           float64 `json:"page_p99_ms"`
	RequestsPerPage   float64 `json:"domain_requests_per_page"`
	StaleItemsShown   int     `json:"stale_items_shown"`
	StaleAfterNotice  int     `json:"stale_after_notice"`
	StalenessP50      float64 `json:"staleness_p50_ms"`
	StalenessP99      float64 `json:"staleness_p99_ms"`
	StalenessMax      float64 `json:"staleness_max_ms"`
	ItemsShown        int     `json:"-"`
	Errors            int     `json:"-"` // items and lists that couldn't be read
	QuietPages        int     `json:"-"` // warm pages during which nothing changed
	QuietPageRequests int     `json:"-"` // the most domain requests that one of them took
}

func ms(d time.Duration) float64 { return round(float64(d) / float64(time.Millisecond)) }

func round(f float64) float64 { return math.Round(f*1000) / 1000 }

// Of returns the figures of a strategy, zero if it didn't run.
func (r *Report) Of(name string) Figures {
	for _, f := range r.Strategies {
		if f.Name == name {
			return f
		}
	}
	return Figures{}
}
