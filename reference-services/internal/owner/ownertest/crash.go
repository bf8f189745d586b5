package ownertest

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/reference-services/internal/owner"
	"github.com/goswale/swale/reference-services/restaurants"
)

// Crash copies the files of the database while changes are made, which is what the
// end of the process leaves behind, and starts from the copies: every change that
// was acknowledged must be there, and each must be announced, once.
//
// What is made of body at the collection, which is named like the topic, goes
// through these transitions again and again; "NAME BODY" is one with a body.
func Crash(t *testing.T, topic string, open New, body string, transitions ...string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), topic+".db")
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
	const base = "http://owner.example"
	s, err := open(t.Context(), db, membus.New(nil), &owner.Options{BaseURL: base})
	if err != nil {
		t.Fatal(err)
	}
	handler := s.Handler() // and nobody relays: notices are in the database alone
	post := func(url, body, tag string) http.Header {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("If-Match", tag)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code >= 300 {
			t.Errorf("POST %s gave %d %s", url, w.Code, w.Body)
		}
		return w.Result().Header
	}
	var mu sync.Mutex
	acknowledged := map[string]int{} // version by path
	acknowledge := func(url, tag string) {
		mu.Lock()
		defer mu.Unlock()
		acknowledged[strings.TrimPrefix(url, base)] = version(t, tag)
	}
	ready, stop := make(chan struct{}, 4), make(chan struct{})
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for n := 0; ; {
				made := post(base+"/"+topic, body, "*")
				url, tag := made.Get("Location"), made.Get("Etag")
				acknowledge(url, tag)
				for _, transition := range transitions {
					name, with, _ := strings.Cut(transition, " ")
					tag = post(url+"/"+name, with, tag).Get("Etag")
					acknowledge(url, tag)
					if n++; n == 10 {
						ready <- struct{}{}
					}
				}
				select {
				case <-stop:
					return
				default:
				}
				if t.Failed() {
					if n < 10 {
						ready <- struct{}{}
					}
					return
				}
			}
		})
	}
	for range 4 {
		<-ready
	}
	mu.Lock()
	want := maps.Clone(acknowledged)
	mu.Unlock()
	copies := filepath.Join(t.TempDir(), topic+".db")
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(copies+suffix, path+suffix); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	workers.Wait()

	made := make(map[string]string) // version by path
	changes := 0
	after, err := restaurants.OpenDB(copies)
	if err != nil {
		t.Fatal(err)
	}
	// Each version is one change.
	if err := after.QueryRowContext(t.Context(), `SELECT max(version) FROM resources`).Scan(&changes); err != nil {
		t.Fatal(err)
	}
	if err := after.Close(); err != nil {
		t.Fatal(err)
	}
	a := StartAt(t, topic, open, copies)
	notices := a.Announced(t, changes)
	if len(notices) != changes {
		t.Errorf("%d notices for %d changes", len(notices), changes)
	}
	for _, n := range notices {
		part := strings.Fields(n)
		made[strings.TrimPrefix(part[1], base)] = part[2]
	}
	for path, v := range want {
		got := a.Do(t, http.MethodGet, path, "")
		tag := got.Header.Get("Etag")
		if got.Status != http.StatusOK || version(t, tag) < v {
			t.Errorf("%s was acknowledged as version %d, and is %d %s after the crash", path, v, got.Status, tag)
		}
		if made[path] != tag {
			t.Errorf("%s: the last notice names %s, it has %s", path, made[path], tag)
		}
	}
}

// version is the number in an ETag.
func version(t *testing.T, tag string) (v int) {
	t.Helper()
	if _, err := fmt.Sscanf(tag, `"v%d-`, &v); err != nil {
		t.Errorf("the ETag %q has no version", tag)
	}
	return v
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}
