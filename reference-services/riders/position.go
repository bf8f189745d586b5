package riders

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"time"

	"github.com/mmcloughlin/geohash"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/reference-services/internal/owner"
	"github.com/goswale/swale/resn"
)

// PositionStream is the stream of positions. Its keys are the riders' ids.
const PositionStream = "rider-positions"

// maxPosition bounds a position, in bytes, as it is sent and as it travels.
const maxPosition = 512

// Position is where a rider was.
type Position struct {
	Links PositionLinks `json:"_links"`
	Lat   float64       `json:"lat"`
	Lon   float64       `json:"lon"`
	At    time.Time     `json:"at"`
}

// PositionLinks are the links of a Position.
type PositionLinks struct {
	Rider hal.Link `json:"rider"`
}

// Positions opens the stream of positions on b, for whoever shows or publishes
// them.
func Positions(ctx context.Context, b *bus.Bus) (*resn.Stream[Position], error) {
	id := func(p Position) string { return path.Base(p.Links.Rider.Href) }
	return resn.NewStream(ctx, b, PositionStream, id, &resn.StreamOptions{MaxBytes: maxPosition, Source: "/" + Topic})
}

// place is a position as a rider's device sends it.
type place struct {
	Lat float64 `json:"lat" prompt:"Latitude, in degrees" form:"required,min=-90,max=90"`
	Lon float64 `json:"lon" prompt:"Longitude, in degrees" form:"required,min=-180,max=180"`
}

// Validate returns what is wrong with it, or nil.
func (p *place) Validate() []hal.FieldError { return owner.Place("#", p.Lat, p.Lon) }

// position answers with the latest one. No cache keeps it.
func (s *Service) position(w http.ResponseWriter, r *http.Request) error {
	rider, err := s.Find(r)
	if err != nil {
		return err
	}
	latest, err := s.positions.Latest(r.Context(), rider.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return hal.NewProblem(http.StatusNotFound, "The rider hasn't been seen in the last hour.")
	}
	if err != nil {
		return err
	}
	var links hal.Links
	links.Set("self", hal.To(s.URL(rider.ID, "position")))
	links.Set("rider", hal.To(s.URL(rider.ID)))
	return hal.Write(w, r, http.StatusOK, struct {
		Links hal.Links `json:"_links"`
		place
		At time.Time `json:"at"`
	}{links, place{latest.Value.Lat, latest.Value.Lon}, latest.Value.At}, &hal.WriteOptions{CacheControl: "no-store"})
}

// move publishes a position. It is sent every few seconds, over no matter what
// network: it has no condition, the latest one counts, and one that is lost is
// followed by another.
func (s *Service) move(w http.ResponseWriter, r *http.Request) error {
	at, err := hal.Decode[place](r, &hal.DecodeOptions{MaxBytes: maxPosition, Strict: true})
	if err != nil {
		return err
	}
	rider, err := s.Find(r)
	if err != nil {
		return err
	}
	if !rider.State.onDuty() {
		return hal.NewProblem(http.StatusConflict, "The rider is off; only those on duty say where they are. Possible is: start.")
	}
	err = s.positions.Publish(r.Context(), Position{
		PositionLinks{hal.To(s.URL(rider.ID))}, at.Lat, at.Lon, time.Now().UTC().Truncate(time.Millisecond),
	})
	if err != nil {
		return &hal.Problem{Status: http.StatusServiceUnavailable, Detail: "The bus doesn't take the position.", Err: err}
	}
	if area := geohash.EncodeWithPrecision(at.Lat, at.Lon, 5); area != rider.State.Area {
		_, err := s.Change(r.Context(), rider.ID, func(now owner.Item[state]) (state, error) {
			now.State.Area = area
			return now.State, nil
		})
		if err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
