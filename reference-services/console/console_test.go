package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/memdiscovery"
	"github.com/goswale/swale/hal/browsertest"
	"github.com/goswale/swale/reference-services/console"
	"github.com/goswale/swale/resn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// system is what a console looks at.
type system struct {
	registry *discovery.Registry
	bus      *bus.Bus
	page     *console.Console
}

func look(t *testing.T, opts *console.Options) *system {
	t.Helper()
	if opts == nil {
		opts = &console.Options{}
	}
	opts.Every = 5 * time.Millisecond
	s := &system{registry: memdiscovery.New(nil), bus: membus.New(nil)}
	s.page = console.New(s.registry, s.bus, opts)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.page.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := s.registry.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := s.bus.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// instance is one whose admin port says what the parts hold, by name; a part that
// is "" isn't there.
func (s *system) instance(t *testing.T, service string, parts *atomic.Pointer[map[string]string]) *discovery.Registration {
	t.Helper()
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := (*parts.Load())[strings.TrimPrefix(r.URL.Path, "/state/")]
		if body == "" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, body)
	}))
	t.Cleanup(admin.Close)
	return s.register(t, service, admin.URL+"/")
}

func (s *system) register(t *testing.T, service, admin string) *discovery.Registration {
	t.Helper()
	g, err := s.registry.Register(t.Context(), discovery.Instance{
		Service: service, ID: "i1", Version: "1.2", Endpoints: []discovery.Endpoint{{Scheme: "http", Address: "127.0.0.1:1"}},
		Attributes: map[string]string{console.AdminAttribute: admin}, Health: discovery.Serving,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func state(parts map[string]string) *atomic.Pointer[map[string]string] {
	p := new(atomic.Pointer[map[string]string])
	p.Store(&parts)
	return p
}

// get returns the page, or what is under query.
func (s *system) get(query string) (int, http.Header, string) {
	w := httptest.NewRecorder()
	s.page.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/console/"+query, nil))
	return w.Code, w.Header(), w.Body.String()
}

// shows waits until the page shows all of it.
func (s *system) shows(t *testing.T, want ...string) string {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		_, _, body := s.get("")
		missing := ""
		for _, text := range want {
			if !strings.Contains(body, text) {
				missing = text
			}
		}
		if missing == "" {
			return body
		}
		if time.Now().After(end) {
			t.Fatalf("the page never shows %q: %s", missing, body)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func topics(staleness time.Duration) string {
	return fmt.Sprintf(`[{"Topic": "restaurants", "Live": true, "Staleness": %d, "Notices": 7}]`, staleness)
}

func TestThePageShowsTheSystem(t *testing.T) {
	binds := func() ([]binding.Revision, map[string]error) {
		return []binding.Revision{{Service: "storefront", Author: "ada", Binding: &binding.Binding{Service: "storefront", Shares: []binding.Share{{Version: "2", Percent: 10}}, Rest: "*"}}},
			map[string]error{"restaurants": fmt.Errorf("no such version")}
	}
	s := look(t, &console.Options{Title: "Town", Bindings: binds, Links: []console.Link{{Title: "Rules", URL: "/rules/"}}})
	edge := state(map[string]string{"topics": topics(83 * time.Millisecond), "cache": `{"Hits": 10, "Misses": 1, "Entries": 52, "Bytes": 80000}`})
	s.instance(t, "storefront", edge)
	owner := s.instance(t, "restaurants", state(map[string]string{
		"relay": `{"Leading": true, "Topics": [{"Topic": "restaurants", "Published": 41, "Waiting": 2, "Lag": 3000000000}]}`,
	}))
	s.shows(t, "<title>Town</title>", `<a href="/rules/">Rules</a>`, "storefront/i1", "<b>83 ms</b>", ">live<", "78 KiB",
		"Owned by <b>restaurants/i1</b>: 41 announced, 2 waiting for up to 3.0 s", "<polyline points=",
		"10 % to 2, the rest to all others", "ada", "no such version")

	// Nine of ten requests are answered without asking from now on.
	edge.Store(&map[string]string{"topics": topics(700 * time.Millisecond), "cache": `{"Hits": 19, "Misses": 2, "Entries": 52}`})
	s.shows(t, "<b>700 ms</b>", ">90.0 %</meter>", "restaurants/i1")

	// What changes is heard of as everybody hears it, also where nobody caches it.
	s.instance(t, "orders", state(map[string]string{"relay": `{"Leading": true, "Topics": [{"Topic": "orders", "Published": 3}]}`}))
	for _, topic := range []string{"restaurants", "orders"} {
		href := "http://127.0.0.1:1/" + topic + "/7"
		changed := resn.Event{Topic: topic, Type: resn.Update, Href: href, Time: time.Now().Add(-time.Hour), Seq: 9, Epoch: "e"}
		for end := time.Now().Add(time.Minute); ; { // it subscribes when it sees the topic
			if err := s.bus.Publish(t.Context(), topic, changed.CloudEvent("/test")); err != nil {
				t.Fatal(err)
			}
			if _, _, body := s.get(""); strings.Contains(body, `<a href="`+href+`">`) && strings.Contains(body, topic+" #9, heard 1 h after the change") {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("a notice of %s never appears", topic)
			}
			<-time.After(5 * time.Millisecond)
		}
	}

	// One that leaves is gone, and with it what it owned.
	if err := owner.Deregister(t.Context()); err != nil {
		t.Fatal(err)
	}
	body := s.shows(t, "No owner's relay leads")
	if strings.Contains(body, "restaurants/i1") {
		t.Errorf("an instance that left is still shown: %s", body)
	}
}

func TestAnInstanceThatFallsSilent(t *testing.T) {
	s := look(t, nil)
	parts := state(map[string]string{"topics": topics(20 * time.Millisecond), "cache": `{}`})
	s.instance(t, "storefront", parts)
	s.instance(t, "other", state(map[string]string{"topics": topics(30 * time.Millisecond)}))
	s.shows(t, "<b>20 ms</b>", "<b>30 ms</b>")
	parts.Store(&map[string]string{"topics": "{", "cache": "{"})
	body := s.shows(t, "the instance doesn't answer", "unexpected end of JSON input", "<b>30 ms</b>")
	if strings.Contains(body, "<b>20 ms</b>") {
		t.Error("what an instance said before isn't shown as what is so now")
	}
}

// TestNobodyIsAskedInVain is about instances that would have the console ask
// others.
func TestNobodyIsAskedInVain(t *testing.T) {
	var asked atomic.Int32
	victim := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer victim.Close()
	redirects := httptest.NewServer(http.RedirectHandler(victim.URL, http.StatusFound))
	defer redirects.Close()
	big := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "["+strings.Repeat(" ", 300<<10)+"]")
	}))
	defer big.Close()
	s := look(t, nil)
	s.register(t, "elsewhere", strings.Replace(victim.URL, "127.0.0.1", "localhost", 1))
	s.register(t, "redirects", redirects.URL)
	s.register(t, "big", big.URL)
	s.register(t, "nothing", "javascript:alert(1)")
	s.register(t, "user", strings.Replace(victim.URL, "http://", "http://me:secret@", 1))
	s.register(t, "none", "")
	s.instance(t, "script", state(map[string]string{"topics": `[{"Topic": "<script>alert(1)</script>", "Reason": "<img src=x>"}]`}))
	body := s.shows(t, "is on another host, localhost", "302 Found", "more than 256 KiB", "is no http URL", "names no admin port", "&lt;script&gt;alert(1)")
	if strings.Contains(body, "<img") || strings.Contains(body, "<script>") || strings.Contains(body, `href="javascript`) {
		t.Errorf("what instances say is text: %s", body)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("somebody was asked %d times who is no instance", n)
	}
}

func TestThePageChangesNothing(t *testing.T) {
	s := look(t, nil)
	w := httptest.NewRecorder()
	s.page.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/console/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered with %d", w.Code)
	}
	if code, header, _ := s.get(""); code != http.StatusOK || header.Get("Content-Security-Policy") != console.Policy || header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", code, header)
	}
	if _, header, body := s.get("page.js"); !strings.HasPrefix(header.Get("Content-Type"), "text/javascript") || !strings.Contains(body, "fetch(") {
		t.Errorf("the script: %v", header)
	}
}

// In a browser the page keeps itself current, breaks no policy, and can be read by
// machines that read to people.
func TestPageInChromium(t *testing.T) {
	b := browsertest.Open(t)
	s := look(t, nil)
	parts := state(map[string]string{"topics": topics(40 * time.Millisecond), "cache": `{"Hits": 1}`})
	s.instance(t, "storefront", parts)
	s.shows(t, "<b>40 ms</b>")
	mux := http.NewServeMux()
	mux.Handle("/console/", s.page)
	server := httptest.NewServer(mux)
	defer server.Close()
	b.Go(server.URL + "/console/")
	b.Until(`document.body.innerText.includes("40 ms")`)
	parts.Store(&map[string]string{"topics": topics(1300 * time.Millisecond), "cache": `{"Hits": 1}`})
	b.Until(`document.body.innerText.includes("1.3 s") && document.querySelector("polyline").getAttribute("points").includes(" ")`)
	b.CheckAccessible()
	b.Screenshot("console")
	if trouble := b.Troubles(); len(trouble) > 0 {
		t.Errorf("the browser reports %q", trouble)
	}
}
