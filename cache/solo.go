package cache

import (
	"sync/atomic"
	"time"
)

// soloTime is how long it is remembered that an answer couldn't be shared.
const soloTime = 5 * time.Second

// soloTable remembers briefly which keys bring answers that can't be stored,
// so that their readers don't wait for one another only to learn that.
type soloTable struct {
	marks [256]atomic.Pointer[soloMark]
}

type soloMark struct {
	hash  uint64
	until int64
}

func (s *soloTable) set(hash uint64, now int64) {
	s.marks[hash%256].Store(&soloMark{hash, now + int64(soloTime)})
}

func (s *soloTable) clear(hash uint64) {
	if s.is(hash, 0) {
		s.marks[hash%256].Store(nil)
	}
}

func (s *soloTable) is(hash uint64, now int64) bool {
	m := s.marks[hash%256].Load()
	return m != nil && m.hash == hash && now < m.until
}
