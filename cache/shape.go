package cache

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// shape is what many responses have in common: everything but the body and
// the few field values that differ each time. Entries share it, which is most
// of why an entry is small, and what it says is parsed only once.
//
// A shape is immutable. The first entry that has it answers for its memory:
// where every response has a shape of its own, the byte bound still holds.
type shape struct {
	status       int
	statusLine   string
	proto        string
	major, minor int
	uncompressed bool // the transport inside took a gzip coding off

	fields []shapeField // sorted; an ETag comes first
	names  int          // distinct names among fields
	hasTag bool         // the first own value is the ETag
	// chained says that a cache further in has written a Cache-Status.
	chained bool

	policy policy
	vary   []string
	size   int         // bytes in memory
	owned  atomic.Bool // some entry's cost includes it
	scopes vouchers    // who has to vouch; empty if nobody does
}

// shapeField is one line of the header.
type shapeField struct {
	name  string
	value string
	own   bool // the value is the entry's, not the shape's
	lines int  // on the first line of a name: how many there are
}

// sharedFields lists the fields whose values tend to be the same for many
// responses. A field that isn't listed costs its bytes in each entry.
func sharedField(name string) bool {
	switch name {
	case "Cache-Control", "Content-Type", "Content-Encoding", "Content-Language", "Vary", "Server", "Via",
		"Accept-Ranges", "Allow", "Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options",
		"X-Xss-Protection", "Referrer-Policy", "Permissions-Policy", "Content-Security-Policy", "X-Powered-By",
		"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers",
		"Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Max-Age",
		"Cross-Origin-Resource-Policy", "Timing-Allow-Origin", "Alt-Svc":
		return true
	}
	return false
}

// hopByHop lists the fields that belong to a connection and aren't stored
// (RFC 9111 section 3.1), besides those that Connection names, and those that
// are computed anew for each answer.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization", "Age":
		return true
	}
	return false
}

// connectionNames returns the fields that belong to the connection by which a
// response came. What steers a cache never does (RFC 9110 section 7.6.1).
func connectionNames(h http.Header, target string) (names []string) {
	for _, line := range h["Connection"] {
		names = append(names, fieldNames(line)...)
	}
	return slices.DeleteFunc(names, func(name string) bool { return steers(name, target) })
}

// steers lists the fields that say how a response is stored and when it ends. They
// are stored with it whatever it says: shapes are found by them, and the second
// level gives them back.
func steers(name, target string) bool {
	switch name {
	case "Cache-Control", "Expires", "Date", "Vary", "Cache-Groups":
		return true
	}
	return name == target
}

// maxShapes bounds the table of shapes; entries keep theirs when it is
// emptied.
const maxShapes = 1024

// maxShapeSize is from where a shape isn't in the table, but its entry's alone:
// nobody counts the memory of a table's shape whose entries are gone.
const maxShapeSize = 8 << 10

type shapes struct {
	mu    sync.RWMutex
	byKey map[string]*shape
}

// storedLines returns the lines of a header that are stored, sorted, the ETag
// first.
func (t *Transport) storedLines(h http.Header, drop []string) []shapeField {
	named := connectionNames(h, t.target)
	lines := make([]shapeField, 0, len(h))
	for name, values := range h {
		if len(values) == 0 || hopByHop(name) || slices.Contains(named, name) || slices.Contains(drop, name) {
			continue
		}
		for i, v := range values {
			f := shapeField{name: name, value: v, own: !sharedField(name) || len(v) > 256}
			if i == 0 {
				f.lines = len(values)
			}
			lines = append(lines, f)
		}
	}
	slices.SortStableFunc(lines, func(a, b shapeField) int {
		if a.name == b.name {
			return 0
		}
		if a.name == "Etag" {
			return -1
		}
		if b.name == "Etag" {
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	return lines
}

// shapeOf finds or makes the shape of a response. lines come from
// storedLines; p is what they say.
func (t *Transport) shapeOf(resp *http.Response, h http.Header, lines []shapeField, p policy) *shape {
	key := t.shapeKey(resp, h, lines)
	t.shapes.mu.RLock()
	s := t.shapes.byKey[string(key)]
	t.shapes.mu.RUnlock()
	if s != nil {
		return s
	}
	if s = t.newShape(resp, h, lines, p); s.size > maxShapeSize {
		return s
	}
	t.shapes.mu.Lock()
	defer t.shapes.mu.Unlock()
	if have := t.shapes.byKey[string(key)]; have != nil {
		return have
	}
	if len(t.shapes.byKey) >= maxShapes {
		clear(t.shapes.byKey)
	}
	t.shapes.byKey[string(key)] = s
	return s
}

// shapeKey is equal for responses that may share a shape, and for no others.
func (t *Transport) shapeKey(resp *http.Response, h http.Header, lines []shapeField) (key []byte) {
	key = strconv.AppendInt(key, int64(resp.StatusCode), 10) // transports of programs may leave Status empty
	key = append(key, 0)
	key = append(key, resp.Status...)
	key = append(key, 0)
	key = append(key, resp.Proto...)
	if resp.Uncompressed {
		key = append(key, 1)
	}
	for _, f := range lines {
		key = append(key, 0)
		key = append(key, f.name...)
		if !f.own {
			key = append(key, ':')
			key = append(key, f.value...)
		}
	}
	// A long or targeted policy isn't in the key otherwise.
	if t.target != "" {
		for _, v := range h[t.target] {
			key = append(key, 0, 't')
			key = append(key, v...)
		}
	}
	for _, name := range [...]string{"Cache-Control", "Vary"} {
		for _, v := range h[name] {
			if len(v) > 256 {
				key = append(key, 0, 'l')
				key = append(key, v...)
			}
		}
	}
	return key
}

// newShape copies what it keeps: the strings of a header may hold all of it.
func (t *Transport) newShape(resp *http.Response, h http.Header, lines []shapeField, p policy) *shape {
	s := &shape{
		status: resp.StatusCode, statusLine: strings.Clone(resp.Status),
		proto: strings.Clone(resp.Proto), major: resp.ProtoMajor, minor: resp.ProtoMinor,
		uncompressed: resp.Uncompressed, fields: slices.Clone(lines), policy: p, vary: varyNames(h),
	}
	for i := range s.fields {
		f := &s.fields[i]
		f.name = strings.Clone(f.name)
		if f.own {
			f.value = ""
		} else {
			f.value = strings.Clone(f.value)
		}
		if f.lines > 0 {
			s.names++
		}
		s.size += 64 + len(f.name) + len(f.value)
		s.chained = s.chained || f.name == "Cache-Status"
	}
	s.size += 512
	s.hasTag = len(s.fields) > 0 && s.fields[0].name == "Etag"
	for _, name := range p.scopes {
		scope := t.scopes.get(name, true)
		if scope == nil || p.crowded {
			s.scopes = nil // one that can't vouch is enough
			break
		}
		s.scopes = append(s.scopes, scope)
	}
	return s
}
