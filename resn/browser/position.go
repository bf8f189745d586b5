package browser

import (
	"net/url"
	"strconv"
	"strings"
)

// position is how far a page has come in a topic: behind number seq of an epoch,
// or, in a topic without numbers, behind the seq-th notice that this process
// heard; its epoch then begins with "~", which no owner's does on the wire.
type position struct {
	epoch string
	seq   uint64
}

// local marks the epoch of one process.
const local = "~"

// formatPositions writes the id of an event: how far a page is in each of its
// topics. It is one token that is safe in a header field and in a URL.
func formatPositions(b []byte, views []*view) []byte {
	for i, v := range views {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, v.topic.name...) // needs no escaping
		b = append(b, '=')
		b = strconv.AppendUint(b, v.at.seq, 10)
		b = append(b, '.')
		b = append(b, url.QueryEscape(v.at.epoch)...)
	}
	return b
}

// maxID bounds the ids that are read.
const maxID = 32 << 10

// parsePositions reads an id. What can't be read is left out.
func parsePositions(id string) map[string]position {
	if id == "" || len(id) > maxID {
		return nil
	}
	came := map[string]position{}
	for part := range strings.SplitSeq(id, "&") {
		name, at, ok := strings.Cut(part, "=")
		number, escaped, dot := strings.Cut(at, ".")
		seq, err := strconv.ParseUint(number, 10, 64)
		epoch, bad := url.QueryUnescape(escaped)
		if ok && dot && err == nil && bad == nil {
			came[name] = position{epoch, seq}
		}
	}
	return came
}
