package discovery

import "net/http"

// A Split says which versions of a service answer, and in which proportion.
// The proportions hold whatever the number of instances of each version. A nil
// Split means all versions alike. A Split that somebody else may read is never
// changed.
type Split struct {
	// Versions are the proportions; a weight of 0 drains a version: it gets
	// nothing new, not even as a substitute, unless it is the Fallback. The version "*" stands for all
	// that aren't named. A version that is neither named nor covered by "*"
	// gets nothing.
	Versions []VersionWeight
	// Fallback is the version used when the chosen one has fewer than
	// MinHealthy healthy instances. Without one, or when it has no healthy
	// instance either, the other versions with a weight are asked.
	Fallback string
	// MinHealthy is how many healthy instances a version needs to be chosen.
	// Default 1.
	MinHealthy int
	// Salt enters the sticky hash, so that splits of different experiments
	// choose independently of each other.
	Salt string
}

// A VersionWeight is one version's share: Weight parts of the sum of all.
type VersionWeight struct {
	Version string
	Weight  uint32
}

// AnyOther is the version that stands for all that a Split doesn't name.
const AnyOther = "*"

// A Splitter chooses a Split for a request; nil means all versions alike. key,
// if not empty, makes the choice sticky: by salted rendezvous hashing the same
// key gets the same version for as long as the weights allow, and a change of
// weights moves no more keys than it has to. Split is called from many
// goroutines at once for every request, and should allocate nothing.
type Splitter interface {
	Split(r *http.Request, service string) (s *Split, key string)
}
