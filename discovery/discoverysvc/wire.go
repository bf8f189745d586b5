package discoverysvc

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/hal"
)

// ownerField is the header field with the name of a lease's owner. It is a
// secret of owner and store, so it is no part of any URL.
const ownerField = "Lease-Owner"

// wireRecord is a record as it travels. The value is base64, so that it comes
// out as it went in, byte for byte.
type wireRecord struct {
	Kind    driver.Kind `json:"kind"`
	Service string      `json:"service"`
	ID      string      `json:"id"`
	Value   []byte      `json:"value,omitempty"`
	TTL     string      `json:"ttl,omitempty"` // "10s", of puts
}

func toWire(r driver.Record) wireRecord {
	return wireRecord{Kind: r.Key.Kind, Service: r.Key.Service, ID: r.Key.ID, Value: r.Value}
}

func (w wireRecord) key() driver.Key {
	return driver.Key{Kind: w.Kind, Service: w.Service, ID: w.ID}
}

func (w wireRecord) record() driver.Record { return driver.Record{Key: w.key(), Value: w.Value} }

// wireRecords is the answer of GET /records.
type wireRecords struct {
	Records []wireRecord `json:"records"`
}

// wirePut is the body of PUT /records/….
type wirePut struct {
	Value []byte `json:"value"`
	TTL   string `json:"ttl"`
}

// wireBind is the body of PUT /bindings/….
type wireBind struct {
	Binding binding.Binding `json:"binding"`
	Message string          `json:"message,omitempty"`
	// Author is who wants it, where the server's Authorise leaves that open.
	Author string `json:"author,omitempty"`
}

// wireRollback is the body of POST /bindings/…, and its form.
type wireRollback struct {
	To      uint64 `json:"to" prompt:"Back to revision" form:"required,min=1"`
	Message string `json:"message,omitempty" prompt:"Why"`
	Author  string `json:"author,omitempty" prompt:"Who"`
	// Expect is the revision that was seen, in place of If-Match, which is not
	// sent with forms of POST.
	Expect uint64 `json:"expect,omitempty" form:"hidden"`
}

func rollbackForm(seen uint64) hal.Template {
	return hal.FormOf("rollback", http.MethodPost, wireRollback{Expect: seen})
}

// wireRevisions is an event of GET /bindings/events.
type wireRevisions struct {
	Revisions []binding.Revision `json:"revisions"`
}

// tagOf is the ETag of a revision.
func tagOf(number uint64) string { return `"r` + strconv.FormatUint(number, 10) + `"` }

// numberOf reads a revision's ETag, in any representation.
func numberOf(tag string) (uint64, bool) {
	text, ok := strings.CutPrefix(strings.Trim(strings.TrimSpace(tag), `"`), "r")
	if !ok {
		return 0, false
	}
	text, _, _ = strings.Cut(text, "~")
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}

const (
	heartbeatPatience = 30 * time.Second // silence after which a stream is lost
	maxEvent          = 64 << 20         // bytes of one event
)
