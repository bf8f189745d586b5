package resn

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// MaxTagged is the longest answer, in bytes, that [Tag] gives a tag.
const MaxTagged = 1 << 20

// Tag is a middleware for owners whose handlers make no entity tags. It gives
// successful answers to GET that have none a strong tag of their content, and
// answers 304 to whoever has it already (RFC 9110 section 13.1.2). With a tag a
// reader that has missed notices asks whether it is still right instead of for
// everything.
//
// An answer is held back until it is complete. One that is longer than
// [MaxTagged], that is flushed, or that says no-store goes through without a tag.
// The handler still does its work for a 304: one that knows a version does better
// to set the ETag field itself.
func Tag(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.Header.Get("Upgrade") != "" {
			next.ServeHTTP(w, r)
			return
		}
		t := &tagger{ResponseWriter: w, known: r.Header.Values("If-None-Match")}
		next.ServeHTTP(t, r)
		t.finish()
	})
}

// tagger holds an answer back.
type tagger struct {
	http.ResponseWriter
	known   []string // the tags that the client has
	held    []byte
	begun   bool // the handler has given a status
	through bool // nothing is held back any more
}

// Unwrap lets [http.ResponseController] reach what is behind.
func (t *tagger) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (t *tagger) WriteHeader(status int) {
	if t.through || t.begun || status < http.StatusOK {
		t.ResponseWriter.WriteHeader(status)
		return
	}
	t.begun = true
	control := strings.ToLower(strings.Join(t.Header().Values("Cache-Control"), ","))
	if status != http.StatusOK || t.Header().Get("Etag") != "" || strings.Contains(control, "no-store") {
		t.through = true
		t.ResponseWriter.WriteHeader(status)
	}
}

func (t *tagger) Write(p []byte) (int, error) {
	if !t.begun {
		t.WriteHeader(http.StatusOK)
	}
	if !t.through && len(t.held)+len(p) <= MaxTagged {
		t.held = append(t.held, p...)
		return len(p), nil
	}
	if err := t.release(); err != nil {
		return 0, err
	}
	return t.ResponseWriter.Write(p)
}

// FlushError lets go of what is held back.
func (t *tagger) FlushError() error {
	if !t.begun {
		t.WriteHeader(http.StatusOK)
	}
	if err := t.release(); err != nil {
		return err
	}
	return http.NewResponseController(t.ResponseWriter).Flush()
}

// release lets what is held back go, without a tag.
func (t *tagger) release() error {
	if t.through {
		return nil
	}
	t.through = true
	t.ResponseWriter.WriteHeader(http.StatusOK)
	_, err := t.ResponseWriter.Write(t.held)
	return err
}

// finish tags a complete answer.
func (t *tagger) finish() {
	if !t.begun {
		t.WriteHeader(http.StatusOK)
	}
	if t.through {
		return
	}
	t.through = true
	h := t.Header()
	sum := sha256.New()
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language"} {
		_, _ = io.WriteString(sum, h.Get(name)+"\n")
	}
	_, _ = sum.Write(t.held)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:15]) + `"`
	h.Set("Etag", tag)
	if t.has(tag) {
		h.Del("Content-Length")
		t.ResponseWriter.WriteHeader(http.StatusNotModified)
		return
	}
	if h.Get("Content-Encoding") == "" {
		h.Set("Content-Length", strconv.Itoa(len(t.held)))
	}
	t.ResponseWriter.WriteHeader(http.StatusOK)
	_, _ = t.ResponseWriter.Write(t.held) // the handler is done; the client is gone
}

// has reports whether the client has the version, by weak comparison.
func (t *tagger) has(tag string) bool {
	for _, field := range t.known {
		for known := range strings.SplitSeq(field, ",") {
			known = strings.TrimSpace(known)
			if known == "*" || strings.TrimPrefix(known, "W/") == tag {
				return true
			}
		}
	}
	return false
}
