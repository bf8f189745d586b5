package binding

import (
	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/rules"
)

// SplitOf returns what a rule's route says about versions, as a transport
// wants it.
func SplitOf(r *rules.Rule) *discovery.Split {
	s := &discovery.Split{Fallback: r.Route.Fallback, MinHealthy: r.Route.MinHealthy, Salt: r.Route.Salt}
	if s.Salt == "" {
		s.Salt = r.ID
	}
	for _, v := range r.Route.Versions {
		s.Versions = append(s.Versions, discovery.VersionWeight{Version: v.Version, Weight: v.Weight})
	}
	return s
}
