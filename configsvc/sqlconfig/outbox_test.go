package sqlconfig_test

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/server"
	"github.com/goswale/swale/configsvc/sqlconfig"
	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/resn"
)

type pooled struct {
	Pool int `json:"pool"`
}

// TestNoticesOfAnOutbox wires it all: commit and notice in one transaction, a
// relay, a client that is pushed, and a cache that keeps what is compiled until
// it is told.
func TestNoticesOfAnOutbox(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		db := on.open(t)
		dialect := outbox.Dialect(outbox.SQLite)
		if on.sqlDriver == "pgx" {
			dialect = outbox.PostgreSQL
		}
		box := outbox.New(db, dialect, nil)
		if err := box.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		broker := membus.NewBroker()
		connect := func() *bus.Bus {
			b := broker.Connect(nil)
			t.Cleanup(func() { _ = b.Shutdown(context.Background()) })
			return b
		}
		var asked atomic.Int64
		var h http.Handler
		hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/compile" {
				asked.Add(1)
			}
			h.ServeHTTP(w, r)
		}))
		t.Cleanup(hs.Close)
		d := sqlconfig.New(db, on.dialect, &sqlconfig.Options{InTx: func(ctx context.Context, tx *sql.Tx, c driver.Commit) error {
			for _, n := range server.Notices(hs.URL, server.DefaultTopic, c) {
				if err := box.Append(ctx, tx, n.Topic, n.CloudEvent("/config")); err != nil {
					return err
				}
			}
			return nil
		}})
		if err := d.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		h = server.New(store.New(d, nil), &server.Options{
			BaseURL: hs.URL, Announced: true, Bus: connect(),
			Allow: server.Grants{{Who: "*", Action: server.Read}, {Who: "*", Action: server.Write}}.Allow,
		})
		relay := outbox.NewRelay(box, connect(), &outbox.RelayOptions{
			Topics: []string{server.DefaultTopic}, WatermarkInterval: 20 * time.Millisecond,
			Watermark: func(topic string, w outbox.Watermark) bus.Event {
				return resn.Watermark{Topic: topic, Epoch: w.Epoch, Seq: w.Sequence, Time: w.Time}.CloudEvent("/config")
			},
		})
		ctx, stop := context.WithCancel(context.Background())
		relayed := make(chan error, 1)
		go func() { relayed <- relay.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			if err := <-relayed; err != nil {
				t.Error(err)
			}
		})
		write := func(text string) {
			t.Helper()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, hs.URL+"/changes", strings.NewReader(`{"edits":[{"key":"base","overwrite":true,"value":`+text+`}]}`))
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != http.StatusCreated {
				t.Fatal(w.Body)
			}
		}
		write(`{"pool":1}`)

		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		client, err := configsvc.NewClient(hs.URL, &configsvc.ClientOptions{HTTP: &http.Client{Transport: transport}, Bus: connect(), Poll: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close(context.Background()) })
		w, err := configsvc.Watch[pooled](t.Context(), client, "base")
		if err != nil {
			t.Fatal(err)
		}
		cached, err := resn.NewClient(connect(), &resn.ClientOptions{Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cached.Close(context.Background()) })
		if err := cached.Listen(t.Context(), server.DefaultTopic); err != nil {
			t.Fatal(err)
		}
		until(t, "the topic to be live", func() bool { return cached.Topics()[0].Live })
		read := func() string {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, hs.URL+"/compile?key=base&key=base/orders", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := cached.HTTP().Do(req)
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
		until(t, "the cache to keep it", func() bool {
			read()
			before := asked.Load()
			return strings.Contains(read(), `{"pool":1}`) && asked.Load() == before
		})
		write(`{"pool":2}`)
		until(t, "the client to be pushed", func() bool { return w.Get().Pool == 2 })
		until(t, "the cache to be told", func() bool { return strings.Contains(read(), `{"pool":2}`) })
	})
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("timed out waiting for " + what)
		}
	}
}
