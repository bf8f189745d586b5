package httpbus

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// response is the http.ResponseWriter that the handler writes to. Only the
// handler's goroutine uses it, until the flow lets the reader see the head.
type response struct {
	x      *exchange
	header http.Header

	status    int // 0 until WriteHeader
	sent      http.Header
	announced []string
	length    int64 // declared, -1 unknown
	written   int64
	sniffed   bool
	trailer   http.Header // set by finish
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Informational statuses are dropped.
func (w *response) WriteHeader(status int) {
	if w.status != 0 || status >= 100 && status < 200 {
		return
	}
	if status < 200 || status > 999 {
		w.x.server.opts.Logger.Error("httpbus: handler wrote an invalid status", "status", status)
		status = http.StatusInternalServerError
	}
	w.status, w.length = status, -1
	for _, line := range w.header["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); mayTrail(name) {
				w.announced = append(w.announced, name)
			}
		}
	}
	w.sent = make(http.Header, len(w.header)+2)
	for name, values := range endToEnd(w.header) {
		if !token(name) || strings.HasPrefix(name, http.TrailerPrefix) || slices.Contains(w.announced, name) {
			continue
		}
		for _, v := range values {
			w.sent[name] = append(w.sent[name], clean(v))
		}
	}
	if v := w.sent.Get("Content-Length"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err == nil && n >= 0 {
			w.length = n
		}
		w.sent.Del("Content-Length")
	}
	if _, ok := w.header["Date"]; !ok {
		w.sent["Date"] = []string{time.Now().UTC().Format(http.TimeFormat)}
	}
}

// clean makes a handler's header value one that may be sent.
func clean(v string) string {
	if fieldValue(v) {
		return strings.Trim(v, " \t")
	}
	return strings.Trim(strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, v), " \t")
}

// bodyAllowed reports whether a response with the status has a body (RFC 9110
// section 6.4.1).
func bodyAllowed(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// Write implements http.ResponseWriter. It waits while the client is slower.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !bodyAllowed(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	w.sniff(p)
	if w.length >= 0 && w.written+int64(len(p)) > w.length {
		return 0, http.ErrContentLength
	}
	if w.x.request.Method == http.MethodHead {
		w.written += int64(len(p))
		return len(p), nil
	}
	n, err := w.x.out.write(w.x.ctx, p)
	w.written += int64(n)
	return n, err
}

// WriteString implements io.StringWriter.
func (w *response) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// sniff completes the head by what the first bytes say, as net/http does.
func (w *response) sniff(p []byte) {
	if w.sniffed {
		return
	}
	w.sniffed = true
	_, typed := w.sent["Content-Type"]
	if !typed && w.sent.Get("Content-Encoding") == "" {
		if _, set := w.header["Content-Type"]; !set {
			w.sent["Content-Type"] = []string{http.DetectContentType(p)}
		}
	}
}

// Flush implements http.Flusher.
func (w *response) Flush() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.sniffed = true
	w.x.out.flush()
}

// FlushError is Flush for http.ResponseController.
func (w *response) FlushError() error {
	w.Flush()
	return w.x.ctx.Err()
}

// EnableFullDuplex says that reading the request while writing the response is
// fine, for http.ResponseController.
func (w *response) EnableFullDuplex() error { return nil }

// finish completes the response after the handler has returned, or says why it
// isn't one.
func (w *response) finish() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	head := w.x.request.Method == http.MethodHead
	if w.length >= 0 && w.written < w.length && !head && bodyAllowed(w.status) {
		return fmt.Errorf("the handler wrote %d of %d bytes: %w", w.written, w.length, io.ErrUnexpectedEOF)
	}
	// A response that was never flushed has a length that is known, unless it
	// has a trailer. The reader can't have seen the head yet.
	if w.length < 0 && len(w.announced) == 0 && bodyAllowed(w.status) && (!head || w.written > 0) && !w.x.out.started() {
		w.length = w.written
	}
	for name, values := range w.header {
		key, prefixed := strings.CutPrefix(name, http.TrailerPrefix)
		key = http.CanonicalHeaderKey(key)
		if !prefixed && !slices.Contains(w.announced, key) || !mayTrail(key) {
			continue
		}
		if w.trailer == nil {
			w.trailer = make(http.Header)
		}
		for _, v := range values {
			w.trailer[key] = append(w.trailer[key], clean(v))
		}
	}
	return nil
}

// head writes status and header into a reply.
func (w *response) head(f *frame) {
	f.status, f.header, f.announced, f.length = w.status, w.sent, w.announced, w.length
}
