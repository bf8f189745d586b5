package discovery

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// pick chooses a node for a request, but none of those tried before. It
// allocates nothing.
func (s *service) pick(split *Split, key string, tried []*node) (Picked, error) {
	if !s.asked.Load() {
		s.asked.Store(true)
	}
	f := s.fleet.Load()
	g := &f.all
	if split != nil {
		if g = f.choose(split, key); g == nil {
			return Picked{}, s.nobody(split)
		}
	}
	n := g.pick(s.resolver.opts.SpillOver, tried)
	if n == nil && len(tried) > 0 {
		n = f.another(split, tried)
	}
	if n == nil {
		return Picked{}, s.nobody(split)
	}
	n.inFlight.Add(1)
	n.picks.Add(1)
	return Picked{node: n, desperate: g.healthy == 0}, nil
}

func (s *service) nobody(split *Split) error {
	if split != nil && len(s.fleet.Load().all.near)+len(s.fleet.Load().all.far) > 0 {
		return fmt.Errorf("discovery: %s: %w of the versions that the binding allows", s.name, ErrNoInstances)
	}
	return fmt.Errorf("discovery: %s: %w is registered that this process can call", s.name, ErrNoInstances)
}

// pick chooses a node: the zone first, then the better one of two.
func (g *group) pick(spill float64, tried []*node) *node {
	pool, home := g.near, true
	if len(pool) == 0 || g.stay != always && rand.Uint32() > g.stay {
		pool, home = g.far, false
	}
	n := better(pool)
	if home && len(g.far) != 0 && n.inFlight.Load() >= queueing {
		if other := better(g.far); float64(other.score())*spill < float64(n.score()) {
			n = other
		}
	}
	if len(tried) == 0 || n == nil || !slices.Contains(tried, n) {
		return n
	}
	if n = untried(pool, tried); n == nil {
		if n = untried(g.near, tried); n == nil {
			n = untried(g.far, tried)
		}
	}
	return n
}

// another looks for a node outside of the group that was chosen, because every
// node there has been tried: any version that the split allows.
func (f *fleet) another(split *Split, tried []*node) *node {
	for i := range f.versions {
		g := &f.versions[i]
		if split != nil && !split.allows(g.version) {
			continue
		}
		if n := untried(g.near, tried); n != nil {
			return n
		}
		if n := untried(g.far, tried); n != nil {
			return n
		}
	}
	return nil
}

// untried returns a node that wasn't tried, beginning anywhere.
func untried(pool, tried []*node) *node {
	if len(pool) == 0 {
		return nil
	}
	at := rand.IntN(len(pool))
	for i := range pool {
		if n := pool[(at+i)%len(pool)]; !slices.Contains(tried, n) {
			return n
		}
	}
	return nil
}

// queueing is how many requests an instance has under way when it may be worth
// to look into other zones.
const queueing = 4

// better draws two nodes and returns the one that promises to be faster. A node
// that warms up is drawn as often as its weight says.
func better(pool []*node) *node {
	switch len(pool) {
	case 0:
		return nil
	case 1:
		return pool[0]
	}
	a, b := draw(pool)
	if b.score() < a.score() {
		return b
	}
	return a
}

// draw returns two different nodes.
func draw(pool []*node) (a, b *node) {
	size := uint64(len(pool))
	for range 3 {
		u := rand.Uint64()
		i, j := (u>>32)*size>>32, (u&(1<<32-1))*(size-1)>>32
		if j >= i {
			j++
		}
		a, b = pool[i], pool[j]
		wa, wb := a.weight.Load(), b.weight.Load()
		if wa == fullWeight && wb == fullWeight {
			return a, b
		}
		// A node that isn't accepted leaves the request to the other one.
		w := rand.Uint32()
		ok, other := w&0xff < wa, w>>8&0xff < wb
		switch {
		case ok && other:
			return a, b
		case ok:
			return a, a
		case other:
			return b, b
		}
	}
	return a, b
}
