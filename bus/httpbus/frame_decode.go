package httpbus

import (
	"encoding/binary"
	"net/http"
	"net/textproto"
	"strings"
)

// decode reads and checks a frame that may have been made by anybody. Its body
// shares data's memory. maxHeader bounds the bytes of the header and of the
// trailer, each with 32 bytes more per line, as RFC 9113 section 6.5.2 counts.
func (f *frame) decode(data []byte, maxHeader int) error {
	*f = frame{}
	if len(data) < 3 {
		return complain("%d bytes", len(data))
	}
	if data[0] != version {
		return complain("version %d", data[0])
	}
	f.kind, f.flags = data[1], data[2]
	r := reader{rest: data[3:], header: maxHeader}
	f.id = r.text(maxID)
	if !plainID(f.id) {
		r.fail("exchange %q", f.id)
	}
	switch f.kind {
	case kindOpen:
		f.open(&r)
	case kindPull:
		f.offset, f.limit, f.wait = r.uint(), r.uint(), r.uint()
	case kindPush:
		f.offset, f.wait = r.uint(), r.uint()
		if f.flags&flagComplete != 0 {
			f.trailer = r.lines()
		}
	case kindCancel:
	case kindReply:
		f.reply(&r)
	case kindTaken:
		f.offset = r.uint()
	default:
		r.fail("kind %d", f.kind)
	}
	f.body = r.rest
	return r.err
}

func (f *frame) open(r *reader) {
	f.method, f.target, f.host = r.text(64), r.text(r.header), r.text(1024)
	f.timeout, f.silence, f.length = r.uint(), r.uint(), r.int()
	f.limit, f.wait = r.uint(), r.uint()
	f.header, f.announced = r.lines(), r.names()
	if f.flags&flagComplete != 0 {
		f.trailer = r.lines()
	}
	if !token(f.method) {
		r.fail("method %q", f.method)
	}
	if f.target == "" || !visible(f.target) {
		r.fail("target %q", f.target)
	}
	if !hostLike(f.host) {
		r.fail("host %q", f.host)
	}
	if f.length < -1 {
		r.fail("length %d", f.length)
	}
}

func (f *frame) reply(r *reader) {
	f.instance = r.text(maxID)
	if !plainID(f.instance) {
		r.fail("instance %q", f.instance)
	}
	f.offset = r.uint()
	if f.flags&flagHead != 0 {
		status := r.uint()
		if status < 200 || status > 999 {
			r.fail("status %d", status)
			return
		}
		f.status = int(status)
		f.length = r.int()
		if f.length < -1 {
			r.fail("length %d", f.length)
		}
		f.header, f.announced = r.lines(), r.names()
	}
	if f.flags&flagEnd != 0 {
		f.trailer = r.lines()
	}
	if f.flags&flagAborted != 0 {
		f.reason = r.text(1024)
	}
	if f.flags&(flagEnd|flagAborted) == flagEnd|flagAborted {
		r.fail("ended and aborted")
	}
}

// reader takes a frame apart; after the first complaint it gives zero values.
type reader struct {
	rest   []byte
	header int // bytes that lines may still take
	err    error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = complain(format, args...)
	}
	r.rest = nil
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > 1<<62 {
		r.fail("number")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail("number")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) text(most int) string {
	n := r.uint()
	if n > uint64(len(r.rest)) || n > uint64(most) {
		r.fail("text of %d bytes", n)
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

func (r *reader) lines() http.Header {
	n := r.uint()
	if n > uint64(len(r.rest))/2 { // a line takes two bytes at least
		r.fail("%d header lines", n)
		return nil
	}
	h := make(http.Header, min(n, 64))
	for range n {
		name, value := r.text(r.header), r.text(r.header)
		if r.header -= len(name) + len(value) + 32; r.header < 0 {
			r.fail("header too large")
		}
		if r.err != nil {
			return nil
		}
		if !token(name) || !fieldValue(value) {
			r.fail("header line %q", name)
			return nil
		}
		key := textproto.CanonicalMIMEHeaderKey(name)
		h[key] = append(h[key], value)
	}
	return h
}

func (r *reader) names() []string {
	n := r.uint()
	if n > 1024 {
		r.fail("%d trailer names", n)
		return nil
	}
	var names []string
	for range n {
		name := r.text(r.header)
		if r.err == nil && !token(name) {
			r.fail("trailer name %q", name)
		}
		if r.err != nil {
			return nil
		}
		names = append(names, textproto.CanonicalMIMEHeaderKey(name))
	}
	return names
}

// token reports whether s is a token (RFC 9110 section 5.6.2).
func token(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return true
}

// fieldValue reports whether s may be the value of a field (RFC 9110 section 5.5):
// no control characters but tabs.
func fieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// visible reports whether s has neither spaces nor control characters.
func visible(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= 0x20 || c == 0x7f {
			return false
		}
	}
	return true
}

func hostLike(s string) bool {
	return visible(s) && !strings.ContainsAny(s, "/\\?#@")
}

// plainID reports whether s is empty or made of a-z and 0-9.
func plainID(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
