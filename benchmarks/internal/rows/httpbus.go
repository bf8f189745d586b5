package rows

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/benchmarks/internal/apart"
	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/bus/httpbus"
)

func httpbusRows() []ratio.Row {
	row := func(name, note string, bound float64, theirs func(*natsSides) (ratio.Op, error)) ratio.Row {
		return ratio.Row{Name: name, Unit: "x", Bound: ratio.AtMost(bound), Note: note, Open: func(ctx context.Context) (func() (float64, error), func(), error) {
			s, err := openNATS(ctx)
			if err != nil {
				return nil, nil, err
			}
			get, err := s.httpGet()
			other, err2 := theirs(s)
			if err = errors.Join(err, err2); err != nil {
				s.close()
				return nil, nil, err
			}
			return ratio.Quantile(0.5, natsTurns/2, get, other), s.close, nil
		}}
	}
	return []ratio.Row{
		row("httpbus.get.vs_raw_request", "median of a GET of 1 KB over NATS, against one request of nats.go answered with as many bytes", 1.5, (*natsSides).rawKilobyte),
		row("httpbus.get.vs_reverse_proxy", "the same GET, against plain HTTP through one httputil.ReverseProxy, which like NATS is a process of its own", 1.3, (*natsSides).proxied),
	}
}

// httpGet serves a kilobyte over the bus and returns the GET of it.
func (s *natsSides) httpGet() (ratio.Op, error) {
	server, err := httpbus.Serve(s.ctx, s.to, "svc", kilobyte(), nil)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = server.Shutdown(context.WithoutCancel(s.ctx)) })
	client := &http.Client{Transport: httpbus.NewTransport(s.from, nil)}
	op := func() error { return getOnce(s.ctx, client, "http://svc/x") }
	return op, op()
}

// kilobyte answers with bytes that are made once, as on the raw side.
func kilobyte() http.HandlerFunc {
	body := oneKB()
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }
}

// rawKilobyte has the raw client answer a request with as many bytes.
func (s *natsSides) rawKilobyte() (ratio.Op, error) {
	reply := oneKB()
	if _, err := s.rawTo.QueueSubscribe("raw", "g", func(m *nats.Msg) { _ = m.Respond(reply) }); err != nil {
		return nil, err
	}
	op := func() error {
		got, err := s.rawFrom.Request("raw", []byte("GET /x"), natsPatient)
		if err == nil && len(got.Data) != len(reply) {
			err = errors.New("another answer came")
		}
		return err
	}
	return op, errors.Join(s.rawTo.Flush(), op())
}

// proxied serves the same bytes over TCP behind a proxy.
func (s *natsSides) proxied() (ratio.Op, error) {
	origin, err := s.listen(kilobyte())
	if err != nil {
		return nil, err
	}
	proxy, stop, err := apart.Proxy(s.ctx, origin)
	if err != nil {
		return nil, err
	}
	front := &http.Transport{}
	s.closers = append(s.closers, stop, front.CloseIdleConnections)
	client := &http.Client{Transport: front}
	op := func() error { return getOnce(s.ctx, client, proxy+"/x") }
	return op, op()
}

func (s *natsSides) listen(h http.Handler) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(s.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(ln) }()
	s.closers = append(s.closers, func() { _ = server.Close() })
	return "http://" + ln.Addr().String(), nil
}
