package rows

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/memconfig"
	"github.com/goswale/swale/configsvc/server"
	configstore "github.com/goswale/swale/configsvc/store"
)

func configRows() []ratio.Row {
	return []ratio.Row{
		{
			Name: "config.read.ns", Unit: "ns", Bound: ratio.AtMost(5),
			Note: "a read of a watched configuration, one member of it",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				w, closer, err := watched(ctx)
				return func() (float64, error) { return perRead(w) }, closer, err
			},
		},
		{
			Name: "config.read.allocs", Unit: "allocs", Bound: ratio.AtMost(0.01), // 0 would be no bound
			Note: "heap objects of the same read",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				w, closer, err := watched(ctx)
				return func() (float64, error) {
					allocs, err := ratio.Allocs(func() error {
						if got := w.Get().Pool; got != 7 {
							return fmt.Errorf("read %d", got)
						}
						return nil
					})
					return float64(int(allocs + 0.5)), err // the measurement's own are shared by a thousand
				}, closer, err
			},
		},
		{
			Name: "config.compile.vs_json", Unit: "x", Bound: ratio.AtMost(3),
			Note: "six layers of 200 keys, half of them shared, from text to text, against one Unmarshal and Marshal of the result by encoding/json",
			Open: func(context.Context) (func() (float64, error), func(), error) {
				ours, theirs, err := compileSides()
				return ratio.Versus(ours, theirs), nil, err
			},
		},
		{
			Name: "config.write_to_watch.vs_bus", Unit: "x", Bound: ratio.AtMost(3),
			Note: "p50 from a write at the service to the value in a client that watches over HTTP, against from Publish to the subscriber, over JetStream",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) {
				ours, theirs, closer, err := writeSides(ctx)
				return ratio.Quantile(0.5, 300, ours, theirs), closer, err
			},
		},
	}
}

type watchedConfig struct {
	Pool int `json:"pool"`
}

// perRead is a loop of its own: calling an Op costs as much as a read does.
func perRead(w *configsvc.Watcher[watchedConfig]) (float64, error) {
	const n = 50_000_000
	sum := 0
	began := time.Now()
	for range n {
		sum += w.Get().Pool
	}
	took := time.Since(began)
	if sum != 7*n {
		return 0, fmt.Errorf("the sum of the reads is %d", sum)
	}
	return float64(took.Nanoseconds()) / n, nil
}

// closing runs closers from the last to the first.
type closing []func()

func (c *closing) add(f func()) { *c = append(*c, f) }

func (c *closing) close() {
	for _, f := range slices.Backward(*c) {
		f()
	}
}

// serveConfig serves a configuration from memory on a socket.
func serveConfig(ctx context.Context, b *bus.Bus, c *closing) (url string, h http.Handler, err error) {
	var l net.Listener
	if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return "", nil, err
	}
	url = "http://" + l.Addr().String()
	s := configstore.New(memconfig.New(), nil)
	h = server.New(s, &server.Options{
		BaseURL: url, Bus: b,
		Allow: server.Grants{{Who: "*", Action: server.Read}, {Who: "*", Action: server.Write}}.Allow,
	})
	hs := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = hs.Serve(l) }()
	c.add(func() { _ = hs.Close() })
	_, err = s.Write(ctx, configstore.Write{Author: "rows", Edits: []configstore.Edit{{Key: "base", Value: pool(7), Expect: configstore.Absent}}})
	return url, h, err
}

func pool(n int) configsvc.Value {
	v, err := configsvc.Parse([]byte(`{"pool":` + strconv.Itoa(n) + `}`))
	if err != nil {
		return configsvc.Value{} // it is the text above
	}
	return v
}

// watchConfig watches what serveConfig serves.
func watchConfig(ctx context.Context, url string, b *bus.Bus, c *closing) (*configsvc.Watcher[watchedConfig], error) {
	client, err := configsvc.NewClient(url, &configsvc.ClientOptions{Bus: b, Poll: time.Hour})
	if err != nil {
		return nil, err
	}
	c.add(func() { _ = client.Close(context.WithoutCancel(ctx)) })
	return configsvc.Watch[watchedConfig](ctx, client, "base", "base/rows")
}

func watched(ctx context.Context) (*configsvc.Watcher[watchedConfig], func(), error) {
	var c closing
	url, _, err := serveConfig(ctx, nil, &c)
	if err != nil {
		c.close()
		return nil, nil, err
	}
	w, err := watchConfig(ctx, url, nil, &c)
	if err != nil {
		c.close()
		return nil, nil, err
	}
	return w, c.close, nil
}

// compileSides returns the compilation of six texts, and the decoding and
// encoding of what comes of it.
func compileSides() (ours, theirs ratio.Op, err error) {
	texts := make([][]byte, 6)
	for layer := range texts {
		doc := map[string]any{}
		for i := range 200 {
			name := fmt.Sprintf("setting-%03d", i)
			if i%2 == 1 {
				name = fmt.Sprintf("setting-%03d-of-%d", i, layer)
			}
			switch i % 4 {
			case 0:
				doc[name] = layer * i
			case 1:
				doc[name] = fmt.Sprint("a text of layer ", layer)
			case 2:
				doc[name] = map[string]any{"timeout": fmt.Sprint(layer, "s"), "enabled": i%3 == 0}
			default:
				doc[name] = []int{layer, i}
			}
		}
		if texts[layer], err = json.Marshal(doc); err != nil {
			return nil, nil, err
		}
	}
	var result []byte
	ours = func() error {
		layers := make([]configsvc.Layer, len(texts))
		for i, text := range texts {
			v, err := configsvc.Parse(text)
			if err != nil {
				return err
			}
			layers[i] = configsvc.Layer{Name: strconv.Itoa(i), Value: v}
		}
		c, err := configsvc.Compile(layers...)
		if err != nil {
			return err
		}
		result = c.Value.JSON()
		return nil
	}
	if err := ours(); err != nil {
		return nil, nil, err
	}
	text := bytes.Clone(result)
	theirs = func() error {
		var v map[string]any
		if err := json.Unmarshal(text, &v); err != nil {
			return err
		}
		_, err := json.Marshal(v)
		return err
	}
	return ours, theirs, nil
}

// writeSides returns a write that is waited for in a watching client, and an
// event that is waited for in a subscriber. Writer, service and reader have a
// connection to the bus each.
func writeSides(ctx context.Context) (ours, theirs ratio.Op, closer func(), err error) {
	var c closing
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	buses, err := openPair(ctx, &c)
	if err != nil {
		return nil, nil, nil, err
	}
	heard := make(chan string, 16)
	if _, err = buses[1].Broadcast(ctx, "plain", bus.BroadcastHandler{Event: func(e bus.Event) { heard <- e.ID }}, nil); err != nil {
		return nil, nil, nil, err
	}
	url, h, err := serveConfig(ctx, buses[0], &c)
	if err != nil {
		return nil, nil, nil, err
	}
	w, err := watchConfig(ctx, url, buses[1], &c)
	if err != nil {
		return nil, nil, nil, err
	}
	changed := make(chan int, 16)
	w.OnChange(func(_, after *watchedConfig) { changed <- after.Pool })
	if err = w.Refresh(ctx); err != nil {
		return nil, nil, nil, err
	}
	n := 7
	ours = func() error {
		n++
		if err := writeConfig(ctx, h, n); err != nil {
			return err
		}
		return arrive(ctx, changed, n)
	}
	theirs = func() error {
		n++
		if err := buses[0].Publish(ctx, "plain", bus.Event{ID: strconv.Itoa(n), Type: "resn.update", Subject: url + "/keys/base"}); err != nil {
			return err
		}
		return arrive(ctx, heard, strconv.Itoa(n))
	}
	return ours, theirs, c.close, nil
}

// writeConfig makes a write in the service's process, as Publish is called in
// the publisher's.
func writeConfig(ctx context.Context, h http.Handler, n int) error {
	body := `{"edits":[{"key":"base","overwrite":true,"value":{"pool":` + strconv.Itoa(n) + `}}]}`
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "http://config.example/changes", strings.NewReader(body))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusCreated {
		return fmt.Errorf("a write was answered by %d: %s", w.Code, w.Body)
	}
	return nil
}

// arrive waits for what was sent.
func arrive[T comparable](ctx context.Context, from <-chan T, want T) error {
	for {
		select {
		case got := <-from:
			if got == want {
				return nil
			}
		case <-time.After(5 * time.Second):
			return fmt.Errorf("%v has not arrived", want)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
