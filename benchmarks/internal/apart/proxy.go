package apart

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// Proxy starts an httputil.ReverseProxy in front of origin on a loopback port, and
// returns its URL. stop ends it and waits for that.
func Proxy(ctx context.Context, origin string) (url string, stop func(), err error) {
	return start(ctx, "proxy", origin)
}

func serveProxy(ctx context.Context, origin string) (string, func(), error) {
	target, err := url.Parse(origin)
	if err != nil {
		return "", nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{
		Handler:           &httputil.ReverseProxy{Transport: &http.Transport{}, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }},
		ReadHeaderTimeout: 5 * time.Second,
	}
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String(), func() { _ = server.Close() }, nil
}
