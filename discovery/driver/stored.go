package driver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// stored is what a record looks like in a store that keeps only bytes: a line of
// JSON with the owner and the lease, and the value as it is.
type stored struct {
	Owner string `json:"owner"`
	TTL   int64  `json:"ttl"` // milliseconds
}

// Marshal writes the owner, the lease and the value of a record in the form that
// stores of bytes keep. The value isn't changed, so that what was signed stays
// signed.
func Marshal(r Record) ([]byte, error) {
	head, err := json.Marshal(stored{r.Owner, r.TTL.Milliseconds()})
	if err != nil {
		return nil, err
	}
	return append(append(head, '\n'), r.Value...), nil
}

// Unmarshal reads what Marshal wrote.
func Unmarshal(key Key, b []byte) (Record, error) {
	head, value, ok := bytes.Cut(b, []byte("\n"))
	var s stored
	if err := json.Unmarshal(head, &s); err != nil || !ok || s.Owner == "" || s.TTL <= 0 {
		return Record{}, fmt.Errorf("%s: what the store has isn't a record", key)
	}
	return Record{Key: key, Owner: s.Owner, Value: value, TTL: time.Duration(s.TTL) * time.Millisecond}, nil
}

// ParseKey reads the three parts of a key, however they are joined.
func ParseKey(kind, service, id string) (Key, error) {
	k := Key{Kind: Kind(kind), Service: service, ID: id}
	for _, part := range []string{kind, service, id} {
		if part == "" || strings.ContainsFunc(part, func(r rune) bool {
			return r != '-' && r != '_' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
		}) {
			return Key{}, fmt.Errorf("%q isn't a record's name", k)
		}
	}
	return k, nil
}
