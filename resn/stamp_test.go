package resn_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/resn"
)

// answered is what a handler answered.
type answered struct {
	Status              int
	Control, Group, Tag string
	Body                string
}

func ask(t *testing.T, h http.Handler, method string, header ...string) answered {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "https://api.example/restaurants/203", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answered{
		w.Code, strings.Join(w.Header().Values("Cache-Control"), ", "), strings.Join(w.Header().Values("Cache-Groups"), ", "),
		w.Header().Get("Etag"), w.Body.String(),
	}
}

func TestStampNamesTheTopicOfWhatMayBeKept(t *testing.T) {
	answer := func(status int, control string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if control != "" {
				w.Header().Set("Cache-Control", control)
			}
			w.WriteHeader(status)
		})
	}
	const topic = `resn="restaurants"`
	tests := []struct {
		rule, method string
		status       int
		control      string
		want         string
	}{
		{"a successful answer", "GET", 200, "max-age=5", "max-age=5, " + topic},
		{"an answer without a policy", "GET", 200, "", topic},
		{"HEAD", "HEAD", 200, "max-age=5", "max-age=5, " + topic},
		{"a negative answer, which a notice ends, too", "GET", 404, "max-age=5", "max-age=5, " + topic},
		{"what is gone", "GET", 410, "", topic},
		{"a confirmation", "GET", 304, "max-age=5", "max-age=5, " + topic},
		{"a failure isn't kept", "GET", 503, "", ""},
		{"a redirection is another's business", "GET", 302, "", ""},
		{"no-store stands above it", "GET", 200, "no-store", "no-store"},
		{"the handler's own topic stands", "GET", 200, `resn="orders"`, `resn="orders"`},
		{"an answer to a write says what announces it", "POST", 201, "", topic},
		{"also one that leads elsewhere", "POST", 303, "", topic},
		{"a write that failed changed nothing", "PUT", 404, "", ""},
		{"OPTIONS is no write", "OPTIONS", 200, "", ""},
	}
	for _, tt := range tests {
		got := ask(t, resn.Stamp("restaurants")(answer(tt.status, tt.control)), tt.method)
		if got.Control != tt.want {
			t.Errorf("%s: Cache-Control is %q, want %q", tt.rule, got.Control, tt.want)
		}
	}
}

func TestStampJoinsGroups(t *testing.T) {
	list := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Groups", `"mine"`)
		_, _ = io.WriteString(w, "[]")
	})
	got := ask(t, resn.Stamp("restaurants", "restaurants", `/a"b\c`)(list), "GET")
	if want := `"mine", "restaurants", "/a\"b\\c"`; got.Group != want {
		t.Errorf("Cache-Groups is %s, want %s (RFC 9875, strings of RFC 9651)", got.Group, want)
	}
}

func TestTagGivesContentATag(t *testing.T) {
	body := "version 1"
	h := resn.Stamp("restaurants")(resn.Tag(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Accept"))
		_, _ = io.WriteString(w, body[:3])
		_, _ = io.WriteString(w, body[3:])
	})))
	first := ask(t, h, "GET")
	if first.Tag == "" || first.Body != body || first.Status != http.StatusOK {
		t.Fatalf("an answer gets a tag: %+v", first)
	}
	if again := ask(t, h, "GET"); again.Tag != first.Tag {
		t.Errorf("the same content has the same tag: %s, %s", first.Tag, again.Tag)
	}
	for _, known := range []string{first.Tag, "W/" + first.Tag, `"other", ` + first.Tag, "*"} {
		got := ask(t, h, "GET", "If-None-Match", known)
		if diff := cmp.Diff(answered{Status: 304, Control: first.Control, Tag: first.Tag}, got); diff != "" {
			t.Errorf("who has %s gets a 304, with the topic and the tag, and no body (-want +got):\n%s", known, diff)
		}
	}
	if other := ask(t, h, "GET", "Accept", "text/html"); other.Tag == first.Tag {
		t.Error("another media type is another representation")
	}
	body = "version 2"
	if got := ask(t, h, "GET", "If-None-Match", first.Tag); got.Status != 200 || got.Tag == first.Tag || got.Body != body {
		t.Errorf("other content has another tag: %+v", got)
	}
}

func TestTagLeavesOthersAlone(t *testing.T) {
	serve := func(f func(w http.ResponseWriter)) http.Handler {
		return resn.Tag(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { f(w) }))
	}
	long := strings.Repeat("x", resn.MaxTagged)
	tests := []struct {
		rule, method string
		handler      http.Handler
		want         answered
	}{
		{"the handler's own tag stands", "GET", serve(func(w http.ResponseWriter) {
			w.Header().Set("Etag", `"v7"`)
			_, _ = io.WriteString(w, "x")
		}), answered{Status: 200, Tag: `"v7"`, Body: "x"}},
		{"a failure has none", "GET", serve(func(w http.ResponseWriter) { http.Error(w, "no", http.StatusInternalServerError) }),
			answered{Status: 500, Body: "no\n"}},
		{"nor has what isn't kept", "GET", serve(func(w http.ResponseWriter) {
			w.Header().Set("Cache-Control", "no-store")
			_, _ = io.WriteString(w, "x")
		}), answered{Status: 200, Control: "no-store", Body: "x"}},
		{"nor an answer to a write", "POST", serve(func(w http.ResponseWriter) { _, _ = io.WriteString(w, "x") }),
			answered{Status: 200, Body: "x"}},
		{"nor what is too long to hold back", "GET", serve(func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, long)
			_, _ = io.WriteString(w, "y")
		}), answered{Status: 200, Body: long + "y"}},
		{"nor what is flushed on the way", "GET", serve(func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "x")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(w, "y")
		}), answered{Status: 200, Body: "xy"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, ask(t, tt.handler, tt.method)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.rule, diff)
		}
	}
}
