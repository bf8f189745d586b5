package discovery

import (
	"slices"
	"strings"
	"time"
)

// ServiceStats is what a resolver knows of a service at a moment.
type ServiceStats struct {
	Service string
	// Live and Staleness are those of the View.
	Live      bool
	Staleness time.Duration
	// Instances are sorted by ID; those that have left but still have requests
	// under way come last.
	Instances []InstanceStats
}

// InstanceStats is what a resolver knows of an instance at a moment.
type InstanceStats struct {
	ID, Version, Zone, Address string
	Health                     Health
	InFlight                   int
	Latency                    time.Duration // moving average to the answer's first byte
	Weight                     float64       // less than 1 while it warms up
	Picks                      uint64
	Open                       bool // its breaker is open
	Ejected                    bool // it fails more than the others
	Leaving                    bool // it has left the registry
}

// Stats returns what is known of each service that is watched, sorted by name.
func (r *Resolver) Stats() []ServiceStats {
	var all []ServiceStats
	for _, s := range *r.services.Load() {
		all = append(all, s.stats())
	}
	slices.SortFunc(all, func(a, b ServiceStats) int { return strings.Compare(a.Service, b.Service) })
	return all
}

func (s *service) stats() ServiceStats {
	view := s.current()
	st := ServiceStats{Service: s.name, Live: view.Live, Staleness: view.Staleness()}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.nodes {
		st.Instances = append(st.Instances, n.stats())
	}
	slices.SortFunc(st.Instances, func(a, b InstanceStats) int { return strings.Compare(a.ID, b.ID) })
	for n := range s.leaving {
		st.Instances = append(st.Instances, n.stats())
	}
	return st
}

func (n *node) stats() InstanceStats {
	i := n.instance.Load()
	return InstanceStats{
		ID: i.ID, Version: i.Version, Zone: i.Zone, Address: n.address, Health: i.Health,
		InFlight: int(n.inFlight.Load()), Latency: time.Duration(n.latency.Load()),
		Weight: float64(n.weight.Load()) / fullWeight, Picks: n.picks.Load(),
		Open: n.open.Load(), Ejected: n.ejected.Load(), Leaving: n.left.Load(),
	}
}
