package auth

import (
	"net/url"
	"strings"
	"time"
)

// A Revocation says which tokens a verifier refuses from now on.
type Revocation struct {
	// Session is the one whose tokens they are. If it is empty they are those
	// of the account that Application and Subject name.
	Session              string
	Application, Subject string
	// Everybody says that every token has to be renewed, because more was
	// revoked than is remembered; see [VerifierOptions.MaxTokens].
	Everybody bool
	// Until says when they were issued: until then. For a session or an
	// account that is gone it is far in the future.
	Until time.Time
}

// Concerns reports whether a token that says this is refused on account of the
// revocation.
func (r Revocation) Concerns(c *Claims) bool {
	switch {
	case c == nil || c.IssuedAt.After(r.Until):
		return false
	case r.Everybody:
		return true
	case r.Session != "":
		return c.Session == r.Session
	}
	return c.Application == r.Application && c.Subject == r.Subject
}

// revocation says what is refused by a denial at a path below the issuer.
func revocation(path string, until time.Time) Revocation {
	r := Revocation{Until: until}
	if id, ok := strings.CutPrefix(path, SessionPath); ok {
		r.Session = unescaped(id)
		return r
	}
	application, subject, _ := strings.Cut(strings.TrimPrefix(path, AccountPath), "/")
	r.Application, r.Subject = unescaped(application), unescaped(subject)
	return r
}

func unescaped(part string) string {
	if text, err := url.PathUnescape(part); err == nil {
		return text
	}
	return part
}
