package cache

import (
	"strconv"
	"sync/atomic"
	"time"
)

// sayings keeps the texts of Age and Cache-Status that were written last: a
// resource in demand is answered with the same ones for a second, and
// resources that were fetched together share them.
type sayings [256]atomic.Pointer[saying]

// A saying is what a hit says of itself. It never changes.
type saying struct {
	age, ttl int64 // seconds
	detail   string
	text     string // the age, then the status
	cut      int    // where the status begins
}

// of returns what a hit of that age says.
func (s *sayings) of(age int64, v verdict) *saying {
	ttl := v.seconds()
	slot := &s[uint8(age)^uint8(ttl)]
	if have := slot.Load(); have != nil && have.age == age && have.ttl == ttl && have.detail == v.detail {
		return have
	}
	var buf [128]byte
	b := strconv.AppendInt(buf[:0], age, 10)
	said := &saying{age: age, ttl: ttl, detail: v.detail, cut: len(b)}
	said.text = string(v.appendTo(b))
	slot.Store(said)
	return said
}

// seconds returns the time to live, rounded down as RFC 9211 wants it.
func (v verdict) seconds() int64 {
	ttl := v.ttl / int64(time.Second)
	if v.ttl < 0 {
		ttl = -((-v.ttl + int64(time.Second) - 1) / int64(time.Second))
	}
	return ttl
}
