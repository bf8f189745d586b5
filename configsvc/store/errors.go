package store

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goswale/swale/configsvc/driver"
)

var (
	// ErrInvalid is matched by an [*InvalidError].
	ErrInvalid = errors.New("store: the write is refused")
	// ErrConflict is matched by errors of writes whose keys have changed since
	// they were read. The cause is a *driver.ConflictError.
	ErrConflict = driver.ErrConflict
	// ErrRollout is wrapped by errors about rollouts: one that is over, or keys
	// that another is about.
	ErrRollout = errors.New("store: rollout")
	// ErrRevision is wrapped by the error about a revision that isn't there.
	ErrRevision = driver.ErrRevision
)

// Problem is one reason why a write is refused.
type Problem struct {
	// Key is the document's; empty where it is about the write itself.
	Key string `json:"key,omitempty"`
	// Path is a JSON Pointer (RFC 6901) into the document.
	Path string `json:"path,omitempty"`
	// Detail is a sentence for people. It never has a secret in it.
	Detail string `json:"detail"`
}

// String returns the problem in one line.
func (p Problem) String() string {
	where := strings.TrimSpace(p.Key + " " + p.Path)
	if where == "" {
		return p.Detail
	}
	return where + ": " + p.Detail
}

// InvalidError says why a write is refused: everything that is wrong with it.
type InvalidError struct{ Problems []Problem }

// Error lists the problems.
func (e *InvalidError) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.String()
	}
	return ErrInvalid.Error() + ": " + strings.Join(texts, "; ")
}

// Is reports whether target is [ErrInvalid].
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

// problems collects them.
type problems []Problem

func (p *problems) add(key, path, format string, args ...any) {
	*p = append(*p, Problem{key, path, fmt.Sprintf(format, args...)})
}

// err returns an *InvalidError, or nil.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &InvalidError{Problems: p}
}
