package cache

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// served is a response from the store in one allocation: the response, its
// body and the values of its header.
type served struct {
	resp http.Response
	body storedBody
	vals [8]string
}

// seconds returns the age in the words of RFC 9111 section 4.2.3.
func (e *entry) seconds(now int64) int64 { return max(now-e.birth, 0) / int64(time.Second) }

// serveNow is serve with an age and a status of this moment.
func (t *Transport) serveNow(req *http.Request, e *entry, status []byte) *http.Response {
	return t.serve(req, e, strconv.FormatInt(e.seconds(t.nowNano()), 10), string(status))
}

// serve makes a response of an entry. Nothing in it is shared with the entry
// but strings, so whoever gets it may change it.
func (t *Transport) serve(req *http.Request, e *entry, age, status string) *http.Response {
	sh := e.shape
	out := &served{}
	vals := out.vals[:0]
	if n := len(sh.fields) + 2; n > len(out.vals) {
		vals = make([]string, 0, n)
	}
	h := make(http.Header, sh.names+2)
	i := e.values()
	for j := 0; j < len(sh.fields); {
		first := len(vals)
		name := sh.fields[j].name
		for last := j + sh.fields[j].lines; j < last; j++ {
			value := sh.fields[j].value
			if sh.fields[j].own {
				n, next := readLength(e.blob, i)
				value, i = e.blob[next:next+n], next+n
			}
			vals = append(vals, value)
		}
		h[name] = vals[first:len(vals):len(vals)]
	}
	k := len(vals)
	vals = append(vals, age, status)
	h["Age"] = vals[k : k+1 : k+1]
	if sh.chained {
		h["Cache-Status"] = append(h["Cache-Status"], status)
	} else {
		h["Cache-Status"] = vals[k+1 : k+2 : k+2]
	}

	out.body.store, out.body.entry = t.store, e
	out.body.rest = e.body()
	r := &out.resp
	r.Status, r.StatusCode = sh.statusLine, sh.status
	r.Proto, r.ProtoMajor, r.ProtoMinor = sh.proto, sh.major, sh.minor
	r.Header, r.ContentLength, r.Uncompressed = h, int64(len(out.body.rest)), sh.uncompressed
	r.Request, r.Body = req, &out.body
	if req.Method == http.MethodHead {
		out.body.rest = ""
	}
	return &out.resp
}

// storedBody reads the body of an entry.
type storedBody struct {
	store  *store
	entry  *entry // nil for a part of a body
	rest   string
	closed atomic.Bool
}

var errClosedBody = errors.New("cache: read on closed response body")

func (b *storedBody) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, errClosedBody
	}
	if b.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// WriteTo implements [io.WriterTo].
func (b *storedBody) WriteTo(w io.Writer) (int64, error) {
	if b.closed.Load() {
		return 0, errClosedBody
	}
	n, err := io.WriteString(w, b.rest)
	b.rest = b.rest[n:]
	return int64(n), err
}

// Close implements [io.Closer].
func (b *storedBody) Close() error {
	b.closed.Store(true)
	return nil
}

// DecodeOnce returns what decode makes of the whole body. It calls decode
// only once for each stored version and typ, a comparable key that names the
// result's type; the value is shared by everybody and must not be changed. It
// may be called concurrently and whatever was read before.
func (b *storedBody) DecodeOnce(typ any, decode func(body []byte) (any, error)) (any, error) {
	if b.entry == nil {
		return decode([]byte(b.rest))
	}
	if v, ok := b.entry.value(typ); ok {
		return v, nil
	}
	v, err := decode([]byte(b.entry.body()))
	if err != nil {
		return nil, err
	}
	return b.store.setValue(b.entry, typ, v), nil
}
