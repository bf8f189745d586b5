package riders_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/hal/haltest"
	"github.com/goswale/swale/reference-services/internal/owner/ownertest"
	"github.com/goswale/swale/reference-services/riders"
	"github.com/goswale/swale/resn"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

func open(ctx context.Context, db *sql.DB, b *bus.Bus, opts *riders.Options) (ownertest.Service, error) {
	return riders.New(ctx, db, b, opts)
}

const (
	ada      = `{"name":"Ada"}`
	an       = `{"order":"http://orders.example/orders/9"}`
	downtown = `{"lat":40.72,"lon":-73.99}`
	nextDoor = `{"lat":40.721,"lon":-73.991}`
	uptown   = `{"lat":40.85,"lon":-73.93}`
)

// possible is what leads where in each status.
var possible = map[string]map[string]string{
	riders.Off:  {"start": riders.Free},
	riders.Free: {"stop": riders.Off, "take": riders.Busy},
	riders.Busy: {"release": riders.Free},
}

var steps = map[string][]string{riders.Off: {}, riders.Free: {"start"}, riders.Busy: {"start", "take"}}

type rider struct {
	riders.Rider
	tag string
}

func read(t *testing.T, got ownertest.Answer) rider {
	t.Helper()
	r := rider{tag: got.Header.Get("Etag")}
	if err := json.Unmarshal([]byte(got.Body), &r.Rider); err != nil || got.Status >= 300 {
		t.Fatalf("%d %s: %v", got.Status, got.Body, err)
	}
	return r
}

func do(t *testing.T, a *ownertest.API, url, name, tag string) ownertest.Answer {
	t.Helper()
	body := ""
	if name == "take" {
		body = an
	}
	return a.Do(t, "POST", url+"/"+name, body, "If-Match", tag)
}

// join makes a rider and leads them to a status.
func join(t *testing.T, a *ownertest.API, status string) (url string, r rider) {
	t.Helper()
	url, tag := a.Make(t, "/riders", ada)
	for _, step := range steps[status] {
		tag = read(t, do(t, a, url, step, tag)).tag
	}
	if r = read(t, a.Do(t, "GET", url, "")); r.Status != status || r.Name != "Ada" {
		t.Fatalf("%q lead to %+v, want %s", steps[status], r.Rider, status)
	}
	return url, r
}

func TestEveryTransitionInEveryStatus(t *testing.T) {
	a := ownertest.Start(t, riders.Topic, open)
	for status, want := range possible {
		for _, name := range []string{"start", "stop", "take", "release"} {
			url, r := join(t, a, status)
			to, may := want[name]
			if link, linked := r.Links.Get(name); linked != may || linked && link.Href != url+"/"+name {
				t.Errorf("who is %s links by %s to %q; it must link to what is possible, and nothing else: %v", status, name, link.Href, may)
			}
			got := do(t, a, url, name, r.tag)
			if !may {
				if got.Status != http.StatusConflict || !strings.Contains(got.Body, `"state":"`+status+`"`) {
					t.Errorf("%s when %s gave %d %s; want 409 that names the status", name, status, got.Status, got.Body)
				}
				for other := range want {
					if !strings.Contains(got.Body, `"`+other+`"`) {
						t.Errorf("%s when %s gave %s; %s is possible", name, status, got.Body, other)
					}
				}
				continue
			}
			after := read(t, got)
			order, has := after.Links.Get("order")
			if after.Status != to || has != (to == riders.Busy) || has && order.Href != "http://orders.example/orders/9" {
				t.Errorf("%s when %s leads to %s with the order %q; want %s", name, status, after.Status, order.Href, to)
			}
			if _, on := after.Links.Get("position"); on != (to != riders.Off) {
				t.Errorf("who is %s says where they are: %v", to, on)
			}
		}
	}
}

func TestTransitionsAreConditional(t *testing.T) {
	a := ownertest.Start(t, riders.Topic, open)
	url, r := join(t, a, riders.Off)
	if got := a.Do(t, "POST", url+"/start", ""); got.Status != http.StatusPreconditionRequired {
		t.Errorf("without a condition it gave %d; want 428", got.Status)
	}
	started := read(t, do(t, a, url, "start", r.tag)).tag
	if got := do(t, a, url, "take", r.tag); got.Status != http.StatusPreconditionFailed || got.Header.Get("Etag") != started {
		t.Errorf("who lost the race is told %d %s; want 412 with %s", got.Status, got.Header.Get("Etag"), started)
	}
	at := strings.TrimPrefix(url, a.URL)
	if got, want := a.Announced(t, 2), "update "+at+" "+started; len(got) != 2 || got[1] != want {
		t.Errorf("announced %q; want its creation, and %q", got, want)
	}
}

func TestAChangeAndItsNoticeSurviveTogether(t *testing.T) {
	ownertest.Crash(t, riders.Topic, open, ada, "start", "take "+an, "release", "stop")
}

// A position goes over the stream, the latest of each rider is kept, and nobody is
// told of a change, because none has changed.
func TestPositionsAreValues(t *testing.T) {
	a := ownertest.Start(t, riders.Topic, open)
	stream, err := riders.Positions(t.Context(), a.Bus)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan resn.Value[riders.Position], 100)
	sub, err := stream.Subscribe(t.Context(), resn.StreamHandler[riders.Position]{
		Value:   func(v resn.Value[riders.Position]) { seen <- v },
		Invalid: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close(context.WithoutCancel(t.Context())) }()

	url, r := join(t, a, riders.Free)
	other, _ := join(t, a, riders.Busy)
	id := path.Base(url)
	if _, err := stream.Latest(t.Context(), id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("who has said nothing was seen: %v", err)
	}
	if got := a.Do(t, "GET", url+"/position", ""); got.Status != http.StatusNotFound {
		t.Errorf("who has said nothing is at %d %s", got.Status, got.Body)
	}
	move := func(url, body string) {
		t.Helper()
		if got := a.Do(t, "POST", url+"/position", body); got.Status != http.StatusNoContent {
			t.Fatalf("a position gave %d %s", got.Status, got.Body)
		}
	}
	move(url, downtown) // comes into the area: this once the rider changes
	move(other, uptown)
	area := read(t, a.Do(t, "GET", url, ""))
	if area.Area != "dr5rs" || area.tag == r.tag {
		t.Errorf("the rider is in %q, version %s after %s", area.Area, area.tag, r.tag)
	}
	for range 5 {
		move(url, nextDoor)
		move(url, downtown)
	}
	move(url, nextDoor)
	if now := read(t, a.Do(t, "GET", url, "")); now.tag != area.tag {
		t.Errorf("moving within an area made version %s of the rider, after %s", now.tag, area.tag)
	}
	// Made, started; made, started, took; each came into an area: 7. One more change
	// comes after all the positions, so whatever they had announced would be there.
	last := read(t, do(t, a, url, "stop", area.tag)).tag
	got := a.Announced(t, 8)
	if len(got) != 8 || !strings.HasSuffix(got[7], last) {
		t.Errorf("announced %q; a position within an area is never a notice", got)
	}
	latest, err := stream.Latest(t.Context(), id)
	if err != nil || latest.Value.Lat != 40.721 || latest.Value.Lon != -73.991 || latest.Key != id || latest.Value.Links.Rider.Href != url {
		t.Errorf("the latest is %+v, %v", latest, err)
	}
	if got := a.Do(t, "GET", url+"/position", ""); got.Status != http.StatusOK || !strings.Contains(got.Body, "40.721") || got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the position is %d %q %s", got.Status, got.Header.Get("Cache-Control"), got.Body)
	}
	keys := map[string]int{}
	for v, err := range stream.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys[v.Key]++
	}
	if len(keys) != 2 || keys[id] != 1 || keys[path.Base(other)] != 1 {
		t.Errorf("the bus keeps %v; want one of each rider", keys)
	}
	first := <-seen
	if first.Key != id || first.Value.Lat != 40.72 || first.Value.At.IsZero() {
		t.Errorf("who listens saw %+v first", first)
	}
}

// The stream is closed to what is no position: a payload that grows is a resource.
func TestThePositionStreamHasBounds(t *testing.T) {
	a := ownertest.Start(t, riders.Topic, open)
	stream, err := riders.Positions(t.Context(), a.Bus)
	if err != nil {
		t.Fatal(err)
	}
	large := riders.Position{Links: riders.PositionLinks{Rider: hal.To("http://riders.example/riders/" + strings.Repeat("x", 600))}}
	if err := stream.Publish(t.Context(), large); !errors.Is(err, resn.ErrValue) {
		t.Errorf("600 bytes too many gave %v", err)
	}
	if err := stream.Publish(t.Context(), riders.Position{Lat: 1, Lon: 1}); !errors.Is(err, resn.ErrValue) {
		t.Errorf("a position of nobody gave %v", err)
	}
}

func TestTheAPIIsGoodHAL(t *testing.T) {
	a := ownertest.Start(t, riders.Topic, open)
	for status := range possible {
		url, _ := join(t, a, status)
		if status != riders.Off {
			a.Do(t, "POST", url+"/position", downtown)
		}
	}
	report := haltest.Check(t, a.URL+"/", &haltest.Options{Values: map[string]string{"size": "2", "page": "1"}})
	for _, rel := range []string{"start", "stop", "take", "release", "position", "item", "riders-free"} {
		if report.Relations[rel] == 0 {
			t.Errorf("no link %q leads anywhere: %v", rel, report.Relations)
		}
	}
	var free struct{ Total int }
	if err := json.Unmarshal([]byte(a.Do(t, "GET", "/riders/free", "").Body), &free); err != nil || free.Total != 1 {
		t.Errorf("%d riders are free, %v; want 1 of 3", free.Total, err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestBadInput(t *testing.T) {
	a := ownertest.Start(t, riders.Topic, open)
	url, r := join(t, a, riders.Free)
	off, _ := join(t, a, riders.Off)
	for _, tt := range []struct {
		what, method, url, body string
		status                  int
		says                    string
	}{
		{"no name", "POST", "/riders", `{"name":" "}`, 422, "#/name"},
		{"two lines of name", "POST", "/riders", `{"name":"a\nb"}`, 422, "#/name"},
		{"a status of one's own", "POST", "/riders", `{"name":"x","status":"busy"}`, 422, "status"},
		{"a name over the limit", "POST", "/riders", `{"name":"` + strings.Repeat("x", 20<<10) + `"}`, 413, ""},
		{"an order that isn't", "POST", url + "/take", `{"order":"/orders/9"}`, 422, "#/order"},
		{"an order that runs", "POST", url + "/take", `{"order":"javascript:alert(1)"}`, 422, "#/order"},
		{"a transition of nobody", "POST", "/riders/nobody/start", "", 404, "no such"},
		{"a position of nobody", "POST", "/riders/nobody/position", downtown, 404, "no such"},
		{"the position of nobody", "GET", "/riders/nobody/position", "", 404, "no such"},
		{"a position of who is off", "POST", off + "/position", downtown, 409, "start"},
		{"nowhere", "POST", url + "/position", `{"lat":91,"lon":0}`, 422, "lat"},
		{"a position that isn't a number", "POST", url + "/position", `{"lat":"x","lon":0}`, 422, "lat"},
		{"more than a position", "POST", url + "/position", `{"lat":40.72,"lon":-73.99,"speed":12}`, 422, "speed"},
		{"a position over the limit", "POST", url + "/position", `{"lat":40.72,"lon":-73.99` + strings.Repeat(" ", 600) + `}`, 413, ""},
		{"broken JSON", "POST", url + "/position", `{"lat":`, 400, "JSON"},
	} {
		got := a.Do(t, tt.method, tt.url, tt.body, "If-Match", r.tag)
		if got.Status != tt.status || !strings.Contains(got.Body, tt.says) || got.Header.Get("Content-Type") != hal.ProblemType {
			t.Errorf("%s gave %d, %s; want %d as a problem that says %q", tt.what, got.Status, got.Body, tt.status, tt.says)
		}
	}
	if again := read(t, a.Do(t, "GET", url, "")); again.tag != r.tag {
		t.Errorf("bad input changed the rider: %+v", again.Rider)
	}
}
