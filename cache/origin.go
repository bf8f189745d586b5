package cache

import (
	"strings"
	"sync"
	"sync/atomic"
)

// maxPrefixes bounds the prefix invalidations that an origin remembers. What
// exceeds it becomes an invalidation of the whole origin.
const maxPrefixes = 32

// origin is what the resources of one origin share.
type origin struct {
	name     string
	gen      atomic.Uint64
	at       atomic.Int64 // when gen or prefixes last changed
	prefixes atomic.Pointer[prefixList]
	refs     int // guarded by the table
}

// prefixList is immutable.
type prefixList struct {
	newest uint64
	items  []prefixGen
}

type prefixGen struct {
	path string
	gen  uint64
}

type originTable struct {
	mu     sync.Mutex
	byName map[string]*origin
	floor  uint64 // generation of the newest origin that was forgotten
}

func (t *originTable) pin(name string) *origin {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := t.byName[name]
	if o == nil {
		o = &origin{name: strings.Clone(name)}
		o.gen.Store(t.floor)
		t.byName[o.name] = o
	}
	o.refs++
	return o
}

func (t *originTable) release(o *origin) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.refs--; o.refs > 0 {
		return
	}
	t.floor = max(t.floor, o.gen.Load())
	if p := o.prefixes.Load(); p != nil {
		t.floor = max(t.floor, p.newest)
	}
	delete(t.byName, o.name)
}

// note invalidates an origin, or the paths of it that begin with prefix.
func (t *originTable) note(name, prefix string, clock *atomic.Uint64, at int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	gen := clock.Add(1)
	o := t.byName[name]
	if o == nil {
		// Nobody in memory depends on it, but a second level may keep some.
		t.floor = gen
		return
	}
	o.at.Store(at)
	old := o.prefixes.Load()
	if prefix == "" || old != nil && len(old.items) == maxPrefixes {
		o.gen.Store(gen)
		o.prefixes.Store(nil)
		return
	}
	list := &prefixList{newest: gen, items: []prefixGen{{prefix, gen}}}
	if old != nil {
		for _, item := range old.items {
			if item.path != prefix {
				list.items = append(list.items, item)
			}
		}
	}
	o.prefixes.Store(list)
}

// generation returns the newest invalidation that covers a path.
func (o *origin) generation(stamp uint64, key string) uint64 {
	gen := o.gen.Load()
	list := o.prefixes.Load()
	if list == nil || list.newest <= stamp {
		return gen
	}
	_, path, _ := splitKey(key)
	for _, item := range list.items {
		if item.gen > gen && strings.HasPrefix(path, item.path) {
			gen = item.gen
		}
	}
	return gen
}
