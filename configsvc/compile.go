package configsvc

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Layer is one of the documents that a configuration is compiled from.
type Layer struct {
	// Name tells it from the others: its key, "environment variables".
	Name string `json:"name"`
	// Version is the revision of the document, 0 where there is none.
	Version int64 `json:"version,omitempty"`
	// Value is the document. No value and null are the same as {}.
	Value Value `json:"-"`
}

// LayerRef names a layer and the version of it that was meant.
type LayerRef struct {
	Name    string `json:"name"`
	Version int64  `json:"version,omitempty"`
}

// String returns the name, and the version where there is one.
func (r LayerRef) String() string {
	if r.Version == 0 {
		return r.Name
	}
	return r.Name + " (version " + strconv.FormatInt(r.Version, 10) + ")"
}

func (l Layer) ref() LayerRef { return LayerRef{l.Name, l.Version} }

// Compiled is the result of merging layers. It never changes and is safe for
// concurrent use.
type Compiled struct {
	// Value is the result. It is {} where no layer has anything.
	Value Value
	// Hash identifies the value: it depends on nothing else, so every process
	// that compiles the same value says the same.
	Hash string
	// Layers are what it was compiled from, the weakest first.
	Layers []Layer
}

// ErrConflict is matched by a [*CompileError].
var ErrConflict = errors.New("configsvc: layers conflict")

// Conflict is a place where two layers say values of different kinds.
type Conflict struct {
	// Path is a JSON Pointer (RFC 6901), empty for the documents themselves.
	Path string `json:"path"`
	// Lower is the layer that is merged first, Upper the one that doesn't fit.
	Lower LayerRef `json:"lower"`
	Upper LayerRef `json:"upper"`
	// LowerKind and UpperKind are what they say.
	LowerKind Kind `json:"-"`
	UpperKind Kind `json:"-"`
}

// String says what is wrong and what can be done.
func (c Conflict) String() string {
	path := c.Path
	if path == "" {
		path = "the document itself"
	}
	return fmt.Sprintf("%s is %s in %s and %s in %s; make them the same kind, or delete it in a layer between by null",
		path, c.LowerKind, c.Lower, c.UpperKind, c.Upper)
}

// CompileError says which layers say values of different kinds, and where. It
// matches [ErrConflict].
type CompileError struct {
	// Conflicts are all there are, in the order of their layers and paths.
	Conflicts []Conflict
}

// Error names every conflict.
func (e *CompileError) Error() string {
	texts := make([]string, len(e.Conflicts))
	for i, c := range e.Conflicts {
		texts[i] = c.String()
	}
	return ErrConflict.Error() + ": " + strings.Join(texts, ". ")
}

// Is reports whether target is [ErrConflict].
func (e *CompileError) Is(target error) bool { return target == ErrConflict }

// Compile merges layers from the weakest to the strongest (RFC 7396): objects
// merge into objects, null deletes what the layers below have said, anything
// else replaces. A layer that says another kind of value than those below is an
// error, a [*CompileError] that names all of them. Secrets count as strings.
func Compile(layers ...Layer) (*Compiled, error) {
	m := merger{layers: layers}
	for i, l := range layers {
		m.at = i
		m.value = m.merge(m.value, l.Value)
	}
	if len(m.conflicts) > 0 {
		return nil, &CompileError{Conflicts: m.conflicts}
	}
	if m.value.kind == None {
		m.value = Value{kind: Object}
	}
	return &Compiled{Value: m.value, Hash: Hash(m.value), Layers: layers}, nil
}

// Hash returns the hash that identifies a value: 32 hexadecimal digits.
func Hash(v Value) string {
	sum := sha256.Sum256(v.JSON())
	return hex.EncodeToString(sum[:16])
}
