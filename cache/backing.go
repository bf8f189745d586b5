package cache

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The second level keeps, under a digest of each key, the variants of its
// URI. It is written when a response is stored and read when memory has
// nothing.
//
// What comes back is trusted as far as the ledger can judge it. An entry of
// this very Transport has its stamp, so every notice since counts, and what
// the ledger has forgotten counts as a notice. An entry of somebody else, or
// of this program's last life, gets stamp zero: it obeys HTTP's freshness,
// falls to any notice on record, and isn't vouched for until it was
// validated.

// secondLevel is what the Transport keeps to use a Backing.
type secondLevel struct {
	store  Backing
	ledger *ledger
	self   [16]byte          // tells entries of this Transport from others'
	locks  [32]chan struct{} // by hash, full while somebody changes the variants of a key

	mu      sync.Mutex
	reading map[string]chan struct{} // by key, closed when it was read
	calls   int                      // under way
	closed  bool
	ended   sync.WaitGroup
}

const (
	backingMagic = "swale\x01"
	// maxBackingVariants bounds the variants under one key.
	maxBackingVariants = 16
	// backingTime is how long anybody waits for a store that doesn't answer.
	backingTime = 2 * time.Second
	// maxBackingCalls bounds what waits for a store that doesn't answer. Beyond
	// that it isn't asked.
	maxBackingCalls = 256
)

func newSecondLevel(b Backing, l *ledger) *secondLevel {
	s := &secondLevel{store: b, ledger: l, reading: make(map[string]chan struct{})}
	_, _ = rand.Read(s.self[:]) // never fails
	for i := range s.locks {
		s.locks[i] = make(chan struct{}, 1)
	}
	return s
}

// start runs f, unless too many calls are under way or the Transport was closed,
// and returns what is closed when f has ended. mu is held.
func (s *secondLevel) start(f func()) (done chan struct{}) {
	if s.closed || s.calls >= maxBackingCalls {
		return nil
	}
	s.calls++
	done = make(chan struct{})
	s.ended.Go(func() {
		defer close(done)
		f()
		s.mu.Lock()
		s.calls--
		s.mu.Unlock()
	})
	return done
}

// await waits for the end of what was started, but not for a store that doesn't
// answer.
func await(ctx context.Context, done chan struct{}) {
	patience := time.NewTimer(backingTime)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	case <-ctx.Done():
	}
}

// close waits for what is under way.
func (s *secondLevel) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.ended.Wait()
}

// backingKey is short and printable, and gives no identity away.
func backingKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "swale-" + hex.EncodeToString(sum[:])
}

// lock keeps others from changing the variants of a key, and returns what ends that.
func (s *secondLevel) lock(hash uint64) (unlock func()) {
	l := s.locks[hash%uint64(len(s.locks))]
	l <- struct{}{}
	return func() { <-l }
}

// keep writes e. Nobody waits for it.
func (s *secondLevel) keep(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start(func() { s.write(e) })
}

// write adds e to the variants of its key.
func (s *secondLevel) write(e *entry) {
	defer s.lock(e.hash)()
	key := backingKey(e.key())
	kept := s.encode(e)
	n := 1
	old, _ := s.store.Get(key)
	for image := range images(old) {
		other, ok := decodeImage(image)
		if !ok || other.key != e.key() || n >= maxBackingVariants {
			continue
		}
		if other.vary() == e.blob[e.keyLen:e.values()]+strings.Join(e.shape.vary, ",") {
			if other.self == s.self && other.stamp > e.stamp {
				return // overtaken
			}
			continue
		}
		kept = append(kept, image...)
		n++
	}
	s.store.Set(key, kept)
}

// forget removes every variant of a key.
func (s *secondLevel) forget(ctx context.Context, key string, hash uint64) {
	s.mu.Lock()
	done := s.start(func() {
		defer s.lock(hash)() // or a write that has read them would bring them back
		s.store.Delete(backingKey(key))
	})
	s.mu.Unlock()
	if done != nil {
		await(ctx, done)
	}
}

// readBacking looks for a request's entry in the second level and brings it
// into memory. Readers of one key ask once together.
func (t *Transport) readBacking(a *ask) {
	b := t.backing
	b.mu.Lock()
	done := b.reading[a.key]
	if done == nil {
		// A copy: a reader that was cancelled may reuse his request.
		own := *a
		own.req = &http.Request{URL: a.req.URL, Header: a.req.Header.Clone()}
		done = b.start(func() {
			t.bring(&own)
			b.mu.Lock()
			delete(b.reading, own.key)
			b.mu.Unlock()
		})
		if done == nil {
			b.mu.Unlock()
			return
		}
		b.reading[a.key] = done
	}
	b.mu.Unlock()
	await(a.req.Context(), done)
}

func (t *Transport) bring(a *ask) {
	value, ok := t.backing.store.Get(backingKey(a.key))
	if !ok {
		return
	}
	valid := false
	for image := range images(value) {
		s, ok := decodeImage(image)
		if !ok || s.key != a.key {
			continue
		}
		valid = true
		if !s.matches(a.req.Header) {
			continue
		}
		if e := t.revive(s, a); e != nil {
			if t.store.insert(e, nil) {
				break
			}
			t.store.drop(e)
		}
	}
	if !valid {
		t.logger.Warn("cache: second level holds something that isn't a stored response", "url", a.req.URL.Redacted())
	}
}

// revive makes an entry of what the second level had.
func (t *Transport) revive(s *image, a *ask) *entry {
	resp := &http.Response{
		Status: s.status, StatusCode: int(s.code), Header: s.header, Uncompressed: s.flags&1 != 0,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	p := parsePolicy(s.header, t.target, t.directive)
	if p.noStore && !p.mustUnderstand || int64(len(s.body)) > t.maxEntry {
		return nil
	}
	lines := t.storedLines(s.header, nil)
	e := newEntry(s.key, t.shapeOf(resp, s.header, lines, p), s.selectors, lines, s.body, nil)
	e.hash = a.hash
	e.birth, e.lifetime, e.validated = s.birth, s.lifetime, s.validated
	if s.self == t.backing.self || t.ledger.sabotage.lives {
		e.stamp = s.stamp
		e.marks |= s.marks &^ markOwnsShape
	} else if s.marks&(markLagging|markGroupLag|markOwnWrite) != 0 {
		e.lifetime = 0 // it was good for who asked only
	}
	now := t.nowNano()
	if oldest := now - maxDelta*int64(time.Second); e.birth > now || e.birth < oldest {
		// A clock was set back, or is another one. Nobody knows how old it is, so
		// it is very old.
		e.birth = oldest
	}
	origin, path, _ := splitKey(s.key)
	t.announce(origin, p.scopes)
	e.res = t.ledger.pin(t.ledger.resourceHash(origin, path), origin)
	t.join(e, s.header)
	return e
}

// image is a stored response as the second level has it.
type image struct {
	self                       [16]byte
	key, status, body          string
	code, flags                uint64
	marks                      uint16
	stamp                      uint64
	birth, lifetime, validated int64
	selectors                  http.Header // of the request; a name without a value was absent
	varies                     []string
	header                     http.Header
}

// vary names the variant.
func (s *image) vary() string {
	var b strings.Builder
	for _, name := range s.varies {
		if v, ok := s.selectors[name]; ok {
			writeLength(&b, len(v[0])+1)
			b.WriteString(v[0])
		} else {
			b.WriteByte(0)
		}
	}
	return b.String() + strings.Join(s.varies, ",")
}

func (s *image) matches(h http.Header) bool {
	for _, name := range s.varies {
		v, present := s.selectors[name]
		stored := ""
		if present {
			stored = v[0]
		}
		if !selectorEqual(stored, present, name, h[name]) {
			return false
		}
	}
	return true
}

// An image is: length of the rest (uvarint), then magic, the fields below,
// and a checksum over all of that.

func (s *secondLevel) encode(e *entry) []byte {
	marks := e.marks
	if s.ledger.standing(e) != current {
		marks |= markLagging // which another life of the process can't find out
	}
	b := append([]byte(backingMagic), s.self[:]...)
	flags := uint64(0)
	if e.shape.uncompressed {
		flags = 1
	}
	for _, n := range [...]uint64{
		e.stamp, uint64(marks), flags, uint64(e.shape.status),
		uint64(e.birth), uint64(e.lifetime), uint64(e.validated),
	} {
		b = binary.AppendUvarint(b, n)
	}
	b = appendText(b, e.shape.statusLine)
	b = appendText(b, e.key())
	b = binary.AppendUvarint(b, uint64(len(e.shape.vary)))
	i := int(e.keyLen)
	for _, name := range e.shape.vary {
		b = appendText(b, name)
		n, next := readLength(e.blob, i)
		i = next + max(n-1, 0)
		b = binary.AppendUvarint(b, uint64(n)) // length and one, as in the blob
		b = append(b, e.blob[next:i]...)
	}
	b = binary.AppendUvarint(b, uint64(len(e.shape.fields)))
	for _, f := range e.shape.fields {
		value := f.value
		if f.own {
			n, next := readLength(e.blob, i)
			value, i = e.blob[next:next+n], next+n
		}
		b = appendText(b, f.name)
		b = appendText(b, value)
	}
	b = appendText(b, e.body())
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return append(binary.AppendUvarint(nil, uint64(len(b))), b...)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// images walks over the images in a value, each with its length in front, and
// stops where they don't fit.
func images(value []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(value) > 0 {
			n, w := binary.Uvarint(value)
			if w <= 0 || n > uint64(len(value)-w) {
				return
			}
			if !yield(value[:w+int(n)]) {
				return
			}
			value = value[w+int(n):]
		}
	}
}

// decodeImage reads an image with its length. It reports false for anything
// that encode hasn't written.
func decodeImage(b []byte) (*image, bool) {
	_, w := binary.Uvarint(b)
	if w <= 0 || len(b)-w < len(backingMagic)+16+4 {
		return nil, false
	}
	b = b[w:]
	sum := binary.LittleEndian.Uint32(b[len(b)-4:])
	b = b[:len(b)-4]
	if crc32.ChecksumIEEE(b) != sum || string(b[:len(backingMagic)]) != backingMagic {
		return nil, false
	}
	r := imageReader{b: b[len(backingMagic):]}
	s := &image{selectors: http.Header{}, header: http.Header{}}
	copy(s.self[:], r.take(16))
	s.stamp = r.number()
	marks := r.number()
	s.flags, s.code = r.number(), r.number()
	s.birth, s.lifetime, s.validated = int64(r.number()), int64(r.number()), int64(r.number())
	s.status, s.key = r.text(), r.text()
	for range r.count() {
		name := r.text()
		s.varies = append(s.varies, name)
		if n := r.number(); n > 0 {
			s.selectors[name] = []string{string(r.take(n - 1))}
		}
	}
	for range r.count() {
		name := r.text()
		s.header[name] = append(s.header[name], r.text())
	}
	s.body = r.text()
	s.marks = uint16(marks)
	ok := !r.bad && len(r.b) == 0 && marks <= 0xffff && s.code >= 200 && s.code <= 999 && len(s.key) <= maxKey
	return s, ok && strings.Contains(s.key, "://") && s.lifetime >= 0
}

// imageReader reads until something doesn't fit.
type imageReader struct {
	b   []byte
	bad bool
}

func (r *imageReader) number() uint64 {
	n, w := binary.Uvarint(r.b)
	if w <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[w:]
	return n
}

// count reads the number of items to come, each of which takes a byte at
// least.
func (r *imageReader) count() uint64 {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return n
}

func (r *imageReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *imageReader) text() string { return string(r.take(r.number())) }
