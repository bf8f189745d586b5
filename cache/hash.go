package cache

import "hash/maphash"

// hasher hashes with a seed that no stranger can know. Which of two resources is
// forgotten or evicted first depends on the hashes a little, so tests that have to
// repeat want the same ones in every process.
type hasher struct {
	seed  maphash.Seed
	plain bool // the same in every process; only tests set it
}

func newHasher() hasher { return hasher{seed: maphash.MakeSeed()} }

func (h *hasher) bytes(b []byte) uint64 {
	if h.plain {
		return mix(plainHash(plainStart, b))
	}
	return maphash.Bytes(h.seed, b)
}

func (h *hasher) string(s string) uint64 {
	if h.plain {
		return mix(plainHash(plainStart, s))
	}
	return maphash.String(h.seed, s)
}

// strings hashes two strings, told apart by what is between them.
func (h *hasher) strings(a, between, b string) uint64 {
	if h.plain {
		return mix(plainHash(plainHash(plainHash(plainStart, a), between), b))
	}
	var m maphash.Hash
	m.SetSeed(h.seed)
	_, _ = m.WriteString(a)
	_, _ = m.WriteString(between)
	_, _ = m.WriteString(b)
	return m.Sum64()
}

// plainHash goes on with 64-bit FNV-1a.
func plainHash[T string | []byte](h uint64, s T) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

const plainStart uint64 = 14695981039346656037

// mix spreads what the last bytes were over all bits, by which shards are chosen.
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	return h ^ h>>33
}
