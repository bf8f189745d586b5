package conformance

import "strings"

// Profile returns why a test is not about a private cache, or nothing when it is.
func Profile(t Test) string {
	if t.Suite == "surrogate-control" {
		return "CDN only: Surrogate-Control is addressed to a CDN's caches"
	}
	if t.Suite == "auth" || strings.Contains(strings.ToLower(t.Name), "shared http cache") || strings.Contains(strings.ToLower(t.Name), "shared cache") {
		return "shared caches only, as the test's name says"
	}
	switch t.ID {
	case "stale-close-proxy-revalidate":
		return "shared caches only: proxy-revalidate does not apply to private caches (RFC 9111, section 5.2.2.8)"
	case "stale-close-s-maxage=2":
		return "shared caches only: s-maxage does not apply to private caches (RFC 9111, section 5.2.2.10)"
	}
	return ""
}
