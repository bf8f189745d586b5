package resn_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// heardLog keeps what was logged.
type heardLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *heardLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *heardLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *heardLog) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// mistake is an owner and a reader that don't fit.
type mistake struct {
	name   string
	fields []string // of the response, beside max-age and the topic
	bare   bool     // the response has nothing but fields
	read   string   // default https://api.example/books/1
	tag    string   // of the response; %d is the version
	href   string   // that notices name; default what is read
	etag   string   // that notices name; %d is the version
	want   string   // in the log, and in the topic's state; empty: nothing
}

func TestWhatDoesNotFitIsSaid(t *testing.T) {
	for _, m := range []mistake{
		{name: "all is well", etag: `"v%d"`},
		{name: "no version in notices"},
		{name: "another spelling of the same URL", href: "HTTPS://API.example:443/books/1", etag: `"v%d"`},
		{name: "weakened by a coding on the way", tag: `W/"v%d"`, etag: `"v%d"`},
		{name: "another representation", tag: `"v%d~json"`, etag: `"v%d"`},
		{name: "two resources that differ in case, the other one changed", href: "https://api.example/books/2", etag: `"v%d"`},
		{name: "slash at the end", href: "https://api.example/books/1/", want: "a notice names https://api.example/books/1/, and what is read is https://api.example/books/1:"},
		{name: "http and https", href: "http://api.example/books/1", want: "a notice names http://api.example/books/1, and what is read is https://api.example/books/1:"},
		{name: "upper case in the path", href: "https://api.example/Books/1", want: "a notice names https://api.example/Books/1"},
		{name: "another port", href: "https://api.example:8443/books/1", want: "notices name resources of https://api.example:8443, and responses of the topic come from https://api.example:"},
		{name: "the address behind a proxy", href: "http://10.0.0.7:8080/books/1", want: "notices name resources of http://10.0.0.7:8080,"},
		{name: "the version is a hash on one side", tag: `"hash%d"`, etag: `"v%d"`, want: `was announced as \"v7\", and 16s later its ETag is \"hash7\"`},
		{name: "quotes forgotten", etag: `v%d`, want: `was announced as v7, and 16s later its ETag is \"v7\"`},
		{name: "the version of another response", tag: "-", etag: `"v%d"`, want: "has no ETag"},
		{name: "no-store", fields: []string{"Cache-Control", `no-store, resn="books"`, "ETag", `"v1"`}, bare: true, want: "names the topic and says no-store"},
		{name: "Vary: *", fields: []string{"Vary", "*"}, want: "names the topic and says Vary: *"},
		{name: "no ETag", tag: "-", want: "has no ETag: it is fetched whole where it could be confirmed; resn.Tag makes them"},
	} {
		t.Run(m.name, func(t *testing.T) { synctest.Test(t, m.run) })
	}
}

func (m mistake) run(t *testing.T) {
	if m.read == "" {
		m.read = "https://api.example/books/1"
	}
	if m.href == "" {
		m.href = m.read
	}
	if m.tag == "" {
		m.tag = `"v%d"`
	}
	current := 1
	of := func(pattern string) string { return strings.ReplaceAll(pattern, "%d", strconv.Itoa(current)) }
	owner := roundTrip(func(req *http.Request) (*http.Response, error) {
		h := http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}}
		if !m.bare {
			h.Set("Cache-Control", `max-age=1, resn="books"`)
			if m.tag != "-" {
				h.Set("ETag", of(m.tag))
			}
		}
		for i := 0; i < len(m.fields); i += 2 {
			h.Add(m.fields[i], m.fields[i+1])
		}
		return &http.Response{StatusCode: http.StatusOK, Header: h, Body: io.NopCloser(strings.NewReader("x")), Request: req}, nil
	})
	b, said := membus.New(nil), &heardLog{}
	client, err := resn.NewClient(b, &resn.ClientOptions{Transport: owner, Logger: said.logger()})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Listen(t.Context(), "books"); err != nil {
		t.Fatal(err)
	}
	read := func() {
		t.Helper()
		resp, err := client.HTTP().Get(m.read)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	read()
	for current = 2; current < 8; current++ {
		notice := resn.Event{Topic: "books", Type: resn.Update, Href: m.href, ETag: of(m.etag)}
		if err := b.Publish(t.Context(), "books", notice.CloudEvent("/books")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	}
	current = 7
	for range 4 {
		time.Sleep(4 * time.Second)
		read()
	}
	warning := client.Topics()[0].Warning
	if err := client.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, times := said.String(), strings.Count(said.String(), "misconfigured")
	switch {
	case m.want == "" && (times > 0 || warning != ""):
		t.Errorf("nothing is wrong, and it warns:\n%s\n%s", got, warning)
	case m.want != "" && (!strings.Contains(got, m.want) || warning == ""):
		t.Errorf("it doesn't say %q but\n%s\nand in the state %q", m.want, got, warning)
	case times > 2:
		t.Errorf("it says so again and again:\n%s", got)
	}
}
