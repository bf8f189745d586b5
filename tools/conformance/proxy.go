package conformance

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
)

// Proxy returns a reverse proxy to the origin over rt. It adds and hides
// nothing, hop-by-hop fields neither: what the cache must not keep would
// otherwise be taken out before anybody saw it.
func Proxy(origin *url.URL, rt http.RoundTripper) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.RequestURI = ""
		out.URL.Scheme, out.URL.Host, out.Host = origin.Scheme, origin.Host, ""
		if r.ContentLength == 0 {
			out.Body = nil
		}
		resp, err := rt.RoundTrip(out)
		if err != nil {
			http.Error(w, fmt.Sprintf("proxy: %v", err), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		header := w.Header()
		maps.Copy(header, resp.Header)
		for _, name := range []string{"Date", "Content-Type"} {
			if _, ok := header[name]; !ok {
				header[name] = nil // keep the server from making one up
			}
		}
		w.WriteHeader(resp.StatusCode)
		if _, err := io.Copy(w, resp.Body); err != nil {
			panic(http.ErrAbortHandler) //nolint:forbidigo // the documented way to break off a response whose body was cut short
		}
	})
}

// Origin returns a transport to the tests' origin. It opens a connection per
// request, because net/http repeats a request itself when a kept connection
// turns out closed, and the tests close connections to see what the cache does.
func Origin() *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DisableCompression: true}
}
