package cache

// sabotage switches off, one by one, what the guarantees rest on. Its zero
// value switches off nothing, and only tests set another: to see that the
// simulator notices. It is asked only where an entry has just been found
// unfit or a question is about to be sent, so a hit doesn't pay for it.
type sabotage struct {
	notices    bool // G1: a notice for the resource doesn't end what is stored
	groups     bool // G1: nor does one for a group
	typed      bool // G1: a decoded value isn't judged
	stamps     bool // G2: a fill counts from when its answer is there
	joins      bool // G2: a question that was overtaken is joined
	resets     bool // G3: entries stay vouched for across a Reset
	leases     bool // G3: a scope is vouched for for ever once it was
	asks       bool // G4: the refill after a notice lets intermediaries answer
	kept       bool // G4: what an intermediary kept is vouched for
	tags       bool // G4: a version that isn't the one noticed is reused
	lags       bool // G4: resn-lag is ignored
	detaches   bool // G5: a cancelled reader takes the question with him
	writes     bool // G6: an own write invalidates nothing
	failures   bool // G6: one that failed doesn't
	references bool // G6: Location and Content-Location don't count
	heads      bool // G8: a HEAD freshens what is stored, whatever it says
	ranges     bool // G8: If-Range doesn't matter
	lives      bool // G3: what another life of the process stored is vouched for
	replicas   bool // G6: what a replica shows after an own write is reused
	forgets    bool // rest: what is forgotten counts as an own write
	drops      bool // rest: what is doubted and can't be validated isn't kept
	erases     bool // G4: an own write erases which version was noticed
}
