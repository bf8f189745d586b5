package restaurants_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/reference-services/restaurants"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

// api is a running service, and what it announced.
type api struct {
	*restaurants.Service
	url string

	mu      sync.Mutex
	notices []bus.Event
}

func start(t *testing.T) *api {
	t.Helper()
	return startAt(t, filepath.Join(t.TempDir(), "restaurants.db"))
}

func startAt(t *testing.T, path string) *api {
	t.Helper()
	a := &api{}
	db, err := restaurants.OpenDB(path)
	if err != nil {
		t.Fatal(err)
	}
	b := membus.New(nil)
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	a.url = server.URL
	_, err = b.Broadcast(t.Context(), restaurants.Topic, bus.BroadcastHandler{Event: func(e bus.Event) {
		if e.Type == "resn.watermark" {
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.notices = append(a.notices, e)
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.Service, err = restaurants.New(t.Context(), db, b, &restaurants.Options{BaseURL: a.url})
	if err != nil {
		t.Fatal(err)
	}
	handler = a.Handler()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		server.Close()
		stop()
		if err := <-done; err != nil {
			t.Errorf("the relay ended with %v", err)
		}
		if err := b.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// answer is a response whose body was read.
type answer struct {
	StatusCode int
	Status     string
	Header     http.Header
}

// do sends a request and returns the answer with its body.
func (a *api) do(t *testing.T, method, url, body string, header ...string) (answer, string) {
	t.Helper()
	if strings.HasPrefix(url, "/") {
		url = a.url + url
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return answer{resp.StatusCode, resp.Status, resp.Header}, string(text)
}

// patience bounds a wait for what must happen in the end, also on a machine that
// has much else to do.
const patience = 2 * time.Minute

// announced waits for a number of notices and returns them as "type href".
func (a *api) announced(t *testing.T, n int) []string {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		a.mu.Lock()
		got := make([]string, len(a.notices))
		for i, e := range a.notices {
			got[i] = e.Type + " " + strings.TrimPrefix(e.Subject, a.url)
		}
		a.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v for %d notices, got %q", patience, n, got)
		}
	}
}

const alder = `{"name":"Alder","cuisine":"Plain","status":"open","location":{"lat":40.71,"lon":-74.0},"address":{"street":"Canal Street"}}`

// create makes Alder and returns its URL and ETag.
func (a *api) create(t *testing.T) (url, tag string) {
	t.Helper()
	resp, body := a.do(t, "POST", "/restaurants", alder)
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("Location") == "" || resp.Header.Get("Etag") == "" {
		t.Fatalf("POST gave %s, %v, %s; want 201 with Location and ETag", resp.Status, resp.Header, body)
	}
	return resp.Header.Get("Location"), resp.Header.Get("Etag")
}

func TestLinksAloneLeadFromTheRootToARestaurant(t *testing.T) {
	a := start(t)
	a.create(t)
	c := hal.NewClient(nil)
	found, err := hal.Follow[hal.Any](t.Context(), c, must(hal.Get[hal.Any](t.Context(), c, a.url+"/")), "restaurants", hal.V("geohash", "dr5r"))
	if err != nil {
		t.Fatal(err)
	}
	linked := hal.FollowAll[restaurants.Restaurant](t.Context(), c, found, "item")
	if len(linked) != 1 || linked[0].Err != nil || linked[0].Resource.Value.Name != "Alder" {
		t.Errorf("the links led to %+v, want Alder", linked)
	}
	http.DefaultClient.CloseIdleConnections()
}

// fill makes n restaurants, each north-east of the one before.
func (a *api) fill(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		body := fmt.Sprintf(`{"name":"Number %d","status":"open","location":{"lat":%.3f,"lon":%.3f}}`,
			i, 40.7+float64(i)/500, -74+float64(i)/500)
		if resp, body := a.do(t, "POST", "/restaurants", body); resp.StatusCode != http.StatusCreated {
			t.Fatalf("POST gave %s %s", resp.Status, body)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestCachingHeaders(t *testing.T) {
	a := start(t)
	url, tag := a.create(t)
	resp, _ := a.do(t, "GET", url, "")
	if got := resp.Header.Get("Cache-Control"); !strings.Contains(got, `resn="restaurants"`) || !strings.Contains(got, "max-age=5") {
		t.Errorf("an entity's Cache-Control is %q; it must name the topic, and a max-age for those who don't know it", got)
	}
	resp, _ = a.do(t, "GET", url, "", "If-None-Match", tag)
	if resp.StatusCode != http.StatusNotModified {
		t.Errorf("a GET with the current ETag gave %s, want 304", resp.Status)
	}
	resp, _ = a.do(t, "GET", "/restaurants", "")
	if got := resp.Header.Get("Cache-Groups"); got != `"restaurants"` {
		t.Errorf("a list's Cache-Groups is %q; a change of a member changes the list", got)
	}
	resp, _ = a.do(t, "GET", "/restaurants/nobody", "")
	if resp.StatusCode != http.StatusNotFound || !strings.Contains(resp.Header.Get("Cache-Control"), "resn=") {
		t.Errorf("what isn't there gave %s with Cache-Control %q; it may be cached until a notice", resp.Status, resp.Header.Get("Cache-Control"))
	}
}

func TestWritesAreConditionalAndAnnounced(t *testing.T) {
	a := start(t)
	url, v1 := a.create(t)
	path := strings.TrimPrefix(url, a.url)

	if resp, body := a.do(t, "PATCH", url, `{"name":"Beech"}`); resp.StatusCode != http.StatusPreconditionRequired {
		t.Errorf("a PATCH without If-Match gave %s %s; want 428", resp.Status, body)
	}
	resp, body := a.do(t, "PATCH", url, `{"name":"Beech","cuisine":null}`, "If-Match", v1)
	v2 := resp.Header.Get("Etag")
	var got restaurants.Restaurant
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != http.StatusOK || v2 == v1 {
		t.Fatalf("PATCH gave %s %s, ETag %s after %s, %v", resp.Status, body, v2, v1, err)
	}
	if got.Name != "Beech" || got.Cuisine != "" || got.Address.Street != "Canal Street" {
		t.Errorf("a merge patch replaces what it names, null removes, the rest stays; got %+v", got.State)
	}
	if resp, body := a.do(t, "PATCH", url, `{"name":"Cedar"}`, "If-Match", v1); resp.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("a PATCH that lost the race gave %s %s; want 412", resp.Status, body)
	}
	resp, body = a.do(t, "PUT", url, body2(t, got, "Dogwood"), "If-Match", v2)
	v3 := resp.Header.Get("Etag")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("a PUT of the document as it was served, with a new name, gave %s %s", resp.Status, body)
	}
	if resp, body := a.do(t, "PATCH", url, `{"name":"Dogwood"}`, "If-Match", v3); resp.Header.Get("Etag") != v3 {
		t.Errorf("a PATCH that changes nothing gave %s %s with ETag %s; it must stay %s", resp.Status, body, resp.Header.Get("Etag"), v3)
	}
	if resp, body := a.do(t, "DELETE", url, "", "If-Match", v3); resp.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE gave %s %s", resp.Status, body)
	}
	if resp, _ := a.do(t, "GET", url, ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("after DELETE it is answered %s", resp.Status)
	}
	want := []string{"resn.create " + path, "resn.update " + path, "resn.update " + path, "resn.delete " + path}
	if got := a.announced(t, 4); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("announced\n%q\nwant, each change once and nothing else,\n%q", got, want)
	}
	for i, tag := range []string{v1, v2, v3, ""} {
		if got := a.notices[i].Extension("etag"); got != tag {
			t.Errorf("notice %d names ETag %q, want %q", i, got, tag)
		}
	}
}

func TestFormsChangeAndDelete(t *testing.T) {
	a := start(t)
	url, _ := a.create(t)
	c := hal.NewClient(nil)
	defer http.DefaultClient.CloseIdleConnections()
	found, err := hal.Get[restaurants.Restaurant](t.Context(), c, url)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := hal.Submit[restaurants.Restaurant](t.Context(), c, found, "default", map[string]any{"name": "Beech"})
	if err != nil {
		t.Fatal(err)
	}
	if got := changed.Value; got.Name != "Beech" || got.Cuisine != "Plain" || got.Address.Street != "Canal Street" {
		t.Errorf("a form keeps what wasn't filled in; the restaurant is now %+v", got.State)
	}
	if _, err := hal.Submit[hal.Any](t.Context(), c, changed, "delete", nil); err != nil {
		t.Fatal(err)
	}
	if resp, _ := a.do(t, "GET", url, ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("after the form that deletes, it is answered %s", resp.Status)
	}
}

func body2(t *testing.T, r restaurants.Restaurant, name string) string {
	t.Helper()
	r.Name = name
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBadInput(t *testing.T) {
	a := start(t)
	url, tag := a.create(t)
	for _, tt := range []struct {
		what, method, url, body string
		status                  int
		says                    string
	}{
		{"broken JSON", "POST", "/restaurants", `{"name":`, 400, "JSON"},
		{"no name", "POST", "/restaurants", `{"status":"open"}`, 422, "#/name"},
		{"no place", "POST", "/restaurants", `{"name":"x","status":"open"}`, 422, "#/location"},
		{"a line break in a name", "POST", "/restaurants", `{"name":"x\ny","status":"open","location":{"lat":1,"lon":1}}`, 422, "#/name"},
		{"a name that is too long", "PATCH", url, `{"name":"` + strings.Repeat("é", 201) + `"}`, 422, "#/name"},
		{"an id of one's own", "POST", "/restaurants", `{"id":"mine","name":"x","status":"open","location":{"lat":1,"lon":1}}`, 422, "#/id"},
		{"a patch over the limit", "PATCH", url, `{"name":"` + strings.Repeat("x", 70<<10) + `"}`, 413, ""},
		{"a misspelt member", "POST", "/restaurants", `{"name":"x","status":"open","nmae":"y"}`, 422, "nmae"},
		{"a wrong type", "POST", "/restaurants", `{"name":7,"status":"open"}`, 422, "name"},
		{"a place that isn't", "PATCH", url, `{"location":{"lat":91,"lon":0}}`, 422, "#/location/lat"},
		{"an unknown status", "PATCH", url, `{"status":"unheard of"}`, 422, "#/status"},
		{"another id", "PATCH", url, `{"id":"other"}`, 422, "#/id"},
		{"a body over the limit", "POST", "/restaurants", `{"name":"` + strings.Repeat("x", 70<<10) + `"}`, 413, ""},
		{"a geohash that isn't", "GET", "/restaurants?geohash=ai", "", 400, "geohash"},
		{"a page that isn't", "GET", "/restaurants?page=-1", "", 400, "page"},
		{"an unknown path", "GET", "/nowhere", "", 404, ""},
		{"a method that isn't allowed", "DELETE", "/restaurants", "", 405, "GET"},
	} {
		resp, body := a.do(t, tt.method, tt.url, tt.body, "If-Match", tag)
		if resp.StatusCode != tt.status || !strings.Contains(body, tt.says) ||
			!strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
			t.Errorf("%s gave %s, %s, %s; want %d as a problem that says %q",
				tt.what, resp.Status, resp.Header.Get("Content-Type"), body, tt.status, tt.says)
		}
	}
	if resp, body := a.do(t, "GET", url, ""); resp.Header.Get("Etag") != tag {
		t.Errorf("bad input changed the restaurant: %s", body)
	}
}

func TestARestartFindsTheDataAndGoesOnWithTheNumbers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "restaurants.db")
	var first bus.Event
	t.Run("first start", func(t *testing.T) {
		a := startAt(t, path)
		a.create(t)
		a.announced(t, 1)
		first = a.notices[0]
	})
	a := startAt(t, path)
	if n, err := a.Count(t.Context()); err != nil || n != 1 {
		t.Fatalf("a second start found %d restaurants, %v; want 1", n, err)
	}
	a.create(t)
	a.announced(t, 1)
	second := a.notices[0]
	if first.Extension("epoch") != second.Extension("epoch") || first.Extension("sequence") >= second.Extension("sequence") {
		t.Errorf("after a restart the numbers don't go on: %v, then %v", first.Extensions, second.Extensions)
	}
}
