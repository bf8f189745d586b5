package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Limits of what is accepted.
const (
	MaxRules    = 100_000
	MaxBytes    = 64 << 20 // of a set as JSON
	MaxSegments = 64       // of a path pattern
	MaxList     = 10_000   // entries of one list in a match
)

// Set is all rules of one place, as data. Its JSON Schema is [Schema]. It is not
// to be changed while somebody reads it, as Accept and Compile do; the [Engine]
// that they make is safe for concurrent use.
type Set struct {
	// Trust says who is believed about an input that rules look at:
	// "header:X-Region": "proxy". Query parameters and cookies are always the
	// client's.
	Trust map[Input]Trust `json:"trust,omitempty"`
	// Derive makes attributes of inputs: "region": "header:X-Region". An
	// attribute that the server sets itself is not derived.
	Derive map[string]Input `json:"derive,omitempty"`
	// Rules are in no particular order.
	Rules []Rule `json:"rules"`
}

// Trust says whose word about an input is taken.
type Trust string

// The two kinds of trust.
const (
	// TrustClient takes anybody's word, so that clients may choose by it.
	TrustClient Trust = "client"
	// TrustProxy takes the word of proxies that the server trusts.
	TrustProxy Trust = "proxy"
)

// Rule is one rule: what it matches and what it does. It does at least one
// thing, and doesn't both route and respond.
type Rule struct {
	// ID names the rule in metrics, explanations and ties. It is unique.
	ID string `json:"id"`
	// Note is for people.
	Note string `json:"note,omitempty"`
	// Priority comes before specificity, from -1000 to 1000.
	Priority int `json:"priority,omitempty"`
	// Disabled keeps the rule and doesn't use it.
	Disabled bool `json:"disabled,omitempty"`
	// Allow are the kinds of findings that are meant: "shadowed".
	Allow []FindingKind `json:"allow,omitempty"`
	Match Match         `json:"match,omitzero"`

	Route     *Route     `json:"route,omitempty"`
	Respond   *Respond   `json:"respond,omitempty"`
	Throttle  *Throttle  `json:"throttle,omitempty"`
	Deprecate *Deprecate `json:"deprecate,omitempty"`
	Shadow    *Shadow    `json:"shadow,omitempty"`
}

// Match is what a rule asks of a request. Everything that is given must hold;
// the zero Match holds for every request.
type Match struct {
	// Methods are the request methods, such as "GET". HEAD isn't GET.
	Methods []string `json:"methods,omitempty"`
	// Hosts are names without port, "api.example", or "*.example" for every
	// name below.
	Hosts []string `json:"hosts,omitempty"`
	// Path is a pattern: "/orders/{id}", "/orders/*".
	Path string `json:"path,omitempty"`
	// Client are networks, "10.0.0.0/8", or addresses.
	Client []string `json:"client,omitempty"`
	// Region and Source are the attributes "region" and "source".
	Region Value `json:"region,omitzero"`
	Source Value `json:"source,omitzero"`
	// Headers, Query, Cookies and Attributes are conditions by name.
	Headers    map[string]Value `json:"headers,omitempty"`
	Query      map[string]Value `json:"query,omitempty"`
	Cookies    map[string]Value `json:"cookies,omitempty"`
	Attributes map[string]Value `json:"attributes,omitempty"`
	// Proportion narrows to a part of what else matches.
	Proportion *Proportion `json:"proportion,omitempty"`
}

// Proportion is a salted part of all requests, or of all keys.
type Proportion struct {
	// Percent is from 0 to 100, to four decimals.
	Percent float64 `json:"percent"`
	// By is the input that stays in or out as a whole: "attr:customer".
	// "request" takes each request by its own id.
	By Input `json:"by"`
	// Salt sets cohorts apart. Default: the rule's id.
	Salt string `json:"salt,omitempty"`
}

// Route sends the request to a service, or to a place outside of discovery.
type Route struct {
	// Service is the name of a service; requests go to http://SERVICE/.
	Service string `json:"service,omitempty"`
	// URL is the origin of a backend that discovery doesn't know:
	// "https://old.example".
	URL string `json:"url,omitempty"`
	// Path rewrites the path: "/orders/{id}/*" takes {id}, and what * stood
	// for, from the match's pattern. Default: the path stays.
	Path string `json:"path,omitempty"`
	// Versions share the requests by weight; weight 0 drains. Default: the
	// service's binding decides.
	Versions []Version `json:"versions,omitempty"`
	// Fallback is the version to use when those with weight have too few
	// healthy instances. Default: any version.
	Fallback string `json:"fallback,omitempty"`
	// MinHealthy is how many healthy instances a version needs to get
	// requests. Default: 1.
	MinHealthy int `json:"minHealthy,omitempty"`
	// By is the input that sticks to a version. Default: each request by
	// itself.
	By Input `json:"by,omitempty"`
	// Salt sets the shares of this rule apart. Default: the rule's id.
	Salt string `json:"salt,omitempty"`
	// Timeout is the longest that an answer may take. Default: the server's.
	Timeout Duration `json:"timeout,omitempty"`
}

// Version is a share of a route.
type Version struct {
	Version string `json:"version"`
	Weight  uint32 `json:"weight"`
}

// Respond answers without asking anybody.
type Respond struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers,omitempty"`
	// Body is sent as it is; JSON is sent as application/json unless Headers
	// name another type. At most one of them.
	Body string          `json:"body,omitempty"`
	JSON json.RawMessage `json:"json,omitempty"`
}

// Throttle limits how many requests pass, by a token bucket for each key.
type Throttle struct {
	// Rate is how many requests a second, and may be less than one.
	Rate float64 `json:"rate"`
	// Burst is how many may come at once. Default: Rate, at least 1.
	Burst int `json:"burst,omitempty"`
	// By is the input whose every value has a bucket of its own: "client",
	// "attr:customer". Requests without it share one. Default: one bucket for
	// the rule.
	By Input `json:"by,omitempty"`
	// Shared counts together with all processes that use the same store.
	// Default: this process alone.
	Shared bool `json:"shared,omitempty"`
}

// Deprecate adds the header fields of RFC 9745 and RFC 8594 to the answer.
type Deprecate struct {
	// At is since or from when the resource is deprecated.
	At time.Time `json:"at"`
	// Sunset is when it may stop to answer; not before At.
	Sunset time.Time `json:"sunset,omitzero"`
	// Link is a page about it.
	Link string `json:"link,omitempty"`
	// Successor is the resource to use instead.
	Successor string `json:"successor,omitempty"`
}

// Shadow sends a copy of the request elsewhere and throws the answer away.
// What becomes of the copy never changes the answer.
type Shadow struct {
	Service string `json:"service,omitempty"`
	URL     string `json:"url,omitempty"`
	// MaxBody is the largest body that is copied, in bytes; requests with a
	// larger one have no shadow. Default: 64 KiB.
	MaxBody int64 `json:"maxBody,omitempty"`
	// Timeout ends the copy. Default: 5 s.
	Timeout Duration `json:"timeout,omitempty"`
}

// Duration is a time.Duration that JSON has as text: "2s".
type Duration time.Duration

// MarshalText writes it as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads, and refuses less than 0.
func (d *Duration) UnmarshalText(text []byte) error {
	got, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("a duration is %q; write it as \"2s\" or \"150ms\"", text)
	}
	if got < 0 {
		return fmt.Errorf("a duration is %s; it must not be negative", got)
	}
	*d = Duration(got)
	return nil
}

// ErrInvalid is wrapped by errors about a set that isn't well-formed.
var ErrInvalid = errors.New("rules: not a valid set of rules")

// Parse reads a set. Members that it doesn't know are refused, since a
// misspelt condition would match everything. Compile says whether the rules
// make sense.
func Parse(data []byte) (*Set, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes; at most %d are allowed", ErrInvalid, len(data), MaxBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var set Set
	if err := dec.Decode(&set); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows the document at byte %d", ErrInvalid, dec.InputOffset())
	}
	if err := unambiguous(data); err != nil {
		return nil, err
	}
	if set.Rules == nil {
		return nil, fmt.Errorf("%w: the member rules is missing; write an empty list if there are none", ErrInvalid)
	}
	return &set, nil
}

// MarshalJSON writes a set that Parse reads again.
func (s Set) MarshalJSON() ([]byte, error) {
	type plain Set // without this method
	if s.Rules == nil {
		s.Rules = []Rule{}
	}
	return json.Marshal(plain(s))
}

// Kind is one of the things that rules do, each of which is decided apart.
type Kind uint8

// The kinds.
const (
	Answer Kind = iota // route or respond
	Throttling
	Deprecation
	Shadowing
	kinds
)

// String returns "answer", "throttle", "deprecate" or "shadow".
func (k Kind) String() string {
	return [...]string{"answer", "throttle", "deprecate", "shadow"}[k]
}

// does reports whether the rule does that kind of thing.
func (r *Rule) does(k Kind) bool {
	switch k {
	case Answer:
		return r.Route != nil || r.Respond != nil
	case Throttling:
		return r.Throttle != nil
	case Deprecation:
		return r.Deprecate != nil
	}
	return r.Shadow != nil
}

// networks parses the client networks of a match.
func (m *Match) networks() ([]netip.Prefix, error) {
	var nets []netip.Prefix
	for _, text := range m.Client {
		if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
			addr = addr.Unmap()
			nets = append(nets, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("client is %q; write an address or a network such as 10.0.0.0/8", text)
		}
		if p.Addr().Is4In6() {
			return nil, fmt.Errorf("client is %q; write IPv4 networks as IPv4", text)
		}
		nets = append(nets, p.Masked())
	}
	return nets, nil
}
