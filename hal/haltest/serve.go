package haltest

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
)

// Serve returns a transport that answers every request, whatever its host, by
// calling the handler: a whole API under test without a port. It is safe for
// concurrent use if the handler is.
func Serve(h http.Handler) http.RoundTripper { return transport{h} }

type transport struct{ handler http.Handler }

// RoundTrip calls the handler and waits for it to return.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer func() { _ = in.Body.Close() }()
	in.RequestURI, in.RemoteAddr = in.URL.RequestURI(), "127.0.0.1:1"
	if in.Host == "" {
		in.Host = in.URL.Host
	}
	server := *in.URL
	server.Scheme, server.Host = "", ""
	in.URL = &server
	w := &recorder{header: make(http.Header)}
	t.handler.ServeHTTP(w, in)
	w.WriteHeader(http.StatusOK)
	return &http.Response{
		Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: io.NopCloser(bytes.NewReader(w.body.Bytes())), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

type recorder struct {
	header, sent http.Header
	status       int
	body         bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}
