package discoverysvc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/discoverysvc"
	"github.com/goswale/swale/discovery/discoverytest"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/memdiscovery"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/hal/haltest"
	"github.com/goswale/swale/resn"
)

// The client keeps what every driver promises.
func TestConformance(t *testing.T) {
	store := memdiscovery.NewStore()
	s := serve(t, store, discoverysvc.Options{})
	discoverytest.Run(t, func(*testing.T) driver.Driver { return discoverysvc.Dial(s.url, nil) }, discoverytest.Features{})
}

// Hailo's registry servers owned the nodes: one that died unlisted services
// that lived.
func TestHailoDeathOfAServerUnlistsNobody(t *testing.T) {
	store := memdiscovery.NewStore()
	one, two := serve(t, store, discoverysvc.Options{}), serve(t, store, discoverysvc.Options{})
	reg := registry(t, one.url, two.url)
	registration, err := reg.Register(t.Context(), instance("orders", "a", "v1"), &discovery.RegisterOptions{TTL: 3 * time.Second, Renew: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	watcher := store.Connect(nil)
	defer func() {
		if err := watcher.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	one.stop()
	listed := func() bool {
		all, err := watcher.List(t.Context(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		return len(all) == 1
	}
	const leases = 7 * time.Second // more than two
	last := time.Now()
	until(t, "the instance is listed", listed)
	for end := last.Add(leases); last.Before(end); last = time.Now() {
		<-time.After(20 * time.Millisecond)
		switch lives := listed(); {
		case time.Since(last) > time.Second: // this process stood still: its lease may have ended, rightly
			until(t, "the instance registers anew", listed)
			end = time.Now().Add(leases)
		case !lives:
			t.Fatal("the instance lives and must stay listed")
		}
	}
	if err := registration.Deregister(t.Context()); err != nil {
		t.Error(err)
	}
}

// Anyone could register and unregister at Hailo.
func TestHailoNobodyRegistersForAnother(t *testing.T) {
	store := memdiscovery.NewStore()
	var asked []discoverysvc.Op
	s := serve(t, store, discoverysvc.Options{Authorise: func(r *http.Request, op discoverysvc.Op) (string, error) {
		who := r.Header.Get("Authorization")
		if op.Action != discoverysvc.Read && who != "Bearer "+op.Service {
			asked = append(asked, op)
			return "", errors.New("not yours: secret")
		}
		return who, nil
	}})
	for _, c := range []struct{ method, path, body string }{
		{"PUT", "/records/instances/orders/a", `{"value": "e30=", "ttl": "10s"}`},
		{"POST", "/records/instances/orders/a/renewals", ""},
		{"DELETE", "/records/instances/orders/a", ""},
		{"PUT", "/bindings/orders", `{"binding": {"rest": "*"}, "author": "x"}`},
		{"DELETE", "/bindings/orders", ""},
		{"POST", "/bindings/orders", `{"to": 1}`},
	} {
		got := ask(t, c.method, s.url+c.path, c.body, "Authorization", "Bearer other", "Lease-Owner", "o", "If-None-Match", "*")
		if got.status != http.StatusForbidden || strings.Contains(got.body, "secret") {
			t.Errorf("%s %s by somebody else is answered %d %s", c.method, c.path, got.status, got.body)
		}
		got = ask(t, c.method, s.url+c.path, c.body, "Authorization", "Bearer orders", "Lease-Owner", "o", "If-None-Match", "*")
		if got.status == http.StatusForbidden {
			t.Errorf("%s %s by itself is answered %d %s", c.method, c.path, got.status, got.body)
		}
	}
	if len(asked) != 6 || asked[0].Action != discoverysvc.Register || asked[2].Action != discoverysvc.Deregister || asked[3].Action != discoverysvc.Bind {
		t.Errorf("%+v", asked)
	}
	if _, err := discoverysvc.New(store.Driver(nil), nil); err == nil {
		t.Error("without Authorise there is no service")
	}
}

// Who doesn't know a lease's owner can neither renew nor take it, and doesn't
// learn the name.
func TestLeasesAreTheirOwners(t *testing.T) {
	s := serve(t, memdiscovery.NewStore(), discoverysvc.Options{})
	const path = "/records/instances/orders/a"
	put := func(owner string) int {
		return ask(t, "PUT", s.url+path, `{"value": "eyJ4Ijp9", "ttl": "30s"}`, "Lease-Owner", owner).status
	}
	if got := put("own-7"); got != http.StatusNoContent {
		t.Fatal(got)
	}
	if got := put("other"); got != http.StatusConflict {
		t.Errorf("a living instance's name is taken: %d", got)
	}
	if got := ask(t, "POST", s.url+path+"/renewals", "", "Lease-Owner", "other").status; got != http.StatusGone {
		t.Errorf("%d", got)
	}
	if got := put(""); got != http.StatusUnprocessableEntity {
		t.Errorf("a registration without owner: %d", got)
	}
	if got := ask(t, "GET", s.url+"/records", ""); got.status != 200 || strings.Contains(got.body, "own-7") {
		t.Errorf("an owner's name is its secret: %s", got.body)
	}
	for _, bad := range []string{"/records/other/orders/a", "/records/instances/or.ders/a", "/records/instances/orders/a%2Fb"} {
		if got := ask(t, "PUT", s.url+bad, `{}`, "Lease-Owner", "o").status; got != http.StatusNotFound {
			t.Errorf("%s: %d", bad, got)
		}
	}
}

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	body   string
}

func ask(t *testing.T, method, url, body string, pairs ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] != "" {
			r.Header.Set(pairs[i], pairs[i+1])
		}
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(data)}
}

// Documents are HAL that a client can walk from the root.
func TestDocuments(t *testing.T) {
	s := serve(t, memdiscovery.NewStore(), discoverysvc.Options{})
	reg := registry(t, s.url)
	for _, i := range []discovery.Instance{instance("orders", "a", "v1"), instance("orders", "b", "v2"), instance("menus", "a", "v1")} {
		if _, err := reg.Register(t.Context(), i, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(t, "PUT", s.url+"/bindings/orders", `{"binding": {"rest": "v1"}, "author": "ada"}`, "If-None-Match", "*"); got.status != http.StatusCreated {
		t.Fatalf("%+v", got)
	}
	until(t, "all are shown", func() bool {
		return strings.Contains(ask(t, "GET", s.url+"/services", "").body, "menus") &&
			strings.Contains(ask(t, "GET", s.url+"/services/orders", "").body, `"instances":2`)
	})
	report, err := haltest.Crawl(t.Context(), s.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Error(f)
	}
	client := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	type serviceDoc struct {
		Links    struct{ Item hal.Many } `json:"_links"`
		Versions map[string]int
		Serving  int
	}
	got, err := hal.At[serviceDoc](t.Context(), client.From(s.url+"/").Follow("service", hal.V("service", "orders")))
	if err != nil || got.Value.Versions["v2"] != 1 || got.Value.Serving != 2 || len(got.Value.Links.Item) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	first := ask(t, "GET", s.url+"/services/orders", "")
	if again := ask(t, "GET", s.url+"/services/orders", "", "If-None-Match", first.header.Get("Etag")); again.status != http.StatusNotModified {
		t.Errorf("an unchanged document is not sent again: %d", again.status)
	}
	for name, want := range map[string]string{"Cache-Control": `resn="services"`, "Content-Type": hal.HALType} {
		if !strings.Contains(first.header.Get(name), want) {
			t.Errorf("%s is %q", name, first.header.Get(name))
		}
	}
	for path, want := range map[string]string{"/services/nobody": "No instance", "/services/orders/instances/x": "no such", "/bindings/menus": "isn't bound", "/nothing": "no such"} {
		got := ask(t, "GET", s.url+path, "")
		if got.status != http.StatusNotFound || got.header.Get("Content-Type") != hal.ProblemType || !strings.Contains(got.body, want) {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if got := ask(t, "GET", s.url+"/status", ""); !strings.Contains(got.body, `"live":true`) || !strings.Contains(got.body, `"instances":3`) {
		t.Error(got.body)
	}
}

// A cache that hears the notices asks once, and shows a change at once.
func TestChangesAreNotices(t *testing.T) {
	b := membus.New(nil)
	t.Cleanup(func() {
		if err := b.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := serve(t, memdiscovery.NewStore(), discoverysvc.Options{Bus: b})
	reader, err := resn.NewClient(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := reader.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for _, topic := range []string{"services", "bindings"} {
		if err := reader.Listen(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path string) (body, status string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := reader.HTTP().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(data), resp.Header.Get("Cache-Status")
	}
	reg := registry(t, s.url)
	register := func(id, version string) *discovery.Registration {
		t.Helper()
		registration, err := reg.Register(t.Context(), instance("orders", id, version), nil)
		if err != nil {
			t.Fatal(err)
		}
		return registration
	}
	first := register("a", "v1")
	for _, path := range []string{"/services", "/services/orders", "/services/orders/instances/a"} {
		until(t, path+" is held", func() bool {
			_, status := read(path)
			return strings.Contains(status, "hit")
		})
	}
	register("b", "v2")
	until(t, "the held service shows the second instance", func() bool {
		body, _ := read("/services/orders")
		return strings.Contains(body, `"v2":1`)
	})
	if err := first.Deregister(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the held instance is gone", func() bool {
		body, _ := read("/services/orders/instances/a")
		return strings.Contains(body, "no such instance")
	})
	table := table(t, s.url)
	for n := range 5 {
		_, err := table.Put(t.Context(), binding.Binding{Service: "orders", Rest: fmt.Sprint("v", n)}, binding.Change{Author: "ada", Expect: uint64(n)})
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`"rest":"v%d"`, n)
		until(t, "the held binding shows the write", func() bool {
			body, _ := read("/bindings/orders")
			return strings.Contains(body, want)
		})
	}
}

// A table that works against the service does what one at the store does.
func TestBindingsThroughTheService(t *testing.T) {
	ctx := t.Context()
	s := serve(t, memdiscovery.NewStore(), discoverysvc.Options{})
	one, two := table(t, s.url), table(t, s.url)
	change := func(expect uint64) binding.Change {
		return binding.Change{Author: "ada", Message: "try", Expect: expect}
	}
	b := binding.Binding{Service: "orders", Shares: []binding.Share{{Version: "v2", Percent: 12.5}}, Rest: "v1", By: "attr:customer"}
	rev, err := one.Put(ctx, b, change(0))
	if err != nil || rev.Number != 1 || rev.Author != "ada" {
		t.Fatalf("%+v, %v", rev, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://orders/", nil)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the other table has it", func() bool {
		split, _ := two.Split(req, "orders")
		return split != nil && split.Versions[0].Weight == 125_000
	})
	for what, c := range map[string]binding.Change{"a first one": change(0), "an old one": change(7)} {
		if _, err := two.Put(ctx, b, c); !errors.Is(err, binding.ErrConflict) {
			t.Errorf("who expects %s must not overwrite: %v", what, err)
		}
	}
	if _, err := two.Put(ctx, b, change(binding.Latest)); err != nil {
		t.Error(err)
	}
	if _, err := two.Delete(ctx, "orders", change(2)); err != nil {
		t.Error(err)
	}
	until(t, "the binding is gone", func() bool {
		split, _ := one.Split(req, "orders")
		return split == nil
	})
	if _, err := one.Get(ctx, "orders"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if rev, err := one.Rollback(ctx, "orders", 1, change(3)); err != nil || rev.Number != 4 {
		t.Errorf("%+v, %v", rev, err)
	}
	revs, err := one.History(ctx, "orders", 10)
	if err != nil || len(revs) != 4 || revs[1].Binding != nil || revs[3].Message != "try" {
		t.Errorf("%+v, %v", revs, err)
	}
	store := discoverysvc.DialBindings(s.url, nil)
	defer store.Close()
	if all, err := store.Current(ctx); err != nil || len(all) != 1 || all[0].Number != 4 {
		t.Errorf("%+v, %v", all, err)
	}
}

// Over HTTP alone: conditions, problems, rollback.
func TestBindingsOverHTTP(t *testing.T) {
	s := serve(t, memdiscovery.NewStore(), discoverysvc.Options{})
	url := s.url + "/bindings/orders"
	const v1, v2 = `{"binding": {"rest": "v1"}, "author": "ada", "message": "first"}`, `{"binding": {"rest": "v2"}, "author": "bo"}`
	for _, c := range []struct {
		name, method, url, body, condition, value string
		want                                      int
		says                                      string
	}{
		{"unconditional", "PUT", url, v1, "", "", 428, "If-Match"},
		{"stale at once", "PUT", url, v1, "If-Match", `"r9"`, 412, "changed"},
		{"created", "PUT", url, v1, "If-None-Match", "*", 201, `"revision":1`},
		{"created twice", "PUT", url, v1, "If-None-Match", "*", 412, "already"},
		{"nobody", "PUT", url, `{"binding": {"rest": "v2"}}`, "If-Match", `"r1"`, 422, "author"},
		{"half", "PUT", url, `{"binding": {"shares": [{"version": "v2", "percent": 50}]}, "author": "x"}`, "If-Match", `"r1"`, 422, "other 50"},
		{"misspelt", "PUT", url, `{"bindung": {}}`, "If-Match", `"r1"`, 422, ""},
		{"another service", "PUT", url, `{"binding": {"service": "menus", "rest": "v2"}, "author": "x"}`, "If-Match", `"r1"`, 422, "another service"},
		{"changed", "PUT", url, v2, "If-Match", `"r1"`, 200, `"rest":"v2"`},
		{"lost race", "PUT", url, v2, "If-Match", `"r1"`, 412, "changed"},
		{"back", "POST", url, `{"to": 1, "author": "cy"}`, "If-Match", `"r2"`, 200, "back to revision 1"},
		{"back to nothing", "POST", url, `{"to": 9, "author": "cy"}`, "If-Match", `"r3"`, 404, "no revision 9"},
		{"removed unseen", "DELETE", url + "?author=dee", "", "If-Match", `"r2"`, 412, "changed"},
		{"removed", "DELETE", url + "?author=dee", "", "If-Match", `"r3"`, 204, ""},
		{"created again", "PUT", url, v1, "If-None-Match", "*", 200, `"revision":5`},
	} {
		got := ask(t, c.method, c.url, c.body, c.condition, c.value)
		if got.status != c.want || !strings.Contains(got.body, c.says) {
			t.Fatalf("%s: %d %s", c.name, got.status, got.body)
		}
	}
	if got := ask(t, "GET", url, ""); got.header.Get("Etag") != `"r5"` {
		t.Errorf("the ETag names the revision: %v", got.header)
	}
	client := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	doc, err := hal.Get[hal.Any](t.Context(), client.With(http.Header{"Accept": {hal.FormsType}}), url)
	if err != nil {
		t.Fatal(err)
	}
	type revision struct{ Revision uint64 }
	back, err := hal.Submit[revision](t.Context(), client, doc, "rollback", map[string]any{"to": 2, "author": "eve"})
	if err != nil || back.Value.Revision != 6 {
		t.Errorf("the document's form brings back a revision: %+v, %v", back, err)
	}
	if _, err := hal.Submit[revision](t.Context(), client, doc, "rollback", map[string]any{"to": 1, "author": "eve"}); !errors.Is(err, hal.ErrConflict) {
		t.Errorf("and not over what the client hasn't seen: %v", err)
	}
	if got := ask(t, "GET", url+"/history?limit=2", ""); strings.Count(got.body, `"author"`) != 2 {
		t.Error(got.body)
	}
}
