package rules

import (
	"math"
	"math/bits"
)

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
	million   = 1_000_000
)

// Cohort hashes a key with a salt: FNV-1a (64 bits) over the salt, a zero
// byte and the key, then the finalizer of MurmurHash3, whose every bit depends
// on every other. It is the same in every process and version.
func Cohort(salt, key string) uint64 { return finish(fnv(salted(salt), key)) }

// Takes reports whether a proportion with that salt takes a key, as a rule with
// {"percent": percent, "salt": salt} would: for programs that choose among
// something else than requests. Without a key nobody is taken.
func Takes(salt, key string, percent float64) bool {
	return key != "" && percent > 0 && partPerMillion(Cohort(salt, key)) < below(percent)
}

// below is a percentage in parts per million.
func below(percent float64) uint32 { return uint32(math.Round(percent * million / 100)) }

// salted is the state of the hash after the salt.
func salted(salt string) uint64 { return fnv(fnvOffset, salt) * fnvPrime }

func fnv(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * fnvPrime
	}
	return h
}

func finish(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// partPerMillion maps a hash evenly to 0 to 999,999.
func partPerMillion(h uint64) uint32 {
	hi, _ := bits.Mul64(h, million)
	return uint32(hi)
}

// cohort is a Proportion that was compiled.
type cohort struct {
	by    source
	state uint64 // of the hash, after the salt
	below uint32 // parts per million
}

func (c *cohort) has(r *Request) bool {
	key := c.by.of(r)
	return key != "" && partPerMillion(finish(fnv(c.state, key))) < c.below
}
