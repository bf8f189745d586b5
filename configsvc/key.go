package configsvc

import (
	"errors"
	"fmt"
	"strings"
)

// Limits of keys.
const (
	// MaxKeyLength is how many bytes a key may have.
	MaxKeyLength = 256
	// MaxKeySegments is how many segments a key may have.
	MaxKeySegments = 16
	// MaxKeys is how many keys one compilation may name.
	MaxKeys = 64
)

// ErrKey is wrapped by every error about a key that breaks the rules of
// [CheckKey].
var ErrKey = errors.New("configsvc: not a key")

// CheckKey says what is wrong with a key, or nil. A key is a path of segments
// with a slash between them: region/eu-west-1/orders. A segment is made of a-z,
// 0-9, '-', '_' and '.', and begins with a letter, a digit or '_'. Segments that
// begin with '_' at the front of a key are the service's own: _schemas,
// _rollouts.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKeyLength {
		return fmt.Errorf("%w: it has %d bytes; it must have 1 to %d", ErrKey, len(key), MaxKeyLength)
	}
	segments := 0
	for segment := range strings.SplitSeq(key, "/") {
		if segments++; segments > MaxKeySegments {
			return fmt.Errorf("%w: %q has more than %d segments", ErrKey, clip(key), MaxKeySegments)
		}
		if !validSegment(segment) {
			return fmt.Errorf("%w: segment %d of %q is %q; a segment is made of a-z, 0-9, '-', '_' and '.', and begins with a letter, a digit or '_'",
				ErrKey, segments, clip(key), clip(segment))
		}
	}
	return nil
}

func validSegment(s string) bool {
	for i := range len(s) {
		c := s[i]
		first := 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_'
		if !first && (i == 0 || c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

// Reserved reports whether a key is the service's own: its first segment begins
// with '_'.
func Reserved(key string) bool { return strings.HasPrefix(key, "_") }

// Under reports whether key is prefix or below it. It respects the borders of
// segments: base/order is not above base/orders. The empty prefix is above
// everything.
func Under(prefix, key string) bool {
	return prefix == "" || key == prefix || strings.HasPrefix(key, prefix) && key[len(prefix)] == '/'
}

// Layers returns the keys of the usual six layers, from the weakest to the
// strongest: base, region and environment, each without and with the service.
//
//	base
//	base/orders
//	region/eu-west-1
//	region/eu-west-1/orders
//	environment/staging
//	environment/staging/orders
//
// Where service, region or environment are empty their layers are left out.
func Layers(service, region, environment string) []string {
	keys := make([]string, 0, 6)
	add := func(key string) {
		keys = append(keys, key)
		if service != "" {
			keys = append(keys, key+"/"+service)
		}
	}
	add("base")
	if region != "" {
		add("region/" + region)
	}
	if environment != "" {
		add("environment/" + environment)
	}
	return keys
}

// CheckKeys says what is wrong with a list of keys to compile, or nil.
func CheckKeys(keys []string) error {
	if len(keys) == 0 || len(keys) > MaxKeys {
		return fmt.Errorf("%w: a compilation of %d keys; it takes 1 to %d", ErrKey, len(keys), MaxKeys)
	}
	seen := make(map[string]bool, len(keys))
	for _, key := range keys {
		if err := CheckKey(key); err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("%w: %q is named twice in one compilation", ErrKey, key)
		}
		seen[key] = true
	}
	return nil
}

// clip keeps hostile input out of the length of errors and logs.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
