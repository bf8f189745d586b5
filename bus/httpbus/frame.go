package httpbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
)

// The kinds of frame. PROTOCOL.md is the text; the numbers are fixed.
const (
	kindOpen   = 1 // question: a request's head, perhaps its body
	kindPull   = 2 // question: the response from an offset on
	kindPush   = 3 // question: a piece of the request's body
	kindCancel = 4 // question: nobody waits any more
	kindReply  = 5 // answer to open and pull
	kindTaken  = 6 // answer to push and cancel
)

// version is the first byte of every frame.
const version = 1

// Bits of the flags of open and push.
const flagComplete = 1 // the body ends with this frame

// Bits of the flags of pull.
const flagWantHead = 1

// Bits of the flags of reply.
const (
	flagHead    = 1 // status and header are here
	flagEnd     = 2 // the body ends with this frame, trailers are here
	flagAborted = 4 // the response will never be whole; a reason is here
)

// Bits of the flags of taken.
const flagStop = 1 // the server reads no more of the body

// maxID bounds the names of exchanges and instances.
const maxID = 64

// errFrame is wrapped by every complaint about a frame.
var errFrame = errors.New("invalid frame")

// frame is any of the kinds; each uses some of the fields.
type frame struct {
	kind     byte
	flags    byte
	id       string // the exchange
	instance string // reply: who has the exchange

	method, target, host string // open
	timeout              uint64 // open: ms until the caller gives up, 0 never
	silence              uint64 // open: ms without a sign of life after which a peer counts as dead
	length               int64  // open, reply with head: Content-Length, -1 unknown
	status               int    // reply with head
	header               http.Header
	announced            []string    // open, reply with head: names of the trailers to come
	trailer              http.Header // with the end of a body
	offset               uint64      // pull, push, reply, taken
	limit                uint64      // open, pull: bytes of body wanted
	wait                 uint64      // open, pull, push: ms within which an answer is due
	reason               string      // reply that is aborted
	body                 []byte
}

// append writes the frame after dst.
func (f *frame) append(dst []byte) []byte {
	dst = append(dst, version, f.kind, f.flags)
	dst = appendString(dst, f.id)
	switch f.kind {
	case kindOpen:
		dst = appendString(dst, f.method)
		dst = appendString(dst, f.target)
		dst = appendString(dst, f.host)
		dst = binary.AppendUvarint(dst, f.timeout)
		dst = binary.AppendUvarint(dst, f.silence)
		dst = binary.AppendVarint(dst, f.length)
		dst = binary.AppendUvarint(dst, f.limit)
		dst = binary.AppendUvarint(dst, f.wait)
		dst = appendHeader(dst, f.header)
		dst = appendNames(dst, f.announced)
		if f.flags&flagComplete != 0 {
			dst = appendHeader(dst, f.trailer)
		}
	case kindPull:
		dst = binary.AppendUvarint(dst, f.offset)
		dst = binary.AppendUvarint(dst, f.limit)
		dst = binary.AppendUvarint(dst, f.wait)
	case kindPush:
		dst = binary.AppendUvarint(dst, f.offset)
		dst = binary.AppendUvarint(dst, f.wait)
		if f.flags&flagComplete != 0 {
			dst = appendHeader(dst, f.trailer)
		}
	case kindReply:
		dst = appendString(dst, f.instance)
		dst = binary.AppendUvarint(dst, f.offset)
		if f.flags&flagHead != 0 {
			dst = binary.AppendUvarint(dst, uint64(f.status))
			dst = binary.AppendVarint(dst, f.length)
			dst = appendHeader(dst, f.header)
			dst = appendNames(dst, f.announced)
		}
		if f.flags&flagEnd != 0 {
			dst = appendHeader(dst, f.trailer)
		}
		if f.flags&flagAborted != 0 {
			dst = appendString(dst, f.reason)
		}
	case kindTaken:
		dst = binary.AppendUvarint(dst, f.offset)
	}
	return append(dst, f.body...)
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendNames(dst []byte, names []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(names)))
	for _, n := range names {
		dst = appendString(dst, n)
	}
	return dst
}

// appendHeader writes the number of lines, then each line's name and value.
func appendHeader(dst []byte, h http.Header) []byte {
	n := 0
	for _, values := range h {
		n += len(values)
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	for name, values := range h {
		for _, v := range values {
			dst = appendString(dst, name)
			dst = appendString(dst, v)
		}
	}
	return dst
}

func complain(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errFrame, fmt.Sprintf(format, args...))
}
