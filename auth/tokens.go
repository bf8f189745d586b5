package auth

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// tokens remembers verified tokens. They are found by a hash that nobody
// outside can foresee, and compared whole.
type tokens struct {
	seed   maphash.Seed
	shards [tokenShards]tokenShard
}

const tokenShards = 16

type tokenShard struct {
	mu     sync.RWMutex
	limit  int
	byHash map[uint64]*verifiedToken
	_      [64]byte
}

type verifiedToken struct {
	token   string
	claims  *Claims
	ends    time.Time
	keys    uint64        // with which of the issuer's keys
	checked atomic.Uint64 // the changes up to which it is known not to be revoked
}

func (t *tokens) init(limit int) {
	t.seed = maphash.MakeSeed()
	for i := range t.shards {
		t.shards[i].byHash = make(map[uint64]*verifiedToken)
		t.shards[i].limit = max(1, limit/tokenShards)
	}
}

func (t *tokens) shard(hash uint64) *tokenShard { return &t.shards[hash>>60] }

func (t *tokens) find(token string) *verifiedToken {
	hash := maphash.String(t.seed, token)
	s := t.shard(hash)
	s.mu.RLock()
	v := s.byHash[hash]
	s.mu.RUnlock()
	if v == nil || v.token != token {
		return nil
	}
	return v
}

// keep remembers a token. In a full shard it takes the place of one that has
// expired, or of any.
func (t *tokens) keep(v *verifiedToken, now time.Time) {
	hash := maphash.String(t.seed, v.token)
	s := t.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.byHash[hash]; !there && len(s.byHash) >= s.limit {
		s.makeRoom(now)
	}
	s.byHash[hash] = v
}

// makeRoom looks at a few, in the map's random order.
func (s *tokenShard) makeRoom(now time.Time) {
	var any uint64
	looked := 0
	for hash, v := range s.byHash {
		if any = hash; !now.Before(v.ends) {
			break
		}
		if looked++; looked == 8 {
			break
		}
	}
	delete(s.byHash, any)
}

func (t *tokens) drop(token string) {
	hash := maphash.String(t.seed, token)
	s := t.shard(hash)
	s.mu.Lock()
	if v := s.byHash[hash]; v != nil && v.token == token {
		delete(s.byHash, hash)
	}
	s.mu.Unlock()
}

func (t *tokens) len() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.RLock()
		n += len(s.byHash)
		s.mu.RUnlock()
	}
	return n
}
