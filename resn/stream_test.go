package resn_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// position is where a rider was.
type position struct {
	Links struct {
		Rider hal.Link `json:"rider"`
	} `json:"_links"`
	Lat  float64 `json:"lat"`
	Note string  `json:"note,omitempty"`
}

func where(rider int, lat float64) position {
	p := position{Lat: lat}
	p.Links.Rider = hal.To(fmt.Sprintf("https://riders.example/riders/%d", rider))
	return p
}

func ofRider(p position) string { return p.Links.Rider.Href }

func newPositions(t *testing.T, b *bus.Bus) *resn.Stream[position] {
	t.Helper()
	s, err := resn.NewStream(t.Context(), b, "positions", ofRider, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(nil)
		defer func() { _ = b.Shutdown(context.Background()) }()
		s := newPositions(t, b)
		var got []float64
		var states []bus.StateKind
		sub, err := s.Subscribe(t.Context(), resn.StreamHandler[position]{
			Value: func(v resn.Value[position]) {
				if v.Key != v.Value.Links.Rider.Href || v.Time.IsZero() {
					t.Errorf("a value comes with its key and time: %+v", v)
				}
				got = append(got, v.Value.Lat)
			},
			State:   func(s bus.State) { states = append(states, s.Kind) },
			Invalid: func(err error) { t.Error(err) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Publish(t.Context(), where(1, 1), where(2, 2), where(1, 3)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d := cmp.Diff([]float64{1, 2, 3}, got); d != "" {
			t.Errorf("values come in the order of publishing (-want +got):\n%s", d)
		}
		if len(states) != 1 || states[0] != bus.Live {
			t.Errorf("the subscription says that it is live: %v", states)
		}
		latest, err := s.Latest(t.Context(), "https://riders.example/riders/1")
		if err != nil || latest.Value.Lat != 3 {
			t.Errorf("Latest returns the latest of the key: %+v, %v", latest, err)
		}
		if _, err := s.Latest(t.Context(), "https://riders.example/riders/9"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Latest of nothing is fs.ErrNotExist: %v", err)
		}
		all := map[string]float64{}
		for v, err := range s.All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			all[v.Key] = v.Value.Lat
		}
		if d := cmp.Diff(map[string]float64{"https://riders.example/riders/1": 3, "https://riders.example/riders/2": 2}, all); d != "" {
			t.Errorf("All returns the latest of every key (-want +got):\n%s", d)
		}
		if err := sub.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if _, err := s.Latest(t.Context(), "https://riders.example/riders/1"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("values are kept for a bounded time: %v", err)
		}
	})
}

func TestStreamErrorsNameWhatIsWrong(t *testing.T) {
	b := membus.New(nil)
	defer func() { _ = b.Shutdown(context.Background()) }()
	s := newPositions(t, b)
	long := where(1, 1)
	long.Note = strings.Repeat("x", 2000)
	relative := position{}
	relative.Links.Rider = hal.To("/riders/1")
	none := position{}
	for want, values := range map[string][]position{
		`resn: stream "positions": value 1: resn: not a stream value: it has 2081 bytes, and StreamOptions.MaxBytes is 1024`:                                                                       {where(1, 1), long},
		`resn: stream "positions": value 0: resn: not a stream value: its link "rider" leads to "/riders/1"; a value is read far from where it was made, so links are absolute http or https URLs`: {relative},
		`resn: stream "positions": value 0: resn: not a stream value: its key is empty`:                                                                                                            {none},
	} {
		err := s.Publish(t.Context(), values...)
		if err == nil || err.Error() != want || !errors.Is(err, resn.ErrValue) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	for v, err := range s.All(t.Context()) {
		t.Errorf("if one value is malformed nothing is published: %+v, %v", v, err)
	}
	if _, err := resn.NewStream(t.Context(), b, "numbers", func(int) string { return "" }, nil); err == nil || !strings.Contains(err.Error(), `type int has no field with the JSON name "_links"`) {
		t.Errorf("a type without _links is refused: %v", err)
	}
	if _, err := resn.NewStream(t.Context(), b, "Positions", ofRider, nil); err == nil {
		t.Error("a malformed topic is refused")
	}
}

// Values and notices are kept apart, whoever mixes them up.
func TestStreamsAndNoticesAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(nil)
		defer func() { _ = b.Shutdown(context.Background()) }()
		s := newPositions(t, b)
		value := bus.Event{
			Source: "/", Type: "resn.value", Subject: "https://riders.example/riders/1",
			DataContentType: "application/hal+json", Data: []byte(`{"_links":{"rider":{"href":"https://riders.example/riders/1"}}}`),
		}
		if _, _, err := resn.Decode("positions", &value); !errors.Is(err, resn.ErrNotice) || !strings.Contains(err.Error(), "it has a payload of 63 bytes") {
			t.Errorf("a value is no notice: %v", err)
		}
		var invalid []string
		sub, err := s.Subscribe(t.Context(), resn.StreamHandler[position]{
			Value:   func(v resn.Value[position]) { t.Errorf("got %+v", v) },
			Invalid: func(err error) { invalid = append(invalid, err.Error()) },
		})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := b.Stream(t.Context(), "positions", nil)
		if err != nil {
			t.Fatal(err)
		}
		notice := resn.Event{Topic: "positions", Type: resn.Update, Href: "https://riders.example/riders/1"}.CloudEvent("/")
		bare := value.Clone()
		bare.Data = []byte(`{"lat":1}`)
		other := value.Clone()
		other.SetExtension("topic", "orders")
		if err := raw.Publish(t.Context(), notice, bare, other); err != nil {
			t.Fatal(err)
		}
		if err := b.Publish(t.Context(), "positions", value); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want := []string{
			`resn: not a stream value: its CloudEvents type is "resn.update"; a stream carries "resn.value"`,
			`resn: not a stream value: it has no _links`,
			`resn: not a stream value: a value of "orders" came on "positions"`,
		}
		if d := cmp.Diff(want, invalid); d != "" {
			t.Errorf("what isn't a value is rejected, with the reason (-want +got):\n%s", d)
		}
		if err := sub.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// Riders tell where they are; whoever draws the map begins with the latest of each.
func ExampleStream() {
	type position struct {
		Links struct {
			Rider hal.Link `json:"rider"`
		} `json:"_links"`
		Lat, Lon float64
	}
	ctx := context.Background()
	b := membus.New(nil)
	positions, err := resn.NewStream(ctx, b, "positions", func(p position) string { return p.Links.Rider.Href }, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	at := position{Lat: 51.5, Lon: -0.1}
	at.Links.Rider = hal.To("https://riders.example/riders/7")
	if err := positions.Publish(ctx, at); err != nil {
		fmt.Println(err)
		return
	}
	for v, err := range positions.All(ctx) {
		fmt.Println(v.Key, v.Value.Lat, v.Value.Lon, err)
	}
	_ = b.Shutdown(ctx)
	// Output: https://riders.example/riders/7 51.5 -0.1 <nil>
}
