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
	vals [12]string
}

// serve makes a response of an entry. Nothing in it is shared with the entry
// but strings, so whoever gets it may change it.
func (t *Transport) serve(req *http.Request, e *entry, now int64, status []byte) *http.Response {
	sh := e.shape
	out := &served{}
	vals := out.vals[:0]
	if n := len(sh.fields) + 2; n > len(out.vals) {
		vals = make([]string, 0, n)
	}
	h := make(http.Header, sh.names+2)
	i := e.values()
	for j := range sh.fields {
		f := &sh.fields[j]
		value := f.value
		if f.own {
			n, next := readLength(e.blob, i)
			value, i = e.blob[next:next+n], next+n
		}
		vals = append(vals, value)
		if k := len(vals); j+1 == len(sh.fields) || sh.fields[j+1].lines > 0 {
			// The last line of this name.
			first := k
			for m := j; ; m-- {
				first--
				if sh.fields[m].lines > 0 {
					break
				}
			}
			h[f.name] = vals[first:k:k]
		}
	}
	age := max(now-e.birth, 0) / int64(time.Second)
	var buf [128]byte
	both := strconv.AppendInt(buf[:0], age, 10)
	ageLen := len(both)
	both = append(both, status...)
	text := string(both)
	vals = append(vals, text[:ageLen])
	k := len(vals)
	h["Age"] = vals[k-1 : k : k]
	if prior := h["Cache-Status"]; prior != nil {
		h["Cache-Status"] = append(prior, text[ageLen:])
	} else {
		vals = append(vals, text[ageLen:])
		h["Cache-Status"] = vals[k : k+1 : k+1]
	}

	out.body.entry = e
	out.body.rest = e.body()
	out.resp = http.Response{
		Status: sh.statusLine, StatusCode: sh.status,
		Proto: sh.proto, ProtoMajor: sh.major, ProtoMinor: sh.minor,
		Header: h, ContentLength: int64(len(out.body.rest)),
		Uncompressed: sh.uncompressed, Request: req, Body: &out.body,
	}
	if req.Method == http.MethodHead {
		out.body.rest = ""
	}
	return &out.resp
}

// storedBody reads the body of an entry.
type storedBody struct {
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
	return b.entry.setValue(typ, v), nil
}
