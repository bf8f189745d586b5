package discovery

import (
	"math"
	"math/rand/v2"
)

// choose returns the group that a split sends a request to, or nil if it allows
// none that has an instance. A version with fewer than MinHealthy healthy
// instances is replaced by the fallback, then by the other versions. Only when
// nobody is healthy does it return a group of unfit instances.
func (f *fleet) choose(split *Split, key string) *group {
	need := max(1, split.MinHealthy)
	first := f.draw(split, key, -1)
	if first != nil && first.healthy >= need {
		return first
	}
	fallback := f.fallback(split)
	if fallback != nil && fallback.healthy > 0 {
		return fallback
	}
	for ; need > 0; need = min(need-1, 1) {
		if g := f.draw(split, key, need); g != nil {
			return g
		}
	}
	switch {
	case first != nil:
		return first
	case fallback != nil:
		return fallback
	}
	return f.draw(split, key, 0)
}

func (f *fleet) fallback(split *Split) *group {
	if split.Fallback == "" {
		return nil
	}
	return f.version(split.Fallback)
}

// draw chooses among the split's versions by their weights: at random, or the
// one that the key ranks highest. With a need of 0 or more only versions that
// have so many healthy instances take part; otherwise all do, and the answer is
// nil if the one chosen has no instance.
func (f *fleet) draw(split *Split, key string, need int) *group {
	if key != "" {
		return f.rank(split, key, need)
	}
	var sum uint64
	for _, v := range split.Versions {
		if need < 0 || f.serves(split, v, need) {
			sum += uint64(v.Weight)
		}
	}
	if sum == 0 {
		return nil
	}
	at := rand.Uint64N(sum)
	for _, v := range split.Versions {
		if need >= 0 && !f.serves(split, v, need) {
			continue
		}
		if at < uint64(v.Weight) {
			return f.serving(split, v, "", need)
		}
		at -= uint64(v.Weight)
	}
	return nil
}

// rank is weighted rendezvous hashing: each version draws from the key a number
// with exponential distribution, and the one that comes first wins. So a version
// wins in proportion to its weight, and when weights change keys only move to
// versions that gained or away from those that lost.
func (f *fleet) rank(split *Split, key string, need int) *group {
	var best VersionWeight
	lowest := math.Inf(1)
	seed := stickySeed(split.Salt, key)
	for _, v := range split.Versions {
		if v.Weight == 0 || need >= 0 && !f.serves(split, v, need) {
			continue
		}
		if score := arrival(seed, v.Version) / float64(v.Weight); score < lowest {
			best, lowest = v, score
		}
	}
	if best.Weight == 0 {
		return nil
	}
	return f.serving(split, best, key, need)
}

// serves reports whether a version can be chosen at the need.
func (f *fleet) serves(split *Split, v VersionWeight, need int) bool {
	return v.Weight > 0 && f.serving(split, v, "", need) != nil
}

// serving returns the group of a version of the split, with at least need
// healthy instances.
func (f *fleet) serving(split *Split, v VersionWeight, key string, need int) *group {
	if v.Version == AnyOther {
		return f.other(split, key, need)
	}
	if g := f.version(v.Version); g != nil && g.healthy >= need {
		return g
	}
	return nil
}

// other returns a group that the split doesn't name: with a key that which it
// ranks highest, else at random by the number of instances.
func (f *fleet) other(split *Split, key string, need int) *group {
	var best *group
	lowest := math.Inf(1)
	seed := stickySeed(split.Salt, key)
	seen := 0
	for i := range f.versions {
		g := &f.versions[i]
		if split.names(g.version) || g.healthy < need {
			continue
		}
		if key != "" {
			if score := arrival(seed, g.version); score < lowest {
				best, lowest = g, score
			}
			continue
		}
		size := len(g.near) + len(g.far)
		if seen += size; size > 0 && rand.IntN(seen) < size {
			best = g
		}
	}
	return best
}

// names reports whether the split names the version.
func (s *Split) names(version string) bool {
	for i := range s.Versions {
		if s.Versions[i].Version == version {
			return true
		}
	}
	return false
}

// allows reports whether the split lets the version have anything.
func (s *Split) allows(version string) bool {
	if s.Fallback != "" && s.Fallback == version {
		return true
	}
	rest := false
	for _, v := range s.Versions {
		if v.Version == version {
			return v.Weight > 0
		}
		rest = rest || v.Version == AnyOther && v.Weight > 0
	}
	return rest
}

func stickySeed(salt, key string) uint64 { return hash(hash(0, salt), key) }

// arrival is a number with exponential distribution that only depends on what is
// hashed.
func arrival(seed uint64, version string) float64 {
	u := mix(hash(seed, version))>>11 | 1
	return -math.Log(float64(u) / (1 << 53))
}

// hash continues an FNV-1a hash with a string and its length, so that "a", "bc"
// isn't "ab", "c". It must never change: processes agree by it.
func hash(h uint64, s string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h ^= offset
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * prime
	}
	return (h ^ uint64(len(s))) * prime
}

// mix spreads a hash over all bits.
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
