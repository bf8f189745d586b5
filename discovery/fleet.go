package discovery

import (
	"cmp"
	"maps"
	"slices"
)

// fleet is a service's nodes arranged for picking. It is made whenever a view or
// a node's fitness changes, and never changed.
type fleet struct {
	all      group
	versions []group // sorted by version
}

// group are the nodes of a version that may be picked: those that are fit or, if
// none is, the least unfit.
type group struct {
	version string
	near    []*node // of the caller's zone
	far     []*node // of its region or, if there are none, of anywhere
	healthy int     // how many are fit, here and anywhere
	stay    uint32  // the chance to stay near, of 2^32-1
}

const always = ^uint32(0)

func newFleet(r *Resolver, nodes map[string]*node) *fleet {
	all := slices.SortedFunc(maps.Values(nodes), func(a, b *node) int {
		return cmp.Compare(a.instance.Load().ID, b.instance.Load().ID)
	})
	byVersion := make(map[string][]*node)
	for _, n := range all {
		v := n.instance.Load().Version
		byVersion[v] = append(byVersion[v], n)
	}
	f := &fleet{}
	var used []*node
	for _, v := range slices.Sorted(maps.Keys(byVersion)) {
		subset := r.subsetOf(byVersion[v])
		used = append(used, subset...)
		f.versions = append(f.versions, newGroup(r, v, subset))
	}
	f.all = newGroup(r, "", used)
	return f
}

// newGroup arranges nodes by fitness and distance.
func newGroup(r *Resolver, version string, nodes []*node) group {
	g := group{version: version, stay: always}
	chosen, healthy := fittest(nodes)
	if healthy {
		g.healthy = len(chosen)
	}
	var region, world []*node
	for _, n := range chosen {
		switch i := n.instance.Load(); {
		case r.near(i):
			g.near = append(g.near, n)
		case r.opts.Region != "" && i.Region == r.opts.Region:
			region = append(region, n)
		default:
			world = append(world, n)
		}
	}
	if g.far = region; len(region) == 0 {
		g.far = world
	}
	if healthy && len(g.near) > 0 && len(g.far) > 0 {
		g.stay = staying(len(g.near), r.countNear(nodes))
	}
	return g
}

// headroom is how much more than its share an instance is trusted to carry: a
// zone that lost less than two sevenths of its instances keeps all its requests.
const headroom = 1.4

// staying is the chance to stay in a zone of which some instances are fit: what
// they can carry of the zone's requests.
func staying(fit, all int) uint32 {
	share := headroom * float64(fit) / float64(max(all, 1))
	if share >= 1 {
		return always
	}
	return uint32(share * float64(always))
}

func (r *Resolver) near(i *Instance) bool { return r.opts.Zone == "" || i.Zone == r.opts.Zone }

// countNear counts the nodes of the own zone that don't leave on purpose.
func (r *Resolver) countNear(nodes []*node) int {
	count := 0
	for _, n := range nodes {
		if i := n.instance.Load(); r.near(i) && i.Health != Draining {
			count++
		}
	}
	return count
}

// fittest returns the fit nodes. If there are none it returns those that only
// this caller thinks ill of, then those that fail, then those that drain: trying
// is better than failing for sure.
func fittest(nodes []*node) (chosen []*node, healthy bool) {
	var tiers [4][]*node
	for _, n := range nodes {
		tier := 0
		switch h := n.instance.Load().Health; {
		case h == Draining:
			tier = 3
		case h == Failing:
			tier = 2
		case !n.fit():
			tier = 1
		}
		tiers[tier] = append(tiers[tier], n)
	}
	for i, tier := range tiers {
		if len(tier) > 0 {
			return tier, i == 0
		}
	}
	return nil, false
}

// version returns the version's group, or nil.
func (f *fleet) version(v string) *group {
	for i := range f.versions {
		if f.versions[i].version == v {
			return &f.versions[i]
		}
	}
	return nil
}

// subsetOf returns the part of a version's nodes that this caller uses: in its
// own zone and elsewhere those whose names, together with the caller's, hash
// highest. So callers spread evenly, and an instance that comes or goes changes
// one place in a subset at most.
func (r *Resolver) subsetOf(nodes []*node) []*node {
	size := r.opts.SubsetSize
	if size <= 0 || len(nodes) <= size {
		return nodes
	}
	ranked := slices.Clone(nodes)
	rank := func(n *node) uint64 { return mix(r.subset ^ hash(0, n.instance.Load().ID)) }
	slices.SortFunc(ranked, func(a, b *node) int { return cmp.Compare(rank(b), rank(a)) })
	var near, far int
	return slices.DeleteFunc(ranked, func(n *node) bool {
		count := &far
		if r.near(n.instance.Load()) {
			count = &near
		}
		*count++
		return *count > size
	})
}
