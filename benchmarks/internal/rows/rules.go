package rows

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/discovery/rules"
	"github.com/goswale/swale/discovery/thinapi"
)

func rulesRows() []ratio.Row {
	return []ratio.Row{
		{
			Name: "rules.decide.10000.ns", Unit: "ns", Bound: ratio.AtMost(3000),
			Note: "a decision over 10,000 rules by path, region, network and proportion",
			Open: func(context.Context) (func() (float64, error), func(), error) {
				op, err := decide(10_000)
				return func() (float64, error) { return ratio.PerOp(op) }, nil, err
			},
		},
		{
			Name: "rules.decide.10000.vs_10", Unit: "x", Bound: ratio.AtMost(3),
			Note: "the same requests decided over 10,000 rules, against 10",
			Open: func(context.Context) (func() (float64, error), func(), error) {
				many, err := decide(10_000)
				if err != nil {
					return nil, nil, err
				}
				few, err := decide(10)
				return ratio.Versus(many, few), nil, err
			},
		},
		{
			Name: "thinapi.p50.vs_reverse_proxy", Unit: "x", Bound: ratio.AtMost(1.25),
			Note: "p50 of a GET of 1 KB through the thin API with 10,000 rules, against httputil.ReverseProxy",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) { return openDoors(ctx, doorsP50) },
		},
		{
			Name: "thinapi.throughput.vs_reverse_proxy", Unit: "x", Bound: ratio.AtLeast(0.8),
			Note: "requests a second of 16 clients through the same two",
			Open: func(ctx context.Context) (func() (float64, error), func(), error) { return openDoors(ctx, doorsRate) },
		},
	}
}

// mixed are n rules of four kinds in equal parts.
func mixed(n int) *rules.Set {
	set := &rules.Set{}
	for i := range n {
		r := rules.Rule{ID: fmt.Sprint("r", i), Route: &rules.Route{Service: "items"}}
		switch i % 4 {
		case 0:
			r.Match = rules.Match{Path: fmt.Sprintf("/service-%d/*", i/4)}
		case 1:
			r.Match = rules.Match{Path: "/v1/orders/{id}", Region: rules.Is(fmt.Sprint("city-", i/4))}
		case 2:
			r.Match = rules.Match{Path: "/v1/*", Client: []string{fmt.Sprintf("10.%d.%d.0/24", i/1024, i/4%256)}}
		default:
			r.Match = rules.Match{
				Path: fmt.Sprintf("/v2/things/%d/*", i/4), Methods: []string{http.MethodGet},
				Proportion: &rules.Proportion{Percent: 50, By: "attr:customer"},
			}
		}
		set.Rules = append(set.Rules, r)
	}
	return set
}

// decide returns decisions about a thousand requests in turn, most of which
// some rule of 10,000 answers.
func decide(n int) (ratio.Op, error) {
	engine, err := rules.Compile(mixed(n))
	if err != nil {
		return nil, err
	}
	requests := make([]rules.Request, 1000)
	for i := range requests {
		r := rules.Request{
			Method: http.MethodGet, Host: "api.example", Header: http.Header{"Accept": {"application/hal+json"}},
			Client:     netip.AddrFrom4([4]byte{10, byte(i / 256), byte(i), 1}),
			Attributes: map[string]string{"customer": fmt.Sprint("c", i), "region": fmt.Sprint("city-", i)},
		}
		switch i % 3 {
		case 0:
			r.Path = fmt.Sprintf("/service-%d/items/9", i)
		case 1:
			r.Path = "/v1/orders/203"
		default:
			r.Path = fmt.Sprintf("/v2/things/%d/parts", i)
		}
		requests[i] = r
	}
	next := 0
	return func() error {
		engine.Decide(&requests[next])
		if next++; next == len(requests) {
			next = 0
		}
		return nil
	}, nil
}

// listen serves a handler on a loopback port.
func listen(ctx context.Context, h http.Handler) (string, func(), error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(ln) }()
	return "http://" + ln.Addr().String(), func() { _ = server.Close() }, nil
}

// doors are the two sides in front of one server.
type doors struct {
	client       *http.Client
	ours, theirs string
}

func pooled() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 64
	t.MaxIdleConns = 0
	return t
}

// openDoors starts the server, the thin API and the rival.
func openDoors(ctx context.Context, measure func(context.Context, *doors) (float64, error)) (func() (float64, error), func(), error) {
	page := oneKB()
	origin, stop, err := listen(ctx, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/hal+json")
		_, _ = w.Write(page)
	}))
	if err != nil {
		return nil, nil, err
	}
	target, err := url.Parse(origin)
	if err != nil {
		return nil, stop, err
	}
	set := mixed(10_000)
	set.Rules = append(set.Rules,
		rules.Rule{ID: "items", Match: rules.Match{Path: "/items/{id}"}, Route: &rules.Route{URL: origin}},
		rules.Rule{ID: "gentle", Match: rules.Match{Path: "/items/*"}, Throttle: &rules.Throttle{Rate: 1e9, Burst: 1e6, By: "client"}})
	data, err := json.Marshal(set)
	if err != nil {
		return nil, stop, err
	}
	mine, rival := pooled(), pooled()
	door, err := thinapi.New(mine, nil)
	if err == nil {
		err = door.Load(data)
	}
	if err != nil {
		return nil, stop, err
	}
	d := &doors{client: &http.Client{Transport: pooled()}}
	var stops [2]func()
	if d.ours, stops[0], err = listen(ctx, door); err != nil {
		return nil, stop, err
	}
	d.theirs, stops[1], err = listen(ctx, &httputil.ReverseProxy{Transport: rival, Rewrite: func(pr *httputil.ProxyRequest) {
		pr.SetURL(target)
		pr.SetXForwarded()
	}})
	if err != nil {
		return nil, stop, err
	}
	closer := func() {
		_ = door.Close(context.WithoutCancel(ctx))
		d.client.CloseIdleConnections()
		stops[0]()
		stops[1]()
		mine.CloseIdleConnections()
		rival.CloseIdleConnections()
		stop()
	}
	return func() (float64, error) { return measure(ctx, d) }, closer, nil
}

// get sends one request and returns how long it took in nanoseconds.
func (d *doors) get(ctx context.Context, root string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, root+"/items/203", nil)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	resp, err := d.client.Do(req)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, resp.Body)
	took := float64(time.Since(began).Nanoseconds())
	_ = resp.Body.Close()
	if err == nil && (n != 1024 || resp.StatusCode != http.StatusOK) {
		err = fmt.Errorf("%s answered %d with %d bytes", root, resp.StatusCode, n)
	}
	return took, err
}

func doorsP50(ctx context.Context, d *doors) (float64, error) {
	var a, b []float64
	for i := range 800 {
		first, last := d.ours, d.theirs
		if i%2 == 1 {
			first, last = last, first
		}
		x, err := d.get(ctx, first)
		if err != nil {
			return 0, err
		}
		y, err := d.get(ctx, last)
		if err != nil {
			return 0, err
		}
		if i%2 == 1 {
			x, y = y, x
		}
		a, b = append(a, x), append(b, y)
	}
	return ratio.Median(a) / ratio.Median(b), nil
}

func doorsRate(ctx context.Context, d *doors) (float64, error) {
	var ours, theirs float64
	for range 3 { // in turns, since the machine has moods
		a, err := d.rate(ctx, d.ours)
		if err != nil {
			return 0, err
		}
		b, err := d.rate(ctx, d.theirs)
		if err != nil {
			return 0, err
		}
		ours, theirs = ours+a, theirs+b
	}
	return ours / theirs, nil
}

// rate returns requests a second of 16 clients.
func (d *doors) rate(ctx context.Context, root string) (float64, error) {
	const clients = 16
	var group sync.WaitGroup
	var done atomic.Int64
	errs := make([]error, clients)
	began := time.Now()
	for i := range clients {
		group.Go(func() {
			for time.Since(began) < 200*time.Millisecond {
				if _, err := d.get(ctx, root); err != nil {
					errs[i] = err
					return
				}
				done.Add(1)
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return float64(done.Load()) / time.Since(began).Seconds(), nil
}
