package discovery

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// service is what a resolver knows of one service.
type service struct {
	resolver *Resolver
	name     string
	ctx      context.Context
	cancel   context.CancelFunc
	ready    chan struct{} // closed when there is a fleet
	ended    chan struct{} // closed when the watch is over
	budget   budget

	fleet atomic.Pointer[fleet] // swapped, never changed
	asked atomic.Bool           // since the last upkeep
	idle  time.Time             // upkeep only: not asked for since
	feed  *feed

	mu      sync.Mutex // while a fleet is made
	view    View
	nodes   map[string]*node // by instance ID
	leaving map[*node]struct{}
	over    bool
}

func newService(r *Resolver, name string) *service {
	s := &service{
		resolver: r, name: name, ready: make(chan struct{}), ended: make(chan struct{}),
		nodes: make(map[string]*node), leaving: make(map[*node]struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(r.ctx)
	s.feed = newFeed(r.registry, name, s.update)
	return s
}

// run watches until the service is forgotten.
func (s *service) run() {
	defer close(s.ended)
	_ = s.resolver.registry.watch(s.ctx, s.name, s.feed) // the error says only that it is over
	s.close()
}

// close stops the timers of the nodes.
func (s *service) close() {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for _, n := range s.nodes {
		n.stop()
	}
}

// update takes a new view from the watch.
func (s *service) update(v View) {
	s.take(v)
	if s.resolver.opts.OnView != nil {
		s.resolver.opts.OnView(v)
	}
}

func (s *service) take(v View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.fleet.Load() == nil
	s.view = v
	now := time.Now()
	gone := s.nodes
	s.nodes = make(map[string]*node, len(v.Instances))
	latency := s.usualLatency(gone)
	for i := range v.Instances {
		instance := &v.Instances[i]
		scheme, address := s.resolver.endpoint(instance)
		if address == "" {
			continue // no way for us to call it
		}
		n := gone[instance.ID]
		if n == nil || n.address != address || n.scheme != scheme {
			n = newNode(s, scheme, address, latency)
			n.warmUp(now, instance.Started, first)
		} else {
			delete(gone, instance.ID)
		}
		n.instance.Store(instance)
		s.nodes[instance.ID] = n
	}
	for _, n := range gone {
		n.stop()
		n.left.Store(true)
		if n.inFlight.Load() > 0 {
			s.leaving[n] = struct{}{}
		}
	}
	s.rebuild()
	if first {
		close(s.ready)
	}
}

// usualLatency is what a new instance is assumed to take.
func (s *service) usualLatency(nodes map[string]*node) time.Duration {
	var sum, count int64
	for _, n := range nodes {
		if l := n.latency.Load(); l > 0 {
			sum += l
			count++
		}
	}
	if count == 0 {
		return 0
	}
	return time.Duration(sum / count)
}

// changed makes a new fleet because a node's fitness has changed.
func (s *service) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.rebuild()
	}
}

// rebuild makes a fleet of the nodes; the mutex is held.
func (s *service) rebuild() {
	s.fleet.Store(newFleet(s.resolver, s.nodes))
}

// current returns the view, with what is known of its age.
func (s *service) current() View { return *s.feed.latest.Load() }

// endpoint returns the endpoint that the caller prefers.
func (r *Resolver) endpoint(i *Instance) (scheme, address string) {
	for _, scheme := range r.opts.Schemes {
		if address := i.Endpoint(scheme); address != "" {
			return scheme, address
		}
	}
	return "", ""
}
