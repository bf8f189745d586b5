package cache

// standing is what the ledger says about an entry.
type standing uint8

const (
	// current: no notice came since its question was sent.
	current standing = iota
	// doubted: the question came after the newest notice, but the answer
	// isn't the version that the notice names, or may come from a replica
	// that hadn't seen the change. It is good for who asked, not for others.
	doubted
	// superseded: a notice came after the question was sent.
	superseded
)

// standing compares the entry with everything that it depends on.
func (l *ledger) standing(e *entry) standing {
	if l.all.Load() > e.stamp || e.res.origin.generation(e.stamp, e.blob) > e.stamp {
		return superseded
	}
	for _, g := range e.groups() {
		if g.generation() > e.stamp && !l.sabotage.groups {
			return superseded
		}
	}
	if e.marks&markGroupLag != 0 {
		return doubted
	}
	n := e.res.last.Load()
	if n == nil {
		switch {
		case e.res.base.generation() > e.stamp:
			return superseded
		case e.is(markLagging | markOwnWrite): // what was forgotten
			return doubted
		}
		return current
	}
	named, _, _ := n.naming(e)
	if n.gen > e.stamp {
		// Every notice since the question may have named this very version:
		// then nothing changed. One that named another in between is the end
		// of it, even if a late duplicate names this one again.
		if named && n.prev <= e.stamp {
			if e.is(markOwnWrite) { // it may speak of a change from before that
				return doubted
			}
			return current
		}
		if l.sabotage.notices {
			return current
		}
		return superseded
	}
	switch {
	case e.is(markOwnWrite):
		return doubted
	case named:
		return current
	case n.expects() && n.query == e.query() && !e.is(markPast) && !l.sabotage.tags, e.is(markLagging):
		return doubted
	}
	return current
}

// vouched reports until when somebody vouches for an entry that is current;
// zero means nobody does now.
func (t *Transport) vouched(e *entry, now int64) (until int64) {
	s := e.shape.scopes
	if len(s) == 0 || !e.is(markVouchable) {
		return 0
	}
	until = min(s.until(), e.validated+int64(t.vouchLimit))
	// Read after until: see Scope.Reset.
	if until <= now && (until == 0 || !t.ledger.sabotage.leases) || s.reset() > e.stamp && !t.ledger.sabotage.resets {
		return 0
	}
	return until
}
