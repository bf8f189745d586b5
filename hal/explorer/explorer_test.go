package explorer_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/goswale/swale/hal/explorer"
)

func get(t *testing.T, h http.Handler, target string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
	return w
}

func TestPageAndFiles(t *testing.T) {
	e := explorer.New(nil)
	w := get(t, e, "/explorer/")
	if w.Code != 200 || w.Header().Get("Content-Security-Policy") != explorer.Policy || !strings.Contains(w.Body.String(), `src="explorer.js"`) {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if strings.Contains(w.Body.String(), "style=") || strings.Contains(w.Body.String(), "<script>") {
		t.Error("inline scripts and styles don't work under the policy")
	}
	if w = get(t, e, "/a/explorer"); w.Code != 307 || w.Header().Get("Location") != "./explorer/" {
		t.Errorf("without its slash the page can't find its files: %d %v", w.Code, w.Header())
	}
	if w = get(t, http.StripPrefix("/a/explorer", e), "/a/explorer"); w.Code != 307 || w.Header().Get("Location") != "./explorer/" {
		t.Errorf("nor behind StripPrefix: %d %v", w.Code, w.Header())
	}
	for _, name := range []string{"explorer.js", "explorer.css", "icon.svg", "dom.js", "forms.js"} {
		w := get(t, e, "/explorer/"+name)
		if w.Code != 200 || w.Header().Get("Etag") == "" || w.Header().Get("Content-Type") == "application/octet-stream" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	if w = get(t, e, "/explorer/absent.js"); w.Code != 404 {
		t.Errorf("a file that isn't there: %d", w.Code)
	}
	w = get(t, explorer.New(&explorer.Options{Start: `"><script>alert(1)</script>`}), "/x/")
	if strings.Contains(w.Body.String(), "<script>alert") {
		t.Error("options must not become markup")
	}
}

func TestCallKeepsToItsOrigins(t *testing.T) {
	var got *http.Request
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "http://elsewhere.example/", http.StatusFound)
			return
		}
		w.Header().Add("Link", "</a>; rel=a")
		w.Header().Add("Link", "</b>; rel=b")
		_, _ = io.WriteString(w, "hello")
	}))
	defer api.Close()
	defer http.DefaultClient.CloseIdleConnections()
	e := explorer.New(&explorer.Options{Start: api.URL + "/", MaxBytes: 1000})
	call := func(body string, header ...string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://page.example/explorer/call", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		e.ServeHTTP(w, r)
		return w
	}
	body := fmt.Sprintf(`{"method":"put","url":"%s/x","headers":{"if-match":"\"1\"","cookie":"a=b","host":"evil"},"body":"{}"}`, api.URL)
	w := call(body)
	var answer struct {
		Status  int
		Headers [][2]string
		Body    string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Status != 200 || answer.Body != "hello" {
		t.Fatalf("%v %s", err, w.Body)
	}
	if got.Method != "PUT" || got.Header.Get("If-Match") != `"1"` || got.Header.Get("Cookie") != "" || !strings.HasSuffix(api.URL, got.Host) {
		t.Errorf("only an API client's own fields are passed on: %+v", got)
	}
	for name, c := range map[string]struct {
		status int
		body   string
		header []string
	}{
		"another origin":   {403, `{"method":"GET","url":"http://169.254.169.254/"}`, nil},
		"a file":           {400, `{"method":"GET","url":"file:///etc/passwd"}`, nil},
		"another method":   {400, fmt.Sprintf(`{"method":"CONNECT","url":"%s/"}`, api.URL), nil},
		"another site":     {403, body, []string{"Sec-Fetch-Site", "cross-site"}},
		"another's Origin": {403, body, []string{"Origin", "http://evil.example"}},
		"a form's type":    {415, body, []string{"Content-Type", "text/plain"}},
		"too much":         {413, `{"body":"` + strings.Repeat("x", 2000) + `"}`, nil},
	} {
		if w := call(c.body, c.header...); w.Code != c.status {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, c.status, w.Body)
		}
	}
	if w := call(fmt.Sprintf(`{"method":"GET","url":"%s/away"}`, api.URL)); !strings.Contains(w.Body.String(), `"status":302`) {
		t.Errorf("a redirect is shown, not followed: %s", w.Body)
	}
	if w := get(t, e, "/explorer/call"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET must not call anything: %d", w.Code)
	}
}

func ExampleNew() {
	mux := http.NewServeMux()
	mux.Handle("/explorer/", explorer.New(&explorer.Options{
		Title:   "Restaurants",
		Start:   "http://127.0.0.1:8080/",          // opened first, and may be called
		Origins: []string{"http://127.0.0.1:8081"}, // so may this
	}))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/explorer/", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}
