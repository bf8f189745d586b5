package thinapi

import (
	"net/http"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/rules"
)

// splitsOf makes the splits of routes that share versions.
func splitsOf(all []*rules.Rule) map[*rules.Rule]*discovery.Split {
	splits := map[*rules.Rule]*discovery.Split{}
	for _, r := range all {
		if r.Route == nil || r.Route.Versions == nil {
			continue
		}
		splits[r] = binding.SplitOf(r)
	}
	return splits
}

// Splitter returns the Splitter for the transport under a Handler: where the
// rule that routed a request shares versions, it decides; otherwise next does,
// such as a binding.Table. Next may be nil.
func Splitter(next discovery.Splitter) discovery.Splitter { return splitter{next} }

type splitter struct{ next discovery.Splitter }

// Split returns the shares of the request's rule.
func (s splitter) Split(r *http.Request, service string) (*discovery.Split, string) {
	if x := exchangeOf(r.Context()); x != nil {
		rule := x.verdict.Rule(rules.Answer)
		if split := x.state.splits[rule]; split != nil && rule.Route.Service == service {
			return split, x.verdict.StickyKey(&x.asked)
		}
	}
	if s.next == nil {
		return nil, ""
	}
	return s.next.Split(r, service)
}
