package cache

import (
	"net/http"
	"slices"
	"strings"
)

// absent is the value of a directive with a number that wasn't sent.
const absent int64 = -1

// policy is what a response's Cache-Control says (RFC 9111 section 5.2.2),
// with the extensions of RFC 5861, RFC 8246 and our own.
type policy struct {
	noStore        bool
	noCache        bool     // without field names
	noCacheFields  []string // no-cache="a, b": those fields need validation
	mustRevalidate bool
	mustUnderstand bool
	immutable      bool
	public         bool
	maxAge         int64    // seconds, or absent
	swr            int64    // stale-while-revalidate
	sie            int64    // stale-if-error
	scopes         []string // who has to vouch
	crowded        bool     // there are more than scopes has room for: nobody can
	lag            int64    // seconds that the owner's reads may lag behind
	targeted       bool     // came from a targeted field (RFC 9213)
}

// wishes is what a request's Cache-Control says (RFC 9111 section 5.2.1).
type wishes struct {
	noStore      bool
	noCache      bool
	onlyIfCached bool
	maxAge       int64
	minFresh     int64
	maxStale     int64 // absent, or seconds; a huge number if it had no value
	sie          int64
}

// noWishes is what a request without directives wishes for.
var noWishes = wishes{maxAge: absent, minFresh: absent, maxStale: absent, sie: absent}

// maxScopes bounds the scopes that one response may name, for the sake of the
// path of a hit.
const maxScopes = 16

// maxDelta is what an overflowing delta-seconds counts as (RFC 9111
// section 1.2.2).
const maxDelta = 1 << 31

// parsePolicy reads the response's directives. Where a directive is sent
// twice the more careful value counts. target is the targeted field or empty,
// scopeName the directive that names a voucher.
func parsePolicy(h http.Header, target, scopeName string) policy {
	if target != "" {
		if p, ok := parseTargeted(h[target], scopeName); ok {
			return p.whole(target)
		}
	}
	p := policy{maxAge: absent, swr: absent, sie: absent}
	eachDirective(h["Cache-Control"], func(name, value string, hasValue bool) {
		p.set(name, value, hasValue, scopeName)
	})
	return p.whole(target)
}

// whole takes a no-cache that names a field which steers the cache for one that
// names none: such a field can't be left out.
func (p policy) whole(target string) policy {
	if n := len(p.noCacheFields); n > 0 {
		p.noCacheFields = slices.DeleteFunc(p.noCacheFields, func(name string) bool { return steers(name, target) })
		p.noCache = p.noCache || len(p.noCacheFields) < n
	}
	return p
}

// parseTargeted reads a targeted field (RFC 9213): a structured dictionary.
// It reports false if the field is absent, empty or malformed.
func parseTargeted(lines []string, scopeName string) (policy, bool) {
	p := policy{maxAge: absent, swr: absent, sie: absent, targeted: true}
	members := 0
	ok := sfDictionary(lines, func(key string, item sfItem) {
		members++
		switch item.kind {
		case 'i':
			p.setNumber(key, min(max(item.num, 0), maxDelta), scopeName)
		case 's':
			p.set(key, item.text, true, scopeName)
		case 'b':
			if item.num == 1 {
				p.set(key, "", false, scopeName)
			}
		}
	})
	return p, ok && members > 0
}

func (p *policy) set(name, value string, hasValue bool, scopeName string) {
	switch name {
	case "no-store":
		p.noStore = true
	case "no-cache":
		fields := fieldNames(value)
		if !hasValue || len(fields) == 0 {
			p.noCache = true
		}
		p.noCacheFields = append(p.noCacheFields, fields...)
	case "must-revalidate":
		p.mustRevalidate = true
	case "must-understand":
		p.mustUnderstand = true
	case "immutable":
		p.immutable = true
	case "public":
		p.public = true
	case scopeName:
		// A document made of several others depends on all their scopes.
		for name := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ' ' || r == ',' }) {
			switch {
			case slices.Contains(p.scopes, name):
			case len(p.scopes) == maxScopes:
				p.crowded = true
			default:
				p.scopes = append(p.scopes, name)
			}
		}
	default:
		p.setNumber(name, deltaSeconds(value), scopeName)
	}
}

func (p *policy) setNumber(name string, n int64, scopeName string) {
	switch name {
	case "max-age":
		p.maxAge = careful(p.maxAge, n)
	case "stale-while-revalidate":
		p.swr = careful(p.swr, n)
	case "stale-if-error":
		p.sie = careful(p.sie, n)
	case scopeName + "-lag":
		// Unreadable means "it lags, nobody knows by how much".
		if n == 0 {
			n = maxDelta
		}
		p.lag = max(p.lag, n)
	}
}

// careful picks the smaller of the values of a directive that was sent twice.
func careful(have, n int64) int64 {
	if have == absent {
		return n
	}
	return min(have, n)
}

func parseWishes(h http.Header) wishes {
	w := wishes{maxAge: absent, minFresh: absent, maxStale: absent, sie: absent}
	lines := h["Cache-Control"]
	if len(lines) == 0 {
		// RFC 9111 section 5.4: Pragma counts when Cache-Control is absent.
		eachDirective(h["Pragma"], func(name, _ string, _ bool) {
			w.noCache = w.noCache || name == "no-cache"
		})
		return w
	}
	eachDirective(lines, func(name, value string, hasValue bool) {
		switch name {
		case "no-store":
			w.noStore = true
		case "no-cache":
			w.noCache = true
		case "only-if-cached":
			w.onlyIfCached = true
		case "max-age":
			w.maxAge = careful(w.maxAge, deltaSeconds(value))
		case "min-fresh":
			w.minFresh = max(w.minFresh, deltaSeconds(value))
		case "max-stale":
			n := deltaSeconds(value)
			if !hasValue {
				n = maxDelta
			}
			w.maxStale = careful(w.maxStale, n)
		case "stale-if-error":
			w.sie = careful(w.sie, deltaSeconds(value))
		}
	})
	return w
}

// deltaSeconds reads a non-negative number of seconds. What isn't one counts
// as zero: a lifetime nobody can read is over.
func deltaSeconds(s string) int64 {
	n, _ := delta(s)
	return n
}

func delta(s string) (n int64, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+int64(s[i]-'0'), maxDelta)
	}
	return n, s != ""
}

// eachDirective calls f with every directive of a Cache-Control field: the
// name in lower case, the value unquoted.
func eachDirective(lines []string, f func(name, value string, hasValue bool)) {
	for _, line := range lines {
		for line != "" {
			var name, value string
			var hasValue bool
			name, value, hasValue, line = nextDirective(line)
			if name != "" {
				f(strings.ToLower(name), value, hasValue)
			}
		}
	}
}

// nextDirective cuts the first directive off s.
func nextDirective(s string) (name, value string, hasValue bool, rest string) {
	i := 0
	for i < len(s) && s[i] != ',' && s[i] != '=' {
		i++
	}
	name = trimSpace(s[:i])
	if i == len(s) || s[i] == ',' {
		return name, "", false, s[min(i+1, len(s)):]
	}
	s = s[i+1:]
	if s == "" || s[0] != '"' {
		v, rest, _ := strings.Cut(s, ",")
		return name, trimRight(v), true, rest
	}
	var b strings.Builder
	for i = 1; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	// What follows the closing quote up to the comma is noise.
	_, rest, _ = strings.Cut(s[min(i+1, len(s)):], ",")
	return name, b.String(), true, rest
}

// fieldNames splits a list of field names into their canonical form.
func fieldNames(list string) []string {
	var names []string
	for part := range strings.SplitSeq(list, ",") {
		if part = trimSpace(part); part != "" {
			names = append(names, http.CanonicalHeaderKey(part))
		}
	}
	return names
}

func trimSpace(s string) string { return strings.Trim(s, " \t") }

// trimRight leaves space in front of a value alone: "max-age= 5" isn't a
// number.
func trimRight(s string) string { return strings.TrimRight(s, " \t") }

func isTokenByte(c byte) bool {
	switch {
	case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
