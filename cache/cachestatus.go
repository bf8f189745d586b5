package cache

import (
	"net/http"
	"strconv"
	"time"
)

// The texts of Cache-Status (RFC 9211). Our member is the last of the list:
// the one closest to the user.
const cacheName = "Swale"

// appendTo tells of an answer without asking.
func (v verdict) appendTo(buf []byte) []byte {
	buf = append(buf, cacheName+"; hit; ttl="...)
	buf = strconv.AppendInt(buf, v.seconds(), 10)
	if v.detail != "fresh" {
		buf = append(buf, "; detail="...)
		buf = append(buf, v.detail...)
	}
	return buf
}

// missStatus tells of a question.
type missStatus struct {
	fwd       string
	status    int // what the origin answered; zero for a transport error
	stored    bool
	collapsed bool
	detail    string
}

func (m missStatus) text() []byte {
	b := append([]byte(nil), cacheName+"; fwd="...)
	b = append(b, m.fwd...)
	if m.status != 0 {
		b = append(b, "; fwd-status="...)
		b = strconv.AppendInt(b, int64(m.status), 10)
	}
	if m.stored {
		b = append(b, "; stored"...)
	}
	if m.collapsed {
		b = append(b, "; collapsed"...)
	}
	if m.detail != "" {
		b = append(b, "; detail="...)
		b = append(b, m.detail...)
	}
	return b
}

// withStatus adds our member to a response that the transport inside gave us, and
// when it came if it has no Date (RFC 9110 section 6.6.1). Its header is copied: it
// may be somebody else's. The response isn't: trailers that it didn't announce are
// put into it at the end of its body.
func withStatus(resp *http.Response, m missStatus, received time.Time) {
	if resp.Header == nil {
		resp.Header = make(http.Header, 2)
	} else {
		resp.Header = resp.Header.Clone()
	}
	resp.Header["Cache-Status"] = append(resp.Header["Cache-Status"], string(m.text()))
	if len(resp.Header["Date"]) == 0 {
		resp.Header["Date"] = []string{httpDate(received)}
	}
}
