package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// level is an object or array that is open.
type level struct {
	names map[string]bool // nil for an array
	// fold says that names which differ only by case are the same, as they are
	// to encoding/json for members of the format, and not for names of a map's
	// entries.
	fold bool
	last string // the name whose value is being read
}

// unambiguous refuses objects with a name twice, since readers differ in which
// of them counts (RFC 8259 section 4), and encoding/json takes something of
// both. The data is JSON.
func unambiguous(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	open := []level{{fold: true}}
	named := false // the last token was a name
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		top := &open[len(open)-1]
		if name, isText := token.(string); isText && top.names != nil && !named {
			if top.fold {
				name = strings.ToLower(name)
			}
			if top.names[name] {
				return fmt.Errorf("%w: the member %q is there twice in one object, before byte %d", ErrInvalid, name, dec.InputOffset())
			}
			top.names[name], top.last, named = true, name, true
			continue
		}
		named = false
		switch token {
		case json.Delim('{'):
			open = append(open, level{names: map[string]bool{}, fold: top.fold && !isMap(top.last)})
		case json.Delim('['):
			open = append(open, level{fold: top.fold, last: top.last})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
	}
}

// isMap reports whether the member holds names that its writer makes up.
func isMap(member string) bool {
	switch member {
	case "trust", "derive", "headers", "query", "cookies", "attributes", "json":
		return true
	}
	return false
}
