package natsconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/goswale/swale/configsvc/driver"
)

// name is the key of a commit's entry.
func name(revision int64) string { return fmt.Sprintf("commit.%016d", revision) }

// head is the first line of an entry. The values follow it, one after the other,
// as they are.
type head struct {
	Revision int64  `json:"revision"`
	Author   string `json:"author"`
	Message  string `json:"message,omitempty"`
	Time     int64  `json:"time"` // in milliseconds
	Edits    []size `json:"edits"`
}

// size is an edit: how many bytes its value has, -1 for a deletion.
type size struct {
	Key   string `json:"key"`
	Bytes int    `json:"bytes"`
}

func encode(c driver.Commit) ([]byte, error) {
	h := head{Revision: c.Revision, Author: c.Author, Message: c.Message, Time: c.Time.UnixMilli()}
	var values []byte
	for _, e := range c.Edits {
		n := len(e.Value)
		if e.Value == nil {
			n = -1
		}
		h.Edits = append(h.Edits, size{e.Key, n})
		values = append(values, e.Value...)
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("natsconfig: commit %d: %w", c.Revision, err)
	}
	return append(append(text, '\n'), values...), nil
}

var errEntry = errors.New("it is no commit")

func decode(text []byte) (driver.Commit, error) {
	line, values, ok := bytes.Cut(text, []byte("\n"))
	var h head
	if err := json.Unmarshal(line, &h); err != nil || !ok || len(h.Edits) == 0 {
		return driver.Commit{}, errors.Join(errEntry, err)
	}
	c := driver.Commit{Revision: h.Revision, Author: h.Author, Message: h.Message, Time: time.UnixMilli(h.Time).UTC()}
	for _, s := range h.Edits {
		e := driver.Edit{Key: s.Key}
		if s.Bytes >= 0 {
			if s.Bytes > len(values) {
				return driver.Commit{}, errEntry
			}
			e.Value, values = values[:s.Bytes:s.Bytes], values[s.Bytes:]
		}
		c.Edits = append(c.Edits, e)
	}
	if len(values) > 0 {
		return driver.Commit{}, errEntry
	}
	return c, nil
}
