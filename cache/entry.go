package cache

import (
	"encoding/binary"
	"net/http"
	"strings"
	"sync/atomic"
)

// entry is one stored response. What it says never changes; a 304 makes a new
// entry that takes its place. Links and marks are guarded by who owns them.
type entry struct {
	// blob holds the key, the selecting values of the request (Vary), the
	// field values that aren't the shape's, and the body, in one string
	// without pointers: the collector passes it by.
	blob  string
	shape *shape
	res   *record
	rare  *rare
	typed atomic.Pointer[typedValue]

	stamp     uint64 // ledger's number from before the question was sent
	birth     int64  // age = now - birth, Unix nanoseconds
	lifetime  int64  // nanoseconds of freshness from birth
	validated int64  // when it was filled or last validated

	hash   uint64
	next   link   // in its bucket; changed under the lock of the store's shard
	qprev  *entry // in its eviction queue; guarded by the queue
	qnext  *entry
	visits atomic.Uint32
	head   uint32 // offset of the body in blob
	keyLen uint16
	marks  uint16 // see mark
	queue  uint8  // which eviction queue it is in; guarded by the queue

	decoded int32 // bytes that decoded values count for; guarded by the queue
}

// rare is what few entries have.
type rare struct {
	groups []*record
	body   *string // a large body that several versions of an entry share
}

// mark is a bit of an entry's marks.
const (
	markVouchable = 1 << iota // its scope was live around the question
	markLagging               // a notice for the resource came too shortly before the question
	markGroupLag              // a notice for one of its groups did
	markGuessed               // the lifetime is a heuristic
	markOwnsShape             // its cost includes its shape's
	markOwnWrite              // it may be from before an own write that nobody has announced yet
	markPast                  // notices were missed since a version was named, a while ago
)

// typedValue is a value that was decoded from an entry's body.
type typedValue struct {
	typ   any
	value any
	next  *typedValue
}

// separateBody is the size from which a body gets a string of its own, so
// that a 304 doesn't copy it.
const separateBody = 32 << 10

// newEntry lays out a stored response. reqHeader is the request's header,
// lines come from storedLines.
func newEntry(key string, sh *shape, reqHeader http.Header, lines []shapeField, body string, shared *string) *entry {
	size := len(key) + 3*len(sh.vary) + len(body)
	for _, f := range lines {
		if f.own {
			size += len(f.value) + 1 + len(f.value)>>7
		}
	}
	for _, name := range sh.vary {
		for _, v := range reqHeader[name] {
			size += len(v) + 1
		}
	}
	e := &entry{shape: sh, keyLen: uint16(len(key))}
	if sh.owned.CompareAndSwap(false, true) {
		e.marks |= markOwnsShape
	}
	if shared == nil && len(body) >= separateBody {
		shared = &body
	}
	if shared != nil {
		e.rare = &rare{body: shared}
		size -= len(body)
	}
	var b strings.Builder
	b.Grow(size)
	b.WriteString(key)
	var buf [512]byte
	for _, name := range sh.vary {
		v := reqHeader[name]
		if len(v) == 0 {
			b.WriteByte(0)
			continue
		}
		selector := appendSelector(buf[:0], name, v)
		writeLength(&b, len(selector)+1)
		b.Write(selector)
	}
	for _, f := range lines {
		if f.own {
			writeLength(&b, len(f.value))
			b.WriteString(f.value)
		}
	}
	e.head = uint32(b.Len())
	if shared == nil {
		b.WriteString(body)
	}
	e.blob = b.String()
	return e
}

func writeLength(b *strings.Builder, n int) {
	var buf [binary.MaxVarintLen64]byte
	b.Write(binary.AppendUvarint(buf[:0], uint64(n)))
}

// readLength reads a length at s[i:] and returns it with the offset behind.
func readLength(s string, i int) (n, next int) {
	for shift := 0; ; shift += 7 {
		c := s[i]
		i++
		n |= int(c&0x7f) << shift
		if c < 0x80 {
			return n, i
		}
	}
}

func (e *entry) key() string { return e.blob[:e.keyLen] }

func (e *entry) body() string {
	if e.rare != nil && e.rare.body != nil {
		return *e.rare.body
	}
	return e.blob[e.head:]
}

func (e *entry) is(mark uint16) bool { return e.marks&mark != 0 }

func (e *entry) groups() []*record {
	if e.rare == nil {
		return nil
	}
	return e.rare.groups
}

// values returns the offset of the own field values.
func (e *entry) values() int {
	i := int(e.keyLen)
	for range e.shape.vary {
		n, next := readLength(e.blob, i)
		i = next + max(n-1, 0)
	}
	return i
}

// etag returns the ETag or nothing.
func (e *entry) etag() string {
	if !e.shape.hasTag {
		return ""
	}
	n, i := readLength(e.blob, e.values())
	return e.blob[i : i+n]
}

// field returns the first line of a field. It is for slow paths.
func (e *entry) field(name string) string {
	i := e.values()
	for _, f := range e.shape.fields {
		value := f.value
		if f.own {
			n, next := readLength(e.blob, i)
			value, i = e.blob[next:next+n], next+n
		}
		if f.name == name {
			return value
		}
	}
	return ""
}

// matches reports whether the entry may answer a request with that header
// (RFC 9111 section 4.1).
func (e *entry) matches(h http.Header) bool {
	i := int(e.keyLen)
	for _, name := range e.shape.vary {
		n, next := readLength(e.blob, i)
		i = next + max(n-1, 0)
		if !selectorEqual(e.blob[next:i], n > 0, name, h[name]) {
			return false
		}
	}
	return true
}

// sameVariant reports whether two entries of one key would answer the same
// requests.
func (e *entry) sameVariant(o *entry) bool {
	if len(e.shape.vary) != len(o.shape.vary) {
		return false
	}
	for i, name := range e.shape.vary {
		if o.shape.vary[i] != name {
			return false
		}
	}
	return e.blob[e.keyLen:e.values()] == o.blob[o.keyLen:o.values()]
}

// query returns the query of the entry's URI with its "?", in its normal form.
func (e *entry) query() string {
	key := e.key()
	if i := strings.IndexByte(key, 0); i >= 0 {
		key = key[:i]
	}
	if i := strings.IndexByte(key, '?'); i >= 0 {
		return normalQuery(key[i:])
	}
	return ""
}

// hasValidator reports whether the origin can be asked about this version.
func (e *entry) hasValidator() bool {
	return e.shape.hasTag || e.field("Last-Modified") != ""
}

// cost is what the entry occupies in memory, its share of the tables
// included.
func (e *entry) cost() int64 {
	n := sizeClass(len(e.blob)) + 128 + 48 + 32 + int(e.decoded)
	if e.is(markOwnsShape) {
		n += e.shape.size
	}
	if e.rare != nil {
		n += 32 + 8*len(e.rare.groups) + 64*len(e.rare.groups)
		if e.rare.body != nil {
			n += sizeClass(len(*e.rare.body)) + 16
		}
	}
	return int64(n)
}

// sizeClass estimates what the allocator makes of n bytes.
func sizeClass(n int) int {
	switch {
	case n <= 1024:
		return (n + 127) &^ 127
	case n <= 32<<10:
		return n + n/16
	}
	return (n + 8191) &^ 8191
}

// value returns the value of that type that was decoded from the entry.
func (e *entry) value(typ any) (any, bool) {
	for v := e.typed.Load(); v != nil; v = v.next {
		if v.typ == typ {
			return v.value, true
		}
	}
	return nil, false
}

// inherit takes over the values that were decoded from another entry with the
// same body. It is for an entry that nobody else knows yet.
func (e *entry) inherit(old *entry) {
	e.typed.Store(old.typed.Load())
	for v := e.typed.Load(); v != nil; v = v.next {
		e.decoded += e.valueCost()
	}
}

// valueCost is what a decoded value counts for. How large it is can't be told;
// it holds about what the body says.
func (e *entry) valueCost() int32 { return int32(min(len(e.body()), 1<<28) + 64) }

// setValue keeps a decoded value, unless somebody was faster: then that one
// is returned, so that everybody shares one.
func (s *store) setValue(e *entry, typ, value any) any {
	for {
		head := e.typed.Load()
		for v := head; v != nil; v = v.next {
			if v.typ == typ {
				return v.value
			}
		}
		if e.typed.CompareAndSwap(head, &typedValue{typ, value, head}) {
			s.expel(s.queue.grow(e, e.valueCost()))
			return value
		}
	}
}
