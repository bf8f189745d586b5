package rules

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// node is a place in the tree of paths of one host.
type node struct {
	literal map[string]*node
	param   *node
	here    *leaf        // patterns that end here
	open    *leaf        // patterns that end in /* here
	always  *leaf        // no pattern, at the root: also for paths that don't begin with /
	best    [kinds]int32 // the first rank of each kind, here and below
}

// leaf holds the rules of one host and pattern.
type leaf struct {
	rules []*compiled // all of them, by rank
	best  [kinds]int32
	kinds uint8       // of things that its rules do
	rest  []*compiled // those that no dimension holds, by rank
	dims  []dimension
	nets  []network
	// Where rules look at more header fields or attributes than a request
	// has, the request's are looked up among the rules' instead.
	headers, attributes map[string]*dimension
	byInput             map[source]int // places in dims while it is made
}

// dimension holds those rules of a leaf that need one of some values of an
// input: the request's value finds them.
type dimension struct {
	from   source
	values map[string][]*compiled
}

// network holds those rules that need a client in a network of that length.
type network struct {
	bits  int
	v4    bool
	rules map[netip.Prefix][]*compiled
}

// few is how many rules of a leaf are compared rather than looked up.
const few = 8

// add puts a rule into the tree of each of its hosts. Rules come by rank, so
// lists are in order.
func (e *Engine) add(c *compiled) {
	if c.rule.Match.Hosts == nil {
		e.any.add(c)
		return
	}
	seen := map[string]bool{}
	for _, host := range c.rule.Match.Hosts {
		if seen[host] {
			continue
		}
		seen[host] = true
		trees := e.exact
		name, wild := strings.CutPrefix(host, "*.")
		if wild {
			trees = e.below
		}
		if trees[name] == nil {
			trees[name] = &node{}
		}
		trees[name].add(c)
	}
}

func (n *node) add(c *compiled) {
	for _, s := range c.pattern.segments {
		n = n.child(s)
	}
	end := &n.here
	switch {
	case c.pattern.any:
		end = &n.always
	case c.pattern.open:
		end = &n.open
	}
	if *end == nil {
		*end = &leaf{}
	}
	(*end).rules = append((*end).rules, c)
}

func (n *node) child(s segment) *node {
	if s.param {
		if n.param == nil {
			n.param = &node{}
		}
		return n.param
	}
	if n.literal == nil {
		n.literal = map[string]*node{}
	}
	if n.literal[s.text] == nil {
		n.literal[s.text] = &node{}
	}
	return n.literal[s.text]
}

// seal makes the dimensions of every leaf and notes where the best are.
func (e *Engine) seal() {
	e.any.seal()
	for _, trees := range []map[string]*node{e.exact, e.below} {
		for _, n := range trees {
			n.seal()
		}
	}
}

func (n *node) seal() {
	for k := range n.best {
		n.best[k] = math.MaxInt32
	}
	for _, l := range []*leaf{n.here, n.open, n.always} {
		if l != nil {
			l.seal()
			n.take(l.best)
		}
	}
	for _, child := range n.literal {
		child.seal()
		n.take(child.best)
	}
	if n.param != nil {
		n.param.seal()
		n.take(n.param.best)
	}
}

func (n *node) take(best [kinds]int32) {
	for k := range n.best {
		n.best[k] = min(n.best[k], best[k])
	}
}

// access is a way to find a rule: by one of its conditions on values, or, if
// cond is -1, by its networks.
type access struct {
	cond int
}

// seal finds for each rule the condition that fewest others of the leaf share.
func (l *leaf) seal() {
	for k := range l.best {
		l.best[k] = math.MaxInt32
		for _, c := range l.rules {
			if c.kinds&(1<<k) != 0 {
				l.best[k], l.kinds = c.rank, l.kinds|1<<k
				break
			}
		}
	}
	if len(l.rules) <= few {
		l.rest = l.rules
		return
	}
	type use struct{ input, value string }
	uses := map[use]int{}
	for _, c := range l.rules {
		for _, k := range c.conds {
			for _, v := range k.value.OneOf {
				uses[use{k.from.String(), v}]++
			}
		}
		for _, n := range c.nets {
			uses[use{"client", n.String()}]++
		}
	}
	for _, c := range l.rules {
		ways := make(map[access]int)
		for i, k := range c.conds {
			for _, v := range k.value.OneOf {
				ways[access{i}] = max(ways[access{i}], uses[use{k.from.String(), v}])
			}
		}
		for _, n := range c.nets {
			ways[access{-1}] = max(ways[access{-1}], uses[use{"client", n.String()}])
		}
		l.place(c, ways)
	}
	slices.SortFunc(l.nets, func(a, b network) int { return cmp.Compare(b.bits, a.bits) })
	l.byName()
}

// place puts a rule where its best way finds it.
func (l *leaf) place(c *compiled, ways map[access]int) {
	best, shared := access{-2}, math.MaxInt
	for way, n := range ways {
		if n < shared || n == shared && way.cond < best.cond {
			best, shared = way, n
		}
	}
	switch best.cond {
	case -2:
		l.rest = append(l.rest, c)
	case -1:
		for _, n := range c.nets {
			l.network(n).rules[n] = append(l.network(n).rules[n], c)
		}
	default:
		k := c.conds[best.cond]
		d := l.dimension(k.from)
		for _, v := range slices.Compact(slices.Sorted(slices.Values(k.value.OneOf))) {
			d.values[v] = append(d.values[v], c)
		}
	}
}

func (l *leaf) dimension(from source) *dimension {
	i, known := l.byInput[from]
	if !known {
		if l.byInput == nil {
			l.byInput = map[source]int{}
		}
		i = len(l.dims)
		l.byInput[from] = i
		l.dims = append(l.dims, dimension{from, map[string][]*compiled{}})
	}
	return &l.dims[i]
}

func (l *leaf) network(p netip.Prefix) *network {
	for i := range l.nets {
		if l.nets[i].bits == p.Bits() && l.nets[i].v4 == p.Addr().Is4() {
			return &l.nets[i]
		}
	}
	l.nets = append(l.nets, network{p.Bits(), p.Addr().Is4(), map[netip.Prefix][]*compiled{}})
	return &l.nets[len(l.nets)-1]
}

// byName moves dimensions into maps where there are many.
func (l *leaf) byName() {
	var rest []dimension
	for _, d := range l.dims {
		switch {
		case len(l.dims) <= few:
			rest = append(rest, d)
		case d.from.kind == fromHeader:
			if l.headers == nil {
				l.headers = map[string]*dimension{}
			}
			l.headers[d.from.name] = &d
		case d.from.kind == fromAttribute && d.from.derived == nil:
			if l.attributes == nil {
				l.attributes = map[string]*dimension{}
			}
			l.attributes[d.from.name] = &d
		default:
			rest = append(rest, d)
		}
	}
	l.dims, l.byInput = rest, nil
}

// search is one decision under way.
type search struct {
	request *Request
	client  netip.Addr
	best    [kinds]int32
	won     [kinds]*compiled
	looked  int // rules that were compared
}

func newSearch(r *Request) search {
	s := search{request: r, client: r.Client.Unmap()}
	for k := range s.best {
		s.best[k] = math.MaxInt32
	}
	return s
}

// hopeless reports whether nothing with these ranks can still win.
func (s *search) hopeless(best *[kinds]int32) bool {
	for k := range best {
		if best[k] < s.best[k] {
			return false
		}
	}
	return true
}

// worst is the rank from which no rule that does only these kinds of things
// can win anything.
func (s *search) worst(only uint8) int32 {
	w := int32(-1)
	for k, b := range s.best {
		if only&(1<<k) != 0 {
			w = max(w, b)
		}
	}
	return w
}

// find looks in the trees of the request's host, from the narrowest.
func (e *Engine) find(s *search) {
	path := s.request.Path
	if len(e.exact) > 0 || len(e.below) > 0 {
		host := hostname(s.request.Host)
		if n := e.exact[host]; n != nil {
			n.enter(s, path)
		}
		for i := strings.IndexByte(host, '.'); i >= 0 && len(e.below) > 0; {
			host = host[i+1:]
			if n := e.below[host]; n != nil {
				n.enter(s, path)
			}
			i = strings.IndexByte(host, '.')
		}
	}
	e.any.enter(s, path)
}

// enter begins at the root of a tree.
func (n *node) enter(s *search, path string) {
	if s.hopeless(&n.best) {
		return
	}
	if rest, ok := strings.CutPrefix(path, "/"); ok {
		n.walk(s, rest, true)
	}
	n.always.look(s)
}

// walk visits every place whose patterns match the path; more says whether
// segments follow.
func (n *node) walk(s *search, path string, more bool) {
	if s.hopeless(&n.best) {
		return
	}
	if more {
		text, rest, further, valid := cutSegment(path)
		if valid {
			if child := n.literal[text]; child != nil {
				child.walk(s, rest, further)
			}
		}
		if n.param != nil && (text != "" || !valid) {
			n.param.walk(s, rest, further)
		}
	} else {
		n.here.look(s)
	}
	n.open.look(s)
}

// look compares those rules of a leaf that may match.
func (l *leaf) look(s *search) {
	if l == nil || s.hopeless(&l.best) {
		return
	}
	s.try(l.rest, l.kinds)
	for i := range l.dims {
		d := &l.dims[i]
		if value := d.from.of(s.request); value != "" {
			s.try(d.values[value], l.kinds)
		}
	}
	if l.headers != nil {
		for name := range s.request.Header {
			s.tryDimension(l.headers[name], l.kinds)
		}
	}
	if l.attributes != nil {
		for name := range s.request.Attributes {
			s.tryDimension(l.attributes[name], l.kinds)
		}
	}
	for i := range l.nets {
		n := &l.nets[i]
		if s.client.IsValid() && n.v4 == s.client.Is4() {
			if p, err := s.client.Prefix(n.bits); err == nil {
				s.try(n.rules[p], l.kinds)
			}
		}
	}
}

func (s *search) tryDimension(d *dimension, only uint8) {
	if d != nil {
		s.try(d.values[d.from.of(s.request)], only)
	}
}

// try compares rules, which are in order, as long as one can still win.
func (s *search) try(rules []*compiled, only uint8) {
	worst := s.worst(only)
	for _, c := range rules {
		if c.rank >= worst {
			return
		}
		wins := false
		for k := range s.best {
			wins = wins || c.kinds&(1<<k) != 0 && c.rank < s.best[k]
		}
		if !wins {
			continue
		}
		s.looked++
		if !c.matches(s.request, s.client) {
			continue
		}
		for k := range s.best {
			if c.kinds&(1<<k) != 0 && c.rank < s.best[k] {
				s.best[k], s.won[k] = c.rank, c
			}
		}
		worst = s.worst(only)
	}
}
