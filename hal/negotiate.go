package hal

import (
	"mime"
	"strconv"
	"strings"
)

// Media types of documents.
const (
	// HALType is the media type of HAL documents (draft-kelly-json-hal).
	HALType = "application/hal+json"
	// FormsType is the media type of HAL documents with _templates (HAL-FORMS).
	FormsType = "application/prs.hal-forms+json"
	// JSONType is plain JSON, which HAL documents are too.
	JSONType = "application/json"
)

// Negotiate returns the offer that the Accept field prefers (RFC 9110 section
// 12.5.1), the earlier one among equals, or "" when none is acceptable. A
// missing Accept accepts everything. Parameters other than q are passed over,
// so application/hal+json;profile=… asks for application/hal+json.
func Negotiate(accept []string, offers ...string) string {
	if len(offers) == 0 {
		return ""
	}
	if len(accept) == 1 && accept[0] == offers[0] {
		return offers[0]
	}
	ranges, any := 0, false
	best, bestQ := "", 0.0
	type preference struct {
		q        float64
		specific int
	}
	prefs := make([]preference, len(offers))
	for _, field := range accept {
		for item := range strings.SplitSeq(field, ",") {
			item = strings.TrimSpace(item)
			if item == "" {
				continue
			}
			any = true
			if ranges++; ranges > 64 {
				break // nobody honest has so many
			}
			name, q := parseRange(item)
			for i, offer := range offers {
				if s := matchRange(name, offer); s > prefs[i].specific {
					prefs[i] = preference{q, s}
				}
			}
		}
	}
	if !any {
		return offers[0]
	}
	for i, offer := range offers {
		if prefs[i].q > bestQ {
			best, bestQ = offer, prefs[i].q
		}
	}
	return best
}

func parseRange(item string) (name string, q float64) {
	name, params, _ := strings.Cut(item, ";")
	name = strings.ToLower(strings.TrimSpace(name))
	for p := range strings.SplitSeq(params, ";") {
		k, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(k), "q") {
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err != nil || f < 0 || f > 1 {
				return name, 0
			}
			return name, f
		}
	}
	return name, 1
}

// matchRange returns how specifically a media range names the offer, 0 for
// not at all.
func matchRange(name, offer string) int {
	if name == offer {
		return 3
	}
	if name == "*/*" {
		return 1
	}
	if major, ok := strings.CutSuffix(name, "/*"); ok && strings.HasPrefix(offer, major+"/") {
		return 2
	}
	return 0
}

// isJSON reports whether a Content-Type is JSON of some kind.
func isJSON(contentType string) bool {
	switch contentType {
	case HALType, JSONType, FormsType, ProblemType:
		return true
	}
	name, _, err := mime.ParseMediaType(contentType)
	if err != nil && name == "" {
		return false
	}
	return name == JSONType || strings.HasSuffix(name, "+json")
}
