package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/reference-services/riders"
	"github.com/goswale/swale/resn"
)

// maxSilence is for how long a rider is shown who says nothing more.
const maxSilence = 2 * time.Minute

// position is where a rider was.
type position struct {
	Rider string    `json:"rider"`
	Lat   float64   `json:"lat"`
	Lon   float64   `json:"lon"`
	At    time.Time `json:"at"`
}

// fleet has the latest position of each rider.
type fleet struct {
	mu     sync.Mutex
	latest map[string]position
}

// Follow has the page show where riders are by the stream of their positions, from
// its latest ones on, until the subscription is closed. ctx bounds only the asking.
func (p *Page) Follow(ctx context.Context, stream *resn.Stream[riders.Position]) (*bus.Subscription, error) {
	saw := func(v resn.Value[riders.Position]) {
		p.Saw(v.Value.Links.Rider.Href, v.Value.Lat, v.Value.Lon, v.Value.At)
	}
	sub, err := stream.Subscribe(ctx, resn.StreamHandler[riders.Position]{Value: saw})
	if err != nil {
		return nil, fmt.Errorf("dashboard: where riders are: %w", err)
	}
	for v, err := range stream.All(ctx) {
		if err != nil {
			break // those that come will do
		}
		saw(v)
	}
	return sub, nil
}

// Saw says where a rider was. An older word than the last one is passed over.
func (p *Page) Saw(rider string, lat, lon float64, at time.Time) {
	f := &p.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.latest == nil {
		f.latest = map[string]position{}
	}
	if at.Before(f.latest[rider].At) {
		return
	}
	f.latest[rider] = position{rider, lat, lon, at}
}

// now returns the positions that are worth showing, and forgets the others.
func (f *fleet) now(now time.Time) []position {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.latest, func(_ string, p position) bool { return now.Sub(p.At) > maxSilence })
	all := make([]position, 0, len(f.latest))
	for _, rider := range slices.Sorted(maps.Keys(f.latest)) {
		all = append(all, f.latest[rider])
	}
	return all
}

func (p *Page) serveRiders(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(p.fleet.now(time.Now())) // who has gone away hears no error
}
