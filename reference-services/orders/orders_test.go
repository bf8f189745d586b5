package orders_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/hal/haltest"
	"github.com/goswale/swale/reference-services/internal/owner/ownertest"
	"github.com/goswale/swale/reference-services/orders"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

func open(ctx context.Context, db *sql.DB, b *bus.Bus, opts *orders.Options) (ownertest.Service, error) {
	return orders.New(ctx, db, b, opts)
}

const (
	dumplings = `{"restaurant":{"href":"http://restaurants.example/restaurants/7","name":"Dumplings"},` +
		`"dropoff":{"lat":40.72,"lon":-73.99},"total_cents":2350}`
	byAda = `{"rider":"http://riders.example/riders/ada"}`
)

// steps lead to a state: the states that an order can be in, with and without a
// rider where that makes a difference.
var steps = map[string][]string{
	"placed":               {},
	"accepted":             {"accept"},
	"accepted with rider":  {"accept", "assign"},
	"ready":                {"accept", "ready"},
	"ready with rider":     {"accept", "ready", "assign"},
	"collected with rider": {"accept", "assign", "ready", "collect"},
	"delivered with rider": {"accept", "ready", "assign", "collect", "deliver"},
	"cancelled":            {"cancel"},
	"cancelled with rider": {"accept", "ready", "assign", "collect", "cancel"},
}

// possible is what each state's links must be, and where each leads.
var possible = map[string]map[string]string{
	"placed":               {"accept": "accepted", "cancel": "cancelled"},
	"accepted":             {"ready": "ready", "assign": "accepted with rider", "cancel": "cancelled"},
	"accepted with rider":  {"ready": "ready with rider", "assign": "accepted with rider", "cancel": "cancelled with rider"},
	"ready":                {"assign": "ready with rider", "cancel": "cancelled"},
	"ready with rider":     {"assign": "ready with rider", "collect": "collected with rider", "cancel": "cancelled with rider"},
	"collected with rider": {"deliver": "delivered with rider", "cancel": "cancelled with rider"},
	"delivered with rider": {},
	"cancelled":            {},
	"cancelled with rider": {},
}

var names = []string{"accept", "ready", "assign", "collect", "deliver", "cancel"}

// order is what the tests read of one.
type order struct {
	orders.Order
	tag string
}

func read(t *testing.T, got ownertest.Answer) order {
	t.Helper()
	o := order{tag: got.Header.Get("Etag")}
	if err := json.Unmarshal([]byte(got.Body), &o.Order); err != nil || got.Status >= 300 {
		t.Fatalf("%d %s: %v", got.Status, got.Body, err)
	}
	return o
}

// state is its status, and whether it has a rider.
func (o order) state() string {
	if _, ok := o.Links.Get("rider"); ok {
		return o.Status + " with rider"
	}
	return o.Status
}

// do does a transition, whether it is linked to or not.
func do(t *testing.T, a *ownertest.API, url, name, tag string) ownertest.Answer {
	t.Helper()
	body := ""
	if name == "assign" {
		body = byAda
	}
	return a.Do(t, "POST", url+"/"+name, body, "If-Match", tag)
}

// place places an order and leads it to a state.
func place(t *testing.T, a *ownertest.API, state string) (url string, o order) {
	t.Helper()
	url, tag := a.Make(t, "/orders", dumplings)
	for _, step := range steps[state] {
		got := do(t, a, url, step, tag)
		if tag = got.Header.Get("Etag"); got.Status != http.StatusOK {
			t.Fatalf("%s gave %d %s", step, got.Status, got.Body)
		}
	}
	o = read(t, a.Do(t, "GET", url, ""))
	if o.state() != state || o.tag != tag {
		t.Fatalf("%q lead to %s with ETag %s, want %s with %s", steps[state], o.state(), o.tag, state, tag)
	}
	return url, o
}

func TestEveryTransitionInEveryState(t *testing.T) {
	a := ownertest.Start(t, orders.Topic, open)
	for state, want := range possible {
		url, o := place(t, a, state)
		for _, name := range names {
			_, may := want[name]
			link, linked := o.Links.Get(name)
			if linked != may || linked && link.Href != url+"/"+name {
				t.Errorf("%s links by %s to %q; it must link to what is possible, and nothing else: %v", state, name, link.Href, may)
			}
			if may {
				continue
			}
			got := do(t, a, url, name, o.tag)
			var p struct {
				State    string
				Possible []string
				Detail   string
			}
			if err := json.Unmarshal([]byte(got.Body), &p); err != nil || got.Status != http.StatusConflict ||
				got.Header.Get("Content-Type") != hal.ProblemType || p.State != o.Status || !strings.Contains(p.Detail, name) {
				t.Errorf("%s when %s gave %d %s; want 409 as a problem that names both", name, state, got.Status, got.Body)
			}
			slices.Sort(p.Possible)
			var keys []string
			for other := range want {
				keys = append(keys, other)
			}
			slices.Sort(keys)
			if !slices.Equal(p.Possible, keys) {
				t.Errorf("%s when %s: the problem says %q is possible, and it is %q", name, state, p.Possible, keys)
			}
		}
		if again := read(t, a.Do(t, "GET", url, "")); again.tag != o.tag {
			t.Errorf("what isn't possible when %s made version %s of %s", state, again.tag, o.tag)
		}
		for name, to := range want {
			url, o := place(t, a, state)
			got := read(t, do(t, a, url, name, o.tag))
			if got.state() != to || got.tag == o.tag && state != to {
				t.Errorf("%s when %s leads to %s (%s), want %s", name, state, got.state(), got.tag, to)
			}
			if name == "assign" {
				continue
			}
			at := map[string]bool{
				"accepted": !got.AcceptedAt.IsZero(), "ready": !got.ReadyAt.IsZero(), "collected": !got.CollectedAt.IsZero(),
				"delivered": !got.DeliveredAt.IsZero(), "cancelled": !got.CancelledAt.IsZero(),
			}
			if !at[got.Status] {
				t.Errorf("an order that is %s doesn't say since when: %+v", got.Status, got.Times)
			}
		}
	}
}

func TestTransitionsAreConditional(t *testing.T) {
	a := ownertest.Start(t, orders.Topic, open)
	url, first := place(t, a, "accepted")
	if got := a.Do(t, "POST", url+"/ready", ""); got.Status != http.StatusPreconditionRequired {
		t.Errorf("without a condition it gave %d %s; want 428", got.Status, got.Body)
	}
	second := do(t, a, url, "assign", first.tag).Header.Get("Etag")
	if got := do(t, a, url, "ready", first.tag); got.Status != http.StatusPreconditionFailed || got.Header.Get("Etag") != second {
		t.Errorf("who lost the race is told %d, ETag %s; want 412 with the version that is there, %s", got.Status, got.Header.Get("Etag"), second)
	}
	// Whom it is assigned to already.
	if got := do(t, a, url, "assign", second); got.Status != http.StatusOK || got.Header.Get("Etag") != second {
		t.Errorf("what changes nothing gave %d, ETag %s; it must stay %s", got.Status, got.Header.Get("Etag"), second)
	}
	third := do(t, a, url, "ready", second).Header.Get("Etag")
	path := strings.TrimPrefix(url, a.URL)
	got := a.Announced(t, 4)
	want := []string{"create", "update", "update " + path + " " + second, "update " + path + " " + third}
	if len(got) != len(want) || !strings.HasPrefix(got[2], want[2]) || !strings.HasPrefix(got[3], want[3]) {
		t.Errorf("announced\n%q\nwant each change once, with its ETag:\n%q", got, want)
	}
}

// Forms do it too: their target names the version that they were made for.
func TestFormsAreConditionalToo(t *testing.T) {
	a := ownertest.Start(t, orders.Topic, open)
	defer http.DefaultClient.CloseIdleConnections()
	c := hal.NewClient(nil)
	all, err := hal.Get[hal.Any](t.Context(), c, a.URL+"/orders")
	if err != nil {
		t.Fatal(err)
	}
	made, err := hal.Submit[orders.Order](t.Context(), c, all, "default", map[string]any{
		"restaurant": map[string]any{"href": "http://restaurants.example/restaurants/7", "name": "Dumplings"},
		"dropoff":    map[string]any{"lat": 40.72, "lon": -73.99}, "total_cents": 2350,
	})
	if err != nil {
		t.Fatal(err)
	}
	forms := c.With(http.Header{"Accept": {hal.FormsType}})
	seen, err := hal.Get[orders.Order](t.Context(), forms, made.URL)
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := hal.Submit[orders.Order](t.Context(), c, seen, "accept", nil)
	if err != nil || accepted.Value.Status != orders.Accepted || accepted.URL != made.URL {
		t.Fatalf("the form leads to %+v, %v", accepted, err)
	}
	assigned, err := hal.Submit[orders.Order](t.Context(), c, accepted, "assign", map[string]any{"rider": "http://riders.example/riders/ada"})
	if err != nil {
		t.Fatal(err)
	}
	if link, _ := assigned.Links().Get("rider"); link.Href != "http://riders.example/riders/ada" {
		t.Errorf("it is assigned to %q", link.Href)
	}
	old, err := hal.Get[orders.Order](t.Context(), forms, made.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hal.Submit[orders.Order](t.Context(), c, old, "ready", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := hal.Submit[orders.Order](t.Context(), c, old, "cancel", nil); !errors.Is(err, hal.ErrConflict) {
		t.Errorf("a form of an old version gave %v; want a conflict", err)
	}
	if form, err := hal.Follow[hal.Any](t.Context(), forms, old, "cancel"); err != nil || len(form.Templates()) != 1 {
		t.Errorf("who opens the link of a transition gets %v, %v; want its form", form, err)
	}
}

func TestAChangeAndItsNoticeSurviveTogether(t *testing.T) {
	ownertest.Crash(t, orders.Topic, open, dumplings, "accept", "assign "+byAda, "ready", "collect", "deliver")
}

func TestTheAPIIsGoodHAL(t *testing.T) {
	a := ownertest.Start(t, orders.Topic, open)
	for state := range steps {
		place(t, a, state)
	}
	report := haltest.Check(t, a.URL+"/", &haltest.Options{Values: map[string]string{"size": "4", "page": "1"}})
	for _, rel := range append(names, "item", "next", "orders-open") {
		if report.Relations[rel] == 0 {
			t.Errorf("no link %q leads anywhere: %v", rel, report.Relations)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestAnOrderSaysWhatItIs(t *testing.T) {
	a := ownertest.Start(t, orders.Topic, open)
	url, o := place(t, a, "placed")
	if want := (orders.Location{Lat: 40.72, Lon: -73.99}); o.Dropoff != want || o.TotalCents != 2350 || o.Restaurant.Name != "Dumplings" || o.Area != "dr5rs" {
		t.Errorf("it is %+v", o.Order)
	}
	if o.PlacedAt.IsZero() || !o.PromisedAt.After(o.PlacedAt) || !o.AcceptedAt.IsZero() {
		t.Errorf("times are %+v", o.Times)
	}
	got := a.Do(t, "GET", url, "")
	if c := got.Header.Get("Cache-Control"); !strings.Contains(c, `resn="orders"`) || !strings.Contains(c, "max-age=5") {
		t.Errorf("Cache-Control is %q", c)
	}
	if strings.Contains(got.Body, "_at\":\"0001") || strings.Contains(got.Body, "accepted_at") {
		t.Errorf("what hasn't happened is left out: %s", got.Body)
	}
	if strings.Contains(got.Body, "_href") {
		t.Errorf("hrefs are links: %s", got.Body)
	}
	if got := a.Do(t, "GET", url, "", "If-None-Match", o.tag); got.Status != http.StatusNotModified {
		t.Errorf("a GET with the current ETag gave %d", got.Status)
	}
	if got := a.Do(t, "GET", "/orders/nobody", ""); got.Status != http.StatusNotFound || !strings.Contains(got.Header.Get("Cache-Control"), "resn=") {
		t.Errorf("what isn't there gave %d, Cache-Control %q", got.Status, got.Header.Get("Cache-Control"))
	}
}

func TestBadInput(t *testing.T) {
	a := ownertest.Start(t, orders.Topic, open)
	url, o := place(t, a, "accepted")
	with := func(old, new string) string {
		if !strings.Contains(dumplings, old) {
			t.Fatalf("no %s in %s", old, dumplings)
		}
		return strings.Replace(dumplings, old, new, 1)
	}
	const restaurant = "http://restaurants.example/restaurants/7"
	for _, tt := range []struct {
		what, method, url, body string
		status                  int
		says                    string
	}{
		{"broken JSON", "POST", "/orders", `{"restaurant":`, 400, "JSON"},
		{"no JSON at all", "POST", "/orders", "", 415, ""},
		{"nothing", "POST", "/orders", "{}", 422, "#/restaurant/href"},
		{"a negative total", "POST", "/orders", with("2350", "-1"), 422, "#/total_cents"},
		{"a total that is a fraction", "POST", "/orders", with("2350", "1.5"), 422, "total_cents"},
		{"a total beyond reason", "POST", "/orders", with("2350", "1000001"), 422, "#/total_cents"},
		{"a total beyond numbers", "POST", "/orders", with("2350", "1e30"), 422, "total_cents"},
		{"a relative href", "POST", "/orders", with(restaurant, "/restaurants/7"), 422, "#/restaurant/href"},
		{"a script for an href", "POST", "/orders", with(restaurant, "javascript:alert(1)"), 422, "#/restaurant/href"},
		{"an href with a password", "POST", "/orders", with(restaurant, "http://a:b@c.example/"), 422, "#/restaurant/href"},
		{"an href that is too long", "POST", "/orders", with(restaurant, "http://c.example/"+strings.Repeat("x", 3000)), 422, "#/restaurant/href"},
		{"no name", "POST", "/orders", with("Dumplings", " "), 422, "#/restaurant/name"},
		{"two lines of name", "POST", "/orders", with("Dumplings", `a\nb`), 422, "#/restaurant/name"},
		{"nowhere", "POST", "/orders", with("40.72", "91"), 422, "#/dropoff"},
		{"a promise in the past", "POST", "/orders", with(`"total_cents"`, `"promised_at":"2001-01-01T00:00:00Z","total_cents"`), 422, "#/promised_at"},
		{"a promise for ever", "POST", "/orders", with(`"total_cents"`, `"promised_at":"9999-01-01T00:00:00Z","total_cents"`), 422, "#/promised_at"},
		{"a status of one's own", "POST", "/orders", with(`"total_cents"`, `"status":"delivered","total_cents"`), 422, "status"},
		{"a body over the limit", "POST", "/orders", with("Dumplings", strings.Repeat("x", 20<<10)), 413, ""},
		{"a rider that isn't", "POST", url + "/assign", `{"rider":"ada"}`, 422, "#/rider"},
		{"no rider", "POST", url + "/assign", "", 415, ""},
		{"a rider over the limit", "POST", url + "/assign", `{"rider":"` + strings.Repeat("x", 20<<10) + `"}`, 413, ""},
		{"input for what needs none", "POST", url + "/ready", `{"rider":"x"}`, 422, "rider"},
		{"a transition of nobody", "POST", "/orders/nobody/accept", "", 404, "no such"},
		{"no transition", "POST", url + "/eat", "", 404, ""},
		{"a page that isn't", "GET", "/orders/open?page=-1", "", 400, "page"},
		{"a method that isn't allowed", "DELETE", url, "", 405, "GET"},
	} {
		got := a.Do(t, tt.method, tt.url, tt.body, "If-Match", o.tag)
		if got.Status != tt.status || !strings.Contains(got.Body, tt.says) || got.Header.Get("Content-Type") != hal.ProblemType {
			t.Errorf("%s gave %d, %s; want %d as a problem that says %q", tt.what, got.Status, got.Body, tt.status, tt.says)
		}
	}
	if again := read(t, a.Do(t, "GET", url, "")); again.tag != o.tag {
		t.Errorf("bad input changed the order: %+v", again.Order)
	}
	var list struct{ Total int }
	if err := json.Unmarshal([]byte(a.Do(t, "GET", "/orders", "").Body), &list); err != nil || list.Total != 1 {
		t.Errorf("bad input made orders: %+v, %v", list, err)
	}
}

func TestARestartFindsTheOrders(t *testing.T) {
	path := t.TempDir() + "/orders.db"
	var at, tag, body string
	t.Run("first start", func(t *testing.T) {
		a := ownertest.StartAt(t, orders.Topic, open, path)
		url, o := place(t, a, "accepted with rider")
		at, tag, body = strings.TrimPrefix(url, a.URL), o.tag, a.Do(t, "GET", url, "").Body
		body = strings.ReplaceAll(body, a.URL, "BASE")
	})
	a := ownertest.StartAt(t, orders.Topic, open, path)
	got := a.Do(t, "GET", at, "")
	if diff := cmp.Diff(body, strings.ReplaceAll(got.Body, a.URL, "BASE")); diff != "" || got.Header.Get("Etag") != tag {
		t.Errorf("a second start finds another order, %s for %s:\n%s", got.Header.Get("Etag"), tag, diff)
	}
	if o := read(t, do(t, a, a.URL+at, "ready", tag)); o.Status != orders.Ready {
		t.Errorf("it goes on as %s", o.Status)
	}
	other := ownertest.Start(t, orders.Topic, open)
	if _, o := place(t, other, "accepted with rider"); o.tag == tag {
		t.Errorf("another database gave the ETag %s too", tag)
	}
}
