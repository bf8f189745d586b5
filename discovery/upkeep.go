package discovery

import "time"

// keepUp looks after the nodes once a second: slow starts, ejections, averages
// that nobody refreshes, and services that nobody asks for.
func (r *Resolver) keepUp() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	looked := time.Now()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		look := now.Sub(looked) >= r.opts.Outlier.Interval
		if look {
			looked = now
		}
		for _, s := range *r.services.Load() {
			if s.asked.Swap(false) || s.idle.IsZero() {
				s.idle = now
			}
			if now.Sub(s.idle) >= r.opts.Idle && s.current().Live { // what it knows may be the last there is
				r.forget(s)
				continue
			}
			s.tend(now, look)
		}
	}
}

// tend looks after one service's nodes.
func (s *service) tend(now time.Time, look bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.relax()
	changed := false
	for _, n := range s.nodes {
		if n.ejected.Load() && n.pardoned(now, s.resolver.opts.SlowStart) {
			changed = true
		}
		n.warmer(now)
	}
	if look && s.eject(now) {
		changed = true
	}
	if changed {
		s.rebuild()
	}
}

// relax lets the averages of nodes that got nothing drift towards those of the
// others, or an instance that was slow once would never be tried again.
func (s *service) relax() {
	var sum, count int64
	idle := make([]*node, 0, len(s.nodes))
	for _, n := range s.nodes {
		if n.busy.Swap(false) {
			sum += n.latency.Load()
			count++
		} else {
			idle = append(idle, n)
		}
	}
	if count == 0 {
		return
	}
	usual := sum / count
	for _, n := range idle {
		old := n.latency.Load()
		next := old + (usual-old)/8
		if off := usual - next; max(off, -off) < usual/64 {
			next = usual // close enough to be chosen again
		}
		if n.inFlight.Load() == 0 {
			n.latency.CompareAndSwap(old, next)
		}
	}
}

// eject leaves alone the nodes that failed much more than the rest.
func (s *service) eject(now time.Time) bool {
	o := &s.resolver.opts.Outlier
	type count struct{ done, failed uint32 }
	counts := make(map[*node]count, len(s.nodes))
	var sum count
	ejected := 0
	for _, n := range s.nodes {
		c := count{failed: n.failed.Swap(0)}
		c.done = max(n.done.Swap(0), c.failed)
		counts[n] = c
		sum.done += c.done
		sum.failed += c.failed
		if n.ejected.Load() {
			ejected++
		}
	}
	most := int(o.MaxShare * float64(len(s.nodes)))
	if len(s.nodes) > 1 {
		most = max(1, most)
	}
	changed := false
	for n, c := range counts {
		if c.done < o.MinRequests || n.ejected.Load() {
			continue
		}
		rate := float64(c.failed) / float64(c.done)
		others := sum.done - c.done
		if rate < o.ErrorRate || others == 0 || rate < o.Factor*float64(sum.failed-c.failed)/float64(others) {
			n.acquit()
			continue
		}
		if ejected >= most {
			continue
		}
		n.eject(now, o.Pause)
		ejected++
		changed = true
	}
	return changed
}

func (n *node) eject(now time.Time, pause time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ejections++
	n.until = now.Add(pause * time.Duration(min(n.ejections, 10)))
	n.ejected.Store(true)
}

// acquit forgets earlier ejections.
func (n *node) acquit() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ejections = 0
}

// pardoned ends an ejection whose time is over, with a slow start.
func (n *node) pardoned(now time.Time, slow time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.Before(n.until) {
		return false
	}
	n.ejected.Store(false)
	if slow > 0 {
		n.warm = now.Add(slow)
	}
	return true
}
