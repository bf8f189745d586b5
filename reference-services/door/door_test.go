package door_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/memconfig"
	"github.com/goswale/swale/configsvc/server"
	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/reference-services/door"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a configuration service that takes any rules, and its bus.
type site struct {
	store *store.Store
	http  *httptest.Server
	bus   *bus.Bus
	gone  bool // who opens needn't wait for it
}

// patience bounds a wait for what must happen in the end, also on a machine that
// has much else to do.
const patience = 2 * time.Minute

func open(t *testing.T) *site {
	t.Helper()
	s := &site{store: store.New(memconfig.New(), nil), bus: membus.New(nil)}
	hs := httptest.NewUnstartedServer(nil)
	base := "http://" + hs.Listener.Addr().String()
	hs.Config.Handler = server.New(s.store, &server.Options{
		BaseURL: base, Bus: s.bus, Allow: func(context.Context, string, server.Action, string) bool { return true },
	})
	hs.Start()
	s.http = hs
	t.Cleanup(func() {
		hs.Close()
		if err := s.bus.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

// put writes rules past whoever would check them first.
func (s *site) put(t *testing.T, text string) {
	t.Helper()
	v, err := configsvc.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.http.URL+"/changes",
		strings.NewReader(`{"edits":[{"key":"`+door.Key+`","overwrite":true,"value":`+v.String()+`}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusCreated {
		said, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %s", resp.Status, said)
	}
}

// instances is what the service knows of who runs what.
func (s *site) instances(t *testing.T) string {
	t.Helper()
	resp, err := http.Get(s.http.URL + "/instances")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// opened returns a door of the site whose last good rules are in dir.
func (s *site) opened(t *testing.T, dir string) (*door.Door, error) {
	t.Helper()
	start := patience
	if s.gone {
		start = time.Second
	}
	client, err := configsvc.NewClient(s.http.URL, &configsvc.ClientOptions{
		Bus: s.bus, Dir: dir, Service: "door", Instance: "1", Poll: time.Minute, StartTimeout: start,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	d, err := door.New(t.Context(), backend{}, client, nil)
	if err == nil {
		t.Cleanup(func() {
			if err := d.Close(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
	}
	return d, err
}

// backend answers with the name of the service that was asked.
type backend struct{}

func (backend) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	_, _ = io.WriteString(w, r.URL.Host)
	return w.Result(), nil
}

// asked returns who answers a path.
func asked(d http.Handler, path string) string {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Body.String()
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(2*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

func all(service string) string {
	return `{"rules":[{"id":"all","route":{"service":"` + service + `"}}]}`
}

func TestDefaultRulesHoldUntilSomeAreWritten(t *testing.T) {
	s := open(t)
	d, err := s.opened(t, "")
	if err != nil {
		t.Fatal(err)
	}
	for path, service := range map[string]string{"/restaurants/7": "restaurants", "/restaurants": "restaurants", "/": "storefront", "/restaurantsold": "storefront"} {
		if got := asked(d, path); got != service {
			t.Errorf("%s is answered by %q instead of %s", path, got, service)
		}
	}
	s.put(t, all("new"))
	eventually(t, "written rules replace the default ones", func() bool { return asked(d, "/") == "new" && asked(d, "/restaurants/7") == "new" })
}

// Bad rules are rejected, reported and visible at the service, and the good ones
// go on to decide; good ones decide the next request.
func TestRulesChangeWithoutARestartAndBadOnesAreReported(t *testing.T) {
	s := open(t)
	s.put(t, all("one"))
	d, err := s.opened(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := asked(d, "/"); got != "one" {
		t.Fatalf("the door opened with the rules for %q", got)
	}
	s.put(t, all("two"))
	eventually(t, "rules that were written decide", func() bool { return asked(d, "/") == "two" })
	for _, bad := range []struct{ text, says string }{
		{`{"rules":[{"id":"all","rout":{"service":"x"}}]}`, "rout"},
		{`{"rules":[{"id":"a","route":{"service":"x"}},{"id":"b","route":{"service":"y"}}]}`, "shadowed"}, // valid, and lint refuses it
	} {
		s.put(t, bad.text)
		eventually(t, "the service shows that the door rejects "+bad.text, func() bool {
			said := s.instances(t)
			return strings.Contains(said, `"rejected"`) && strings.Contains(said, bad.says)
		})
		if err := d.Rejected(); err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("the door must say why it rejects %s: %v", bad.text, err)
		}
		if got := asked(d, "/"); got != "two" {
			t.Errorf("after %s requests go to %q; the good rules stay", bad.text, got)
		}
	}
	s.put(t, all("three"))
	eventually(t, "good rules after bad ones decide", func() bool { return asked(d, "/") == "three" })
	eventually(t, "the complaint ends", func() bool { return d.Rejected() == nil && !strings.Contains(s.instances(t), `"rejected"`) })
}

// A door opens with the last good rules though the service is gone, and not with
// a file that somebody changed.
func TestTheDoorOpensWithoutTheService(t *testing.T) {
	s := open(t)
	dir := t.TempDir()
	s.put(t, all("kept"))
	first, err := s.opened(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, `{"rules":[{"id":"bad"}]}`)
	eventually(t, "bad rules are rejected", func() bool { return first.Rejected() != nil })
	s.http.CloseClientConnections()
	s.http.Close()
	s.gone = true
	second, err := s.opened(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := asked(second, "/"); got != "kept" {
		t.Errorf("the door opened with rules for %q; the last good ones are for kept", got)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	text, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(names[0], []byte(strings.Replace(string(text), "kept", "evil", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.opened(t, dir); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a changed copy must not be used: %v", err)
	}
}
