package restaurants_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/hal/haltest"
	"github.com/goswale/swale/reference-services/restaurants"
)

// rename changes a restaurant's name and returns its new ETag.
func (a *api) rename(t *testing.T, url, tag, name string) string {
	t.Helper()
	resp, body := a.do(t, "PATCH", url, fmt.Sprintf(`{"name":%q}`, name), "If-Match", tag)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("PATCH gave %s %s", resp.Status, body)
	}
	return resp.Header.Get("Etag")
}

// etags returns the ETag of the latest notice of each href.
func (a *api) etags() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	tags := map[string]string{}
	for _, e := range a.notices {
		tags[e.Subject] = e.Extension("etag")
	}
	return tags
}

// TestAChangeAndItsNoticeSurviveTogether copies the files of the database while
// changes are made, which is what the end of the process leaves behind, and starts
// from the copies.
func TestAChangeAndItsNoticeSurviveTogether(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "restaurants.db")
	db, err := restaurants.OpenDB(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	// Nothing is moved from the log to the file while it is copied.
	if _, err := db.ExecContext(t.Context(), `PRAGMA wal_autocheckpoint = 0`); err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	const base = "http://restaurants.example"
	s, err := restaurants.New(t.Context(), db, membus.New(nil), &restaurants.Options{BaseURL: base})
	if err != nil {
		t.Fatal(err)
	}
	handler := s.Handler() // and nobody relays: notices are in the database alone
	serve := func(method, url, body, tag string) http.Header {
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return nil
		}
		req.Header.Set("Content-Type", "application/json")
		if tag != "" {
			req.Header.Set("If-Match", tag)
		}
		rec := &response{header: http.Header{}}
		handler.ServeHTTP(rec, req)
		if rec.status >= 300 {
			t.Errorf("%s %s gave %d %s", method, url, rec.status, rec.body.String())
		}
		return rec.header
	}

	var mu sync.Mutex
	acknowledged := map[string]string{} // name by URL
	ready, stop := make(chan struct{}, 4), make(chan struct{})
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			header := serve("POST", base+"/restaurants", alder, "")
			url, tag := header.Get("Location"), header.Get("Etag")
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("Worker %d, %d", w, n)
				tag = serve("PATCH", url, fmt.Sprintf(`{"name":%q}`, name), tag).Get("Etag")
				mu.Lock()
				acknowledged[url] = name
				mu.Unlock()
				if n == 10 {
					ready <- struct{}{}
				}
			}
		})
	}
	for range 4 {
		<-ready
	}
	mu.Lock()
	want := map[string]string{}
	for url, name := range acknowledged {
		want[strings.TrimPrefix(url, base)] = name
	}
	mu.Unlock()
	copies := t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copies, "restaurants.db"+suffix), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	workers.Wait()

	a := startAt(t, filepath.Join(copies, "restaurants.db"))
	notices := 0
	for path, name := range want {
		resp, body := a.do(t, "GET", path, "")
		var worker, before, now int
		if _, err := fmt.Sscanf(name, "Worker %d, %d", &worker, &before); err != nil {
			t.Fatal(err)
		}
		got := body[max(0, strings.Index(body, "Worker ")):]
		if _, err := fmt.Sscanf(got, "Worker %d, %d", &worker, &now); err != nil || now < before {
			t.Errorf("%s was acknowledged as %q and is %s after the crash", path, name, got)
			continue
		}
		notices += now + 2 // its creation, and 0 to now
		want[path] = resp.Header.Get("Etag")
	}
	if got := a.announced(t, notices); len(got) != notices {
		t.Errorf("%d notices for %d changes", len(got), notices)
	}
	tags := a.etags()
	for path, tag := range want {
		if got := tags[base+path]; got != tag {
			t.Errorf("%s: the last notice names %s, the restaurant has %s", path, got, tag)
		}
	}
}

// response is an http.ResponseWriter that keeps everything.
type response struct {
	header http.Header
	status int
	body   strings.Builder
}

func (r *response) Header() http.Header         { return r.header }
func (r *response) WriteHeader(status int)      { r.status = status }
func (r *response) Write(p []byte) (int, error) { return r.body.Write(p) }

func TestNoETagComesBack(t *testing.T) {
	first, second := start(t), start(t)
	_, one := first.create(t)
	_, two := second.create(t)
	if one == two {
		t.Errorf("two databases gave the ETag %s; who has the one would take it for the other", one)
	}
}

// TestASlowWriterHoldsUpNobody sends half a PATCH.
func TestASlowWriterHoldsUpNobody(t *testing.T) {
	a := start(t)
	slow, slowTag := a.create(t)
	quick, quickTag := a.create(t)
	body, half := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "PATCH", slow, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", hal.MergePatchType)
	req.Header.Set("If-Match", slowTag)
	done := make(chan int)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			done <- 0
			return
		}
		_ = resp.Body.Close()
		done <- resp.StatusCode
	}()
	if _, err := half.Write([]byte(`{"name":`)); err != nil {
		t.Fatal(err)
	}
	a.rename(t, quick, quickTag, "Quick")
	if _, err := half.Write([]byte(`"Slow"}`)); err != nil {
		t.Fatal(err)
	}
	_ = half.Close()
	if status := <-done; status != http.StatusOK {
		t.Errorf("the slow PATCH gave %d, want 200", status)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestPagesLinkToEachOther(t *testing.T) {
	a := start(t)
	a.fill(t, 25)
	c := hal.NewClient(nil)
	at := func(page int) string { return fmt.Sprintf("%s/restaurants?page=%d&size=10", a.url, page) }
	for page, want := range map[int]map[string]int{
		1: {"first": 1, "next": 2, "last": 3},
		2: {"first": 1, "prev": 1, "next": 3, "last": 3},
		3: {"first": 1, "prev": 2, "last": 3},
		9: {"first": 1, "prev": 3, "last": 3},
	} {
		doc, err := hal.Get[hal.Any](t.Context(), c, at(page))
		if err != nil {
			t.Fatal(err)
		}
		haltest.Link(t, doc, "self", at(page))
		haltest.Relations(t, doc, "find")
		for _, rel := range []string{"first", "prev", "next", "last"} {
			if n, ok := want[rel]; ok {
				haltest.Link(t, doc, rel, at(n))
			} else {
				haltest.NoLink(t, doc, rel)
			}
		}
	}
	seen := map[string]bool{}
	for item, err := range hal.Each[restaurants.Restaurant](t.Context(), c, at(1), "item") {
		if err != nil {
			t.Fatal(err)
		}
		seen[item.Value.ID] = true
	}
	if len(seen) != 25 {
		t.Errorf("the pages led to %d restaurants, want 25", len(seen))
	}
	// A longer prefix is a smaller place.
	all := 25
	for n := range 10 {
		doc, err := hal.Get[hal.Collection[hal.Any]](t.Context(), c, a.url+"/restaurants?geohash="+"dr5ru7c0z"[:n])
		if err != nil {
			t.Fatal(err)
		}
		if doc.Value.Total > all {
			t.Errorf("%d restaurants begin with %q, and only %d with less of it", doc.Value.Total, "dr5ru7c0z"[:n], all)
		}
		all = doc.Value.Total
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestTheAPIIsGoodHAL(t *testing.T) {
	a := start(t)
	a.fill(t, 30)
	report, err := haltest.Crawl(t.Context(), a.url+"/", &haltest.Options{Values: map[string]string{"geohash": "dr5", "size": "10", "page": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Error(f)
	}
	if report.Relations["item"] < 30 {
		t.Errorf("links led to %v", report.Relations)
	}
	http.DefaultClient.CloseIdleConnections()
}
