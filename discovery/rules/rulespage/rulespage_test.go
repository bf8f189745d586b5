package rulespage_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/goswale/swale/discovery/rules"
	"github.com/goswale/swale/discovery/rules/rulespage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func engine(t *testing.T) *rules.Engine {
	t.Helper()
	set, err := rules.Parse([]byte(`{"trust": {"header:X-Region": "proxy"}, "derive": {"region": "header:X-Region"}, "rules": [
		{"id": "v1", "match": {"path": "/v1/*"}, "route": {"service": "old"}},
		{"id": "points", "note": "<script>alert(1)</script>", "match": {"path": "/v1/point/*", "region": ["LON"]}, "route": {"service": "points"}},
		{"id": "dead", "match": {"path": "/v1/*"}, "priority": -1, "route": {"service": "points"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	e, err := rules.Compile(set)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// get returns the status, header and body of an answer.
func get(h http.Handler, target, accept string) (int, http.Header, string) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header.Set("Accept", accept)
	h.ServeHTTP(w, r)
	return w.Code, w.Header(), w.Body.String()
}

func query(values map[string]string) string {
	q := url.Values{}
	for k, v := range values {
		q.Set(k, v)
	}
	return "/rules/?" + q.Encode()
}

func TestPageExplains(t *testing.T) {
	p := rulespage.New(func() func() *rules.Engine { e := engine(t); return func() *rules.Engine { return e } }(), nil)
	code, header, body := get(p, query(map[string]string{"path": "/v1/point/7", "headers": "X-Region: LON", "client": "192.0.2.1"}), "text/html")
	for _, want := range []string{
		"<strong>v1</strong>", "only a trusted proxy is believed", "it comes before &#34;dead&#34;", "shadowed", "&lt;script&gt;alert(1)",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page must say %q", want)
		}
	}
	if code != http.StatusOK || header.Get("Content-Security-Policy") != rulespage.Policy || strings.Contains(body, "<script") {
		t.Errorf("%d %v: the page runs no script and says so", code, header)
	}
	_, _, body = get(p, query(map[string]string{"path": "/v1/point/7", "headers": "X-Region: LON", "proxy": "1"}), "application/json")
	if !strings.Contains(body, `{"kind":"answer","rule":"points"`) {
		t.Error(body)
	}
}

func TestPageListsTheRules(t *testing.T) {
	e := engine(t)
	_, _, body := get(rulespage.New(func() *rules.Engine { return e }, &rulespage.Options{Shown: 2}), "/rules/", "text/html")
	for _, want := range []string{
		"points<br>", "&lt;script&gt;alert(1)", `{&#34;path&#34;:&#34;/v1/*&#34;}`, `<code>{&#34;route&#34;:{&#34;service&#34;:&#34;old&#34;}}</code>`, "Not shown: 1 more.",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page must say %q: %s", want, body)
		}
	}
	if strings.Index(body, ">points<") > strings.Index(body, ">v1<") {
		t.Error("the most specific rule comes first")
	}
}

func TestPageSaysWhatIsWrong(t *testing.T) {
	e := engine(t)
	p := rulespage.New(func() *rules.Engine { return e }, nil)
	for _, c := range []struct {
		values map[string]string
		says   string
	}{
		{map[string]string{"path": "/", "client": "here"}, "IP address"},
		{map[string]string{"path": "/", "headers": "X-Region"}, "Name: value"},
		{map[string]string{"path": "/", "attributes": ": x"}, "name: value"},
	} {
		if code, _, body := get(p, query(c.values), ""); code != http.StatusBadRequest || !strings.Contains(body, c.says) {
			t.Errorf("%d: %q isn't said", code, c.says)
		}
	}
	none := rulespage.New(func() *rules.Engine { return nil }, nil)
	if code, _, body := get(none, "/rules/", ""); code != http.StatusBadRequest || !strings.Contains(body, "no rules yet") {
		t.Error(code, body)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/rules/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered with %d", w.Code)
	}
}

// profile is a folder for a browser, some of whose processes may still write to it
// for a moment after it has ended; t.TempDir's removal would then fail the test.
func profile(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "swale-chromium-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for end := time.Now().Add(time.Minute); os.RemoveAll(dir) != nil && time.Now().Before(end); {
			<-time.After(50 * time.Millisecond)
		}
	})
	return dir
}

// In a browser the page has its style, breaks no policy, and shows the
// verdict.
func TestPageInChromium(t *testing.T) {
	chromium := os.Getenv("SWALE_TEST_CHROMIUM")
	if chromium == "" {
		chromium, _ = exec.LookPath("chromium")
	}
	if chromium == "" {
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal("no Chromium found; SWALE_TEST_CHROMIUM names one")
		}
		t.Skip("no Chromium found, the page isn't tested in a browser: SWALE_TEST_CHROMIUM names one")
	}
	e := engine(t)
	mux := http.NewServeMux()
	mux.Handle("/rules/", rulespage.New(func() *rules.Engine { return e }, nil))
	server := httptest.NewServer(mux)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	shot := filepath.Join(t.TempDir(), "page.png")
	if folder := os.Getenv("SWALE_TEST_SCREENSHOTS"); folder != "" {
		shot = filepath.Join(folder, "rulespage.png")
	}
	browse := func(extra ...string) (dom, log string) {
		t.Helper()
		args := append([]string{
			"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
			"--enable-logging=stderr", "--window-size=1200,1400", "--user-data-dir=" + profile(t),
		}, extra...)
		target := server.URL + query(map[string]string{"path": "/v1/point/7", "headers": "X-Region: LON", "proxy": "1"})
		cmd := exec.CommandContext(ctx, chromium, append(args, target)...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, errs.String())
		}
		return out.String(), errs.String()
	}
	dom, log := browse("--dump-dom")
	if !strings.Contains(dom, "<td><strong>points</strong></td>") {
		t.Errorf("the browser doesn't show the verdict: %s", dom)
	}
	if broken := regexp.MustCompile(`(?i)(refused to|violates|content security policy).*`).FindString(log); broken != "" {
		t.Errorf("the page breaks its own policy: %s", broken)
	}
	browse("--screenshot=" + shot)
	if info, err := os.Stat(shot); err != nil || info.Size() < 20_000 {
		t.Errorf("the page drawn with its style is more than a blank: %v", err)
	}
}
