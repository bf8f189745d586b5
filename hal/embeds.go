package hal

import (
	"net/http"
	"strings"
)

// Embeds reports whether the request asks for the relation to be embedded, by
// ?embed=item,menu or ?zoom=item. Embedding is the client's choice and off by
// default: a document that embeds others changes whenever they do.
func Embeds(r *http.Request, rel string) bool {
	if r.URL.RawQuery == "" {
		return false
	}
	query := r.URL.Query()
	for _, name := range []string{"embed", "zoom"} {
		for _, list := range query[name] {
			for asked := range strings.SplitSeq(list, ",") {
				if strings.TrimSpace(asked) == rel {
					return true
				}
			}
		}
	}
	return false
}
