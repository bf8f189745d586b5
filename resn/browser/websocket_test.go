package browser_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/resn/browser"
)

// dial opens a WebSocket to the handler.
func dial(t *testing.T, server *httptest.Server, query string, header http.Header) (*websocket.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(server.URL, "http")+"/?"+query, &websocket.DialOptions{HTTPHeader: header})
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
	return conn, err
}

// listen reads messages until there are so many that aren't heartbeats.
func listen(t *testing.T, conn *websocket.Conn, n int) (got []string, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(got) < n {
		_, data, err := conn.Read(ctx)
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		var m struct {
			Event, ID string
			Data      json.RawMessage
		}
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if m.ID != "" {
			id = m.ID
		}
		if m.Event != "heartbeat" {
			got = append(got, message{m.Event, m.ID, string(m.Data)}.String())
		}
	}
	return got, id
}

func TestNoticesByWebSocket(t *testing.T) {
	r := newRig(t, &browser.Options{Heartbeat: 5 * time.Millisecond, Lease: patience})
	server := httptest.NewServer(r.h)
	defer server.Close()
	conn, err := dial(t, server, "topic=dishes", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := listen(t, conn, 1)
	r.watermark()
	more, _ := listen(t, conn, 1)
	r.change(1)
	last, id := listen(t, conn, 1)
	if diff := cmp.Diff([]string{"lost dishes", "live dishes", "update /dishes/1"}, append(append(got, more...), last...)); diff != "" {
		t.Error(diff)
	}
	_ = conn.CloseNow()

	r.change(2)
	again, err := dial(t, server, back(id), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.CloseNow() }()
	resumed, _ := listen(t, again, 1)
	if resumed[0] != "update /dishes/2" {
		// The notice may come a moment after the page, which is then live first.
		resumed, _ = listen(t, again, 1)
	}
	if resumed[0] != "update /dishes/2" {
		t.Errorf("resumed with %v", resumed)
	}
	// Shutdown says goodbye, so that the page comes back elsewhere.
	gone := make(chan error, 1)
	go func() {
		for {
			if _, _, err := again.Read(context.Background()); err != nil {
				gone <- err
				return
			}
		}
	}()
	r.shut(r.h)
	if err := <-gone; websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the page is told %v", err)
	}
}

func TestWebSocketOrigin(t *testing.T) {
	r := newRig(t, nil)
	server := httptest.NewServer(r.h)
	defer server.Close()
	if conn, err := dial(t, server, "topic=dishes", http.Header{"Origin": {"https://evil.example"}}); err == nil {
		_ = conn.CloseNow()
		t.Error("a page of another site got a WebSocket")
	}
	conn, err := dial(t, server, "topic=dishes", http.Header{"Origin": {server.URL}})
	if err != nil {
		t.Fatalf("a page of the same site: %v", err)
	}
	_ = conn.CloseNow()
}

// A page that talks is not listened to.
func TestWebSocketThatTalksIsClosed(t *testing.T) {
	r := newRig(t, nil)
	server := httptest.NewServer(r.h)
	defer server.Close()
	conn, err := dial(t, server, "topic=dishes", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := conn.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, _, err = conn.Read(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Error("the connection stands")
	}
}

// The same over a real connection, whose page stops reading.
func TestServerSentEventsOverHTTP(t *testing.T) {
	r := newRig(t, nil)
	server := httptest.NewServer(r.h)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/?topic=dishes", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text := ""
	for b := make([]byte, 4096); !strings.Contains(text, "event: live"); {
		if strings.Contains(text, "event: lost") {
			r.watermark()
		}
		n, err := resp.Body.Read(b)
		text += string(b[:n])
		if err != nil {
			t.Fatalf("%v after %q", err, text)
		}
	}
	if !strings.HasPrefix(text, "retry: ") {
		t.Errorf("pages are told when to come back: %q", text)
	}
}
