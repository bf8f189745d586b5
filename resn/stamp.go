package resn

import (
	"net/http"
	"strings"
)

// Stamp returns a middleware for owners: it adds the directive
// resn="topic" to the Cache-Control field of successful answers to GET and
// HEAD, so that caches which hear the topic may keep them until told
// otherwise. An answer that says no-store, or that names a topic itself, stays
// as it is. Groups are joined to the answer's Cache-Groups field (RFC 9875).
//
// Answers to writes that succeeded name the topic, too, and no groups: the cache
// that wrote asks anew for lists, which are in the topic's group, before the notice
// has come.
//
// Stamp panics if topic is not well-formed, which is a programmer's error.
func Stamp(topic string, groups ...string) func(http.Handler) http.Handler {
	if err := validTopic(topic); err != nil {
		panic(err) //nolint:forbidigo // documented
	}
	directive := Directive(topic)
	quoted := make([]string, len(groups))
	for i, g := range groups {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(g) + `"`
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := &stamper{ResponseWriter: w, directive: directive}
			switch r.Method {
			case http.MethodGet, http.MethodHead:
				s.groups = strings.Join(quoted, ", ")
			case http.MethodOptions, http.MethodTrace, http.MethodConnect:
				next.ServeHTTP(w, r)
				return
			default:
				s.wrote = true
			}
			next.ServeHTTP(s, r)
			s.stamp(http.StatusOK) // for a handler that wrote nothing
		})
	}
}

// Directive returns the Cache-Control directive that names a topic.
func Directive(topic string) string { return `resn="` + topic + `"` }

// stamper adds the directive when the header is written.
type stamper struct {
	http.ResponseWriter
	directive, groups string
	wrote             bool // it answers a write
	done              bool
}

// Unwrap lets [http.ResponseController] reach what is behind.
func (s *stamper) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *stamper) WriteHeader(status int) {
	if status >= http.StatusOK { // informational answers come before the one that counts
		s.stamp(status)
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *stamper) Write(p []byte) (int, error) {
	s.stamp(http.StatusOK)
	return s.ResponseWriter.Write(p)
}

// FlushError writes the header, if that hasn't been done.
func (s *stamper) FlushError() error {
	s.stamp(http.StatusOK)
	return http.NewResponseController(s.ResponseWriter).Flush()
}

func (s *stamper) stamp(status int) {
	if s.done {
		return
	}
	s.done = true
	switch {
	case s.wrote:
		if status >= http.StatusBadRequest {
			return
		}
	case status < http.StatusMultipleChoices, status == http.StatusNotModified,
		status == http.StatusNotFound, status == http.StatusGone:
	default:
		return
	}
	h := s.Header()
	control := strings.ToLower(strings.Join(h.Values("Cache-Control"), ","))
	if strings.Contains(control, "no-store") || strings.Contains(control, "resn=") {
		return
	}
	h.Add("Cache-Control", s.directive)
	if s.groups != "" {
		h.Add("Cache-Groups", s.groups)
	}
}
