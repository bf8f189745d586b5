package bus

import (
	"bytes"
	"strings"
	"testing"
	"unsafe"
)

// within reports whether s is a part of b's memory.
func within(s string, b []byte) bool {
	at, from := uintptr(unsafe.Pointer(unsafe.StringData(s))), uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return at >= from && at < from+uintptr(len(b))
}

func TestDecodeKeepsNoLongDataAlive(t *testing.T) {
	for _, size := range []int{10, 4000} {
		body := []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"/orders/9","data":"` + strings.Repeat("x", size) + `"}`)
		var e Event
		if err := e.decode(body); err != nil {
			t.Fatal(err)
		}
		if e.Subject != "/orders/9" {
			t.Errorf("subject is %q", e.Subject)
		}
		if got, want := within(e.Subject, body), size < maxShared; got != want {
			t.Errorf("with %d bytes of data the subject is a part of the body: %v, want %v: who keeps it would keep the data", size, got, want)
		}
	}
}

// What a handler does to Data in place reaches no attribute and no neighbour.
func TestDataInPlaceReachesNothingElse(t *testing.T) {
	batch := []byte(`[{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"a","x":"y","data":{"n":1},"z":"v"},{"specversion":"1.0","id":"2","source":"/s","type":"t","subject":"b","data":[2]}]`)
	events, err := decodeBatch(bytes.Clone(batch), len(batch), nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := UnmarshalBatch(batch)
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		data := events[i].Data
		for k := range data {
			data[k] = '!'
		}
		_ = append(data, "!!!!!!!!"...)
		want[i].Data = data
	}
	got, _ := MarshalBatch(events)
	expected, _ := MarshalBatch(want)
	if !bytes.Equal(got, expected) {
		t.Errorf("after Data was overwritten the events are %s, want %s", got, expected)
	}
}
