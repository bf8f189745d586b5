package bus

import "encoding/binary"

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// simple reports whether b is printable ASCII without quotes and backslashes: a
// plain attribute that is the same in JSON. It looks at eight bytes at a time,
// because nearly everything that an event holds is so, on both sides of the wire.
func simple(b []byte) bool {
	for len(b) >= 8 {
		if odd(binary.LittleEndian.Uint64(b)) {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// odd reports whether one of eight bytes isn't simple. A byte x is below n if x-n
// borrows while x has no high bit, and is c if x^c is below 1.
func odd(x uint64) bool {
	quote, slash := x^(ones*'"'), x^(ones*'\\')
	control := (x - ones*0x20) &^ x
	return (x|(x+ones)|control|(quote-ones)&^quote|(slash-ones)&^slash)&highs != 0
}
