package storefront_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/reference-services/storefront"
	"github.com/goswale/swale/resn"
)

// page is what the tests read of a page document.
type page struct {
	Links struct {
		Items []struct{ Href string } `json:"item"`
	} `json:"_links"`
	Count    int
	Requests int            `json:"domain_requests"`
	From     map[string]int `json:"items_from"`
	Degraded *struct {
		Since   string
		Reason  string
		Missing []struct{ Href, Title string }
		Stale   int
	}
	Topics   []struct{ Live bool }
	Embedded struct {
		Items []struct {
			Name, Source string
			Links        struct{ Self struct{ Href string } } `json:"_links"`
		} `json:"item"`
	} `json:"_embedded"`
}

func get(t *testing.T, h http.Handler, target, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func getPage(t *testing.T, h http.Handler, target string) page {
	t.Helper()
	w := get(t, h, target, "application/hal+json")
	var p page
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("GET %s: %d %s: %v", target, w.Code, w.Body, err)
	}
	return p
}

// warmed returns a service whose cache holds a page that is vouched for, for as
// long as the test takes.
func warmed(t *testing.T, items int) (*storefront.Service, *owner, *resn.Client) {
	t.Helper()
	return warmedFor(t, items, patience)
}

// warmedFor is warmed with another lease.
func warmedFor(t *testing.T, items int, lease time.Duration) (*storefront.Service, *owner, *resn.Client) {
	t.Helper()
	b := newBus(t)
	o := newOwner(t, b, items)
	client := newClient(t, b, lease)
	s := storefront.New(o.URL, client, nil)
	if err := client.Listen(t.Context(), "restaurants"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the topic goes live", func() bool { return client.Topics()[0].Live })
	getPage(t, s, "/nearby?size=20")
	return s, o, client
}

func TestRestaurantsAreFollowedWhereTheyCanBeChanged(t *testing.T) {
	b := newBus(t)
	o := newOwner(t, b, 3)
	defer o.down()
	client := newClient(t, b, patience)
	for browse, want := range map[string]string{"": o.URL + "/item/1", "/explorer/#": "/explorer/#" + o.URL + "/item/1"} {
		s := storefront.New(o.URL, client, &storefront.Options{Browse: browse})
		if html := get(t, s, "/nearby", "text/html").Body.String(); !strings.Contains(html, `<a href="`+want+`">`) {
			t.Errorf("with Browse %q the page must link to %s; it is %s", browse, want, html)
		}
	}
}

func TestAWarmPageAsksTheOwnerNothing(t *testing.T) {
	s, o, _ := warmed(t, 20)
	defer o.down()
	o.asked()
	p := getPage(t, s, "/nearby?size=20")
	if n := o.asked(); n != 0 {
		t.Errorf("the owner was asked %d times for a page on which nothing changed; all of it is vouched for", n)
	}
	if p.Count != 20 || p.From["cache"] != 20 || p.Requests != 0 {
		t.Errorf("page has %d items, from %v, with %d requests; want 20 from cache with none", p.Count, p.From, p.Requests)
	}
	if len(p.Topics) != 1 || !p.Topics[0].Live {
		t.Errorf("topics are %+v; the page must say that notices arrive", p.Topics)
	}
	for _, it := range p.Embedded.Items {
		if !strings.HasPrefix(it.Links.Self.Href, o.URL) {
			t.Errorf("item %q links to %q; an embedded item must lead to its owner", it.Name, it.Links.Self.Href)
		}
	}
}

func TestAChangeShowsOnTheNextPageAfterItsNotice(t *testing.T) {
	s, o, client := warmed(t, 20)
	defer o.down()
	seen := client.Topics()[0].Notices
	o.rename(7, "Renamed")
	eventually(t, "the notice is taken in", func() bool { return client.Topics()[0].Notices > seen })
	o.asked()
	p := getPage(t, s, "/nearby?size=20")
	if got := p.Embedded.Items[7].Name; got != "Renamed" {
		t.Errorf("item 7 is %q on the page after its notice; it must be the new name", got)
	}
	if n := o.asked(); n > 2 {
		t.Errorf("the owner was asked %d times; the list and the item that changed are two", n)
	}
	if p.From["cache"] != 19 {
		t.Errorf("items come from %v; the 19 that didn't change must come from the cache", p.From)
	}
}

func TestWithoutTheOwnerThePageShowsWhatItMayAndSaysSo(t *testing.T) {
	s, o, client := warmedFor(t, 20, 3*time.Second)
	seen := client.Topics()[0].Notices
	o.rename(7, "Renamed") // announced, never fetched
	eventually(t, "the notice is taken in", func() bool { return client.Topics()[0].Notices > seen })
	o.down()

	w := get(t, s, "/nearby?size=20", "application/hal+json")
	if w.Code != http.StatusOK {
		t.Fatalf("status %d with the owner down; what is vouched for may be served", w.Code)
	}
	p := getPage(t, s, "/nearby?size=20")
	if p.Degraded == nil || p.Degraded.Since == "" || p.Degraded.Reason == "" {
		t.Fatalf("degraded is %+v; the page must say that something is missing, why and since when", p.Degraded)
	}
	if len(p.Degraded.Missing) != 1 || !strings.HasSuffix(p.Degraded.Missing[0].Href, "/item/7") || p.Degraded.Missing[0].Title != "place 7" {
		t.Errorf("missing is %+v; only /item/7 changed and can't be had, an older version must not be shown for it", p.Degraded.Missing)
	}
	if len(p.Embedded.Items) != 19 || len(p.Links.Items) != 20 {
		t.Errorf("%d items are embedded and %d linked; 19 are known, and the missing one stays linked", len(p.Embedded.Items), len(p.Links.Items))
	}
	html := get(t, s, "/nearby?size=20", "text/html").Body.String()
	for _, want := range []string{"Not everything is here", "place 7", "so since"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page for people doesn't say %q", want)
		}
	}

	eventually(t, "nobody vouches any more", func() bool { return !client.Topics()[0].Live })
	p = getPage(t, s, "/nearby?size=20")
	if len(p.Embedded.Items) != 19 {
		t.Errorf("%d items are left when nobody vouches any more; the owner allowed stale ones on error", len(p.Embedded.Items))
	}
}

func TestAPageNeverLoadedIsAnHonestError(t *testing.T) {
	b := newBus(t)
	o := newOwner(t, b, 3)
	s := storefront.New(o.URL, newClient(t, b, patience), nil)
	o.down()
	w := get(t, s, "/nearby", "application/hal+json")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q; without list and memory it is 503 with advice", w.Code, w.Header().Get("Retry-After"))
	}
	if !strings.Contains(w.Body.String(), "never loaded before") {
		t.Errorf("body is %s; it must say what is wrong", w.Body)
	}
	w = get(t, s, "/nearby", "text/html")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "Try again") {
		t.Errorf("HTML with status %d: people must be told and offered to try again", w.Code)
	}
}

func TestTheRootLeadsByLinksToARestaurant(t *testing.T) {
	s, o, _ := warmed(t, 3)
	defer o.down()
	var root struct {
		Links map[string]struct{ Href string } `json:"_links"`
	}
	if err := json.Unmarshal(get(t, s, "/", "").Body.Bytes(), &root); err != nil {
		t.Fatal(err)
	}
	nearby, _, _ := strings.Cut(root.Links["nearby"].Href, "{")
	p := getPage(t, s, nearby)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Links.Items[0].Href, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	if !strings.Contains(string(body), "Alder 0") {
		t.Errorf("the first item of the page is %s; it must be a restaurant of the owner", body)
	}
}

func TestPeopleGetAPageThatNeedsNoScript(t *testing.T) {
	s, o, _ := warmed(t, 20)
	defer o.down()
	o.rename(0, `<script>alert("x")</script>`)
	eventually(t, "the page shows the new name", func() bool {
		return strings.Contains(get(t, s, "/nearby?size=20", "text/html").Body.String(), "alert(")
	})
	w := get(t, s, "/nearby?size=20", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
	html := w.Body.String()
	for _, want := range []string{`<html lang="en">`, `name="viewport"`, "from cache", "<svg", `role="img"`, "Requests to the owner", "live", "Alder 1<"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(html, "<script") || strings.Contains(html, " style=") || strings.Contains(html, "javascript:") {
		t.Error("the page has a script or an inline style; its policy allows neither, and names are text")
	}
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("Content-Security-Policy is %q; it must start from nothing and allow nothing unsafe", policy)
	}
	if w.Header().Get("Vary") != "Accept" {
		t.Errorf("Vary is %q; the representation depends on Accept", w.Header().Get("Vary"))
	}
}

func TestBadQuestionsAreExplained(t *testing.T) {
	s, o, _ := warmed(t, 1)
	defer o.down()
	for _, target := range []string{"/nearby?geohash=aaa", "/nearby?size=0", "/nearby?size=x", "/nearby?size=1000", "/nearby?geohash=0123456789012"} {
		if w := get(t, s, target, ""); w.Code != http.StatusBadRequest || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("GET %s: %d %s; want 400 as a problem document", target, w.Code, w.Header().Get("Content-Type"))
		}
		if w := get(t, s, target, "text/html"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "That can") {
			t.Errorf("GET %s as HTML: %d; people get a page that explains", target, w.Code)
		}
	}
	if w := get(t, s, "/nothing", ""); w.Code != http.StatusNotFound {
		t.Errorf("GET /nothing: %d, want 404", w.Code)
	}
	if w := get(t, s, "/nothing", "text/html"); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "There is nothing here. Begin at /.") || !strings.Contains(w.Body.String(), "<form") {
		t.Errorf("GET /nothing in a browser: %d, want 404 and a way on: %s", w.Code, w.Body)
	}
	if w := get(t, s, "/healthz", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"pass"`) {
		t.Errorf("GET /healthz: %d %s", w.Code, w.Body)
	}
}
