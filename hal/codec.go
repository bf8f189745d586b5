package hal

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"sync"
)

// An encoder with its buffer, kept between calls: encoding then costs one
// allocation, the result's.
type encoder struct {
	buf bytes.Buffer
	enc *json.Encoder
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.enc = json.NewEncoder(&e.buf)
	e.enc.SetEscapeHTML(false) // "?a=1&b=2" stays readable; JSON needs no more
	return e
}}

// maxPooled keeps one huge document from pinning its buffer for ever.
const maxPooled = 1 << 20

func (e *encoder) release() {
	if e.buf.Cap() <= maxPooled {
		encoders.Put(e)
	}
}

// A null is looked for by its rarer half first: colons are everywhere.
var halfNull, colonNull = []byte("ull"), []byte(":null")

// encode returns the document of v, valid until release.
func (e *encoder) encode(v any) ([]byte, error) {
	e.buf.Reset()
	if err := e.enc.Encode(v); err != nil {
		return nil, err
	}
	out := e.buf.Bytes()
	out = out[:len(out)-1] // the newline
	if bytes.Contains(out, halfNull) && bytes.Contains(out, colonNull) {
		out = emptyForNull(out, reflect.TypeOf(v))
	}
	return out, nil
}

// Marshal encodes v as Write does: by encoding/json, but leaving <, > and &
// as they are and writing a nil slice as [], so that a collection with
// nothing in it is still a collection. Slices reached through interfaces and
// through types with a MarshalJSON of their own are left to those.
func Marshal(v any) ([]byte, error) {
	e := encoders.Get().(*encoder)
	defer e.release()
	out, err := e.encode(v)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(out), nil
}

// Unmarshal decodes data into v by encoding/json. Where that fails because a
// relation in _links or _embedded holds one object and the type declares many,
// or the other way round, the document is brought into the declared shape and
// decoded again. Documents that are shaped as declared pay nothing for it.
func Unmarshal(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if err == nil {
		return nil
	}
	if wrong := (*json.UnmarshalTypeError)(nil); !errors.As(err, &wrong) {
		return err
	}
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer {
		return err
	}
	if shaped, changed := oneOrMany(data, t.Elem()); changed {
		return json.Unmarshal(shaped, v)
	}
	return err
}
