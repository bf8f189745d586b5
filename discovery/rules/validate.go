package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// condition is one input and what it must be.
type condition struct {
	in    Input
	value Value
}

// conditions returns what the match asks of inputs, in a fixed order; hosts,
// path, client and proportion are apart.
func (m *Match) conditions() []condition {
	var all []condition
	if m.Methods != nil {
		all = append(all, condition{"method", Value{OneOf: m.Methods}})
	}
	if !m.Region.IsZero() {
		all = append(all, condition{"attr:region", m.Region})
	}
	if !m.Source.IsZero() {
		all = append(all, condition{"attr:source", m.Source})
	}
	for _, named := range []struct {
		prefix string
		values map[string]Value
	}{{"attr:", m.Attributes}, {"header:", m.Headers}, {"query:", m.Query}, {"cookie:", m.Cookies}} {
		for _, name := range slices.Sorted(maps.Keys(named.values)) {
			all = append(all, condition{Input(named.prefix + name), named.values[name]})
		}
	}
	return all
}

// inputs resolves inputs with the trust and derivations of a set.
type inputs struct {
	trust  map[string]Trust // by canonical name
	derive map[string]*source
}

func newInputs(set *Set) (*inputs, error) {
	in := &inputs{trust: map[string]Trust{}, derive: map[string]*source{}}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(set.Trust)) {
		s, err := name.parse()
		t := set.Trust[name]
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("trust: %w", err))
		case t != TrustClient && t != TrustProxy:
			errs = append(errs, fmt.Errorf("trust of %s is %q; write \"client\" or \"proxy\"", name, t))
		case s.kind != fromHeader && s.kind != fromQuery && s.kind != fromCookie:
			errs = append(errs, fmt.Errorf("trust: %s needs none, it doesn't come from the client's hand", name))
		case t == TrustProxy && s.kind != fromHeader:
			errs = append(errs, fmt.Errorf("trust of %s is \"proxy\", but it is the client that writes it; only header fields can be a proxy's", name))
		default:
			in.trust[s.String()] = t
		}
	}
	for _, attr := range slices.Sorted(maps.Keys(set.Derive)) {
		s, err := in.resolve(set.Derive[attr])
		if err == nil && s.kind == fromAttribute {
			err = fmt.Errorf("%s is an attribute itself", s)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("derive %q: %w", attr, err))
			continue
		}
		in.derive[attr] = &s
	}
	return in, errors.Join(errs...)
}

// resolve parses an input and refuses one that nobody has said whom to believe
// about.
func (in *inputs) resolve(name Input) (source, error) {
	s, err := name.parse()
	if err != nil {
		return s, err
	}
	switch s.kind {
	case fromHeader, fromQuery, fromCookie:
		t, declared := in.trust[s.String()]
		if !declared {
			return s, fmt.Errorf("%s comes from the client's hand; say in trust whether it is believed of every client (\"client\") or of trusted proxies alone (\"proxy\")", s)
		}
		s.proxied = t == TrustProxy
	case fromAttribute:
		s.derived = in.derive[s.name]
	}
	return s, nil
}

// clientChooses reports whether a client can set the input at will.
func (in *inputs) clientChooses(name Input) bool {
	s, err := in.resolve(name)
	if err != nil {
		return false
	}
	if s.derived != nil {
		s = *s.derived
	}
	return !s.proxied && (s.kind == fromHeader || s.kind == fromQuery || s.kind == fromCookie)
}

func validID(id string) bool {
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	return id != "" && len(id) <= 128
}

// validate says everything that is wrong with a rule by itself.
func (r *Rule) validate(in *inputs) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.Priority < -1000 || r.Priority > 1000 {
		bad("priority is %d; it must be from -1000 to 1000", r.Priority)
	}
	for _, k := range r.Allow {
		if k != Shadowed && k != Unreachable && k != Ambiguous && k != ClientChosen {
			bad("allow names %q; there are shadowed, unreachable, ambiguous and client-chosen", k)
		}
	}
	p, err := r.Match.validate(in)
	if err != nil {
		errs = append(errs, err)
	}
	done := false
	for k := range kinds {
		done = done || r.does(k)
	}
	if !done {
		bad("it does nothing; give it route, respond, throttle, deprecate or shadow")
	}
	if r.Route != nil && r.Respond != nil {
		bad("it has route and respond; a request has one answer")
	}
	for _, act := range []interface {
		validate(in *inputs, p pattern) error
	}{r.Route, r.Respond, r.Throttle, r.Deprecate, r.Shadow} {
		if err := act.validate(in, p); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (m *Match) validate(in *inputs) (pattern, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	p, err := parsePattern(m.Path)
	if err != nil {
		errs = append(errs, err)
	}
	for _, list := range [][]string{m.Methods, m.Hosts, m.Client} {
		switch {
		case len(list) > MaxList:
			bad("a list has %d entries; at most %d are allowed", len(list), MaxList)
		case list != nil && len(list) == 0:
			bad("a list is empty, so that nothing can match it; leave the member out")
		}
	}
	for _, method := range m.Methods {
		if !isToken(method) || method != strings.ToUpper(method) {
			bad("method is %q; write it in capitals", method)
		}
	}
	for _, h := range m.Hosts {
		if name := strings.TrimPrefix(h, "*."); name == "" || hostname(name) != name || strings.ContainsAny(name, "*/ :[]") {
			bad("host is %q; write a name in small letters without port, or *.name", h)
		}
	}
	if _, err := m.networks(); err != nil {
		errs = append(errs, err)
	}
	for _, c := range m.conditions() {
		if _, err := in.resolve(c.in); err != nil {
			errs = append(errs, err)
		}
		if err := c.value.validate(); err != nil {
			bad("%s: %w", c.in, err)
		}
		if c.value.IsZero() {
			bad("%s: the condition is empty", c.in)
		}
	}
	if q := m.Proportion; q != nil {
		if !(q.Percent >= 0 && q.Percent <= 100) {
			bad("the proportion is %g percent; it must be from 0 to 100", q.Percent)
		}
		if _, err := in.resolve(q.By); err != nil {
			bad("proportion: %w", err)
		}
	}
	return p, errors.Join(errs...)
}

func (t *Route) validate(in *inputs, p pattern) error {
	if t == nil {
		return nil
	}
	errs := []error{target("route", t.Service, t.URL)}
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if t.Path != "" {
		if _, err := parseRewrite(t.Path, p); err != nil {
			bad("route: %w", err)
		}
	}
	if t.URL != "" && (t.Versions != nil || t.Fallback != "" || t.MinHealthy != 0 || t.By != "") {
		bad("route: versions are those of a service, and it goes to a url")
	}
	var sum uint64
	seen := map[string]bool{}
	for _, v := range t.Versions {
		if v.Version == "" || seen[v.Version] {
			bad("route: version %q is empty or given twice", v.Version)
		}
		seen[v.Version] = true
		sum += uint64(v.Weight)
	}
	if t.Versions != nil && sum == 0 && t.Fallback == "" {
		bad("route: every version has weight 0 and there is no fallback, so nobody would answer")
	}
	if sum > math.MaxUint32 {
		bad("route: the weights add up to %d; at most %d are allowed", sum, uint32(math.MaxUint32))
	}
	if t.MinHealthy < 0 {
		bad("route: minHealthy is %d; it must not be negative", t.MinHealthy)
	}
	if t.By != "" {
		if _, err := in.resolve(t.By); err != nil {
			bad("route: %w", err)
		}
	}
	return errors.Join(errs...)
}

// target checks where requests go.
func target(what, service, origin string) error {
	if (service == "") == (origin == "") {
		return fmt.Errorf("%s needs a service or a url, and not both", what)
	}
	if service != "" {
		if hostname(service) != service || strings.ContainsAny(service, "/ :@?#[]%") {
			return fmt.Errorf("%s: service is %q; write a name in small letters", what, service)
		}
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil ||
		u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%s: the url must be an origin, such as https://old.example", what)
	}
	return nil
}

func (a *Respond) validate(*inputs, pattern) error {
	switch {
	case a == nil:
		return nil
	case a.Status < 200 || a.Status > 599:
		return fmt.Errorf("respond: status is %d; it must be from 200 to 599", a.Status)
	case a.Body != "" && a.JSON != nil:
		return errors.New("respond has body and json; it needs one at most")
	case a.JSON != nil && !json.Valid(a.JSON):
		return errors.New("respond: json is not JSON")
	case (a.Status == http.StatusNoContent || a.Status == http.StatusNotModified) && (a.Body != "" || a.JSON != nil):
		return fmt.Errorf("respond: status %d has no body", a.Status)
	}
	for name, value := range a.Headers {
		if !isToken(name) || strings.ContainsAny(value, "\r\n\x00") {
			return fmt.Errorf("respond: the header field %q can't be sent", name)
		}
		switch http.CanonicalHeaderKey(name) {
		case "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade":
			return fmt.Errorf("respond: the header field %q is the server's own", name)
		}
	}
	return nil
}

func (a *Throttle) validate(in *inputs, _ pattern) error {
	switch {
	case a == nil:
		return nil
	case !(a.Rate > 0 && a.Rate <= 1e9):
		return fmt.Errorf("throttle: rate is %g a second; it must be above 0 and at most a thousand million", a.Rate)
	case a.Burst < 0 || a.Burst > million:
		return fmt.Errorf("throttle: burst is %d; it must be from 0 to a million", a.Burst)
	case a.By == "":
		return nil
	}
	if _, err := in.resolve(a.By); err != nil {
		return fmt.Errorf("throttle: %w", err)
	}
	return nil
}

func (a *Deprecate) validate(*inputs, pattern) error {
	switch {
	case a == nil:
		return nil
	case a.At.IsZero():
		return errors.New("deprecate: at is missing; RFC 9745 wants the time")
	case !a.Sunset.IsZero() && a.Sunset.Before(a.At):
		return errors.New("deprecate: sunset is before at (RFC 9745 section 4)")
	}
	for _, link := range []string{a.Link, a.Successor} {
		if _, err := url.Parse(link); err != nil || strings.ContainsAny(link, "<>\"\r\n ") {
			return fmt.Errorf("deprecate: %q is not a URL", link)
		}
	}
	return nil
}

func (a *Shadow) validate(*inputs, pattern) error {
	switch {
	case a == nil:
		return nil
	case a.MaxBody < 0 || a.MaxBody > 16<<20:
		return fmt.Errorf("shadow: maxBody is %d bytes; it must be from 0 to 16 MiB", a.MaxBody)
	}
	return target("shadow", a.Service, a.URL)
}
