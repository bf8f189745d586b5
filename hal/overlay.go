package hal

import (
	"bytes"
	"slices"

	"github.com/goswale/swale/hal/internal/rawjson"
)

// overlay writes into the document raw what changed between before and after,
// two encodings of one Go value. What the type doesn't know survives, and
// unlike a merge patch it can write null.
func overlay(raw, before, after []byte) []byte {
	return appendOverlay(make([]byte, 0, len(raw)+len(after)/4), raw, before, after)
}

func appendOverlay(dst, raw, before, after []byte) []byte {
	kind := rawjson.Kind(raw)
	switch {
	case bytes.Equal(before, after):
		return append(dst, raw...)
	case rawjson.Kind(before) != kind || rawjson.Kind(after) != kind:
		return append(dst, after...)
	case kind == '{':
		return appendOverlayObject(dst, raw, before, after)
	case kind == '[':
		return appendOverlayArray(dst, raw, before, after)
	case same(before, after):
		return append(dst, raw...)
	}
	return append(dst, after...)
}

func appendOverlayObject(dst, raw, before, after []byte) []byte {
	was, now := asMap(before), asMap(after)
	dst = append(dst, '{')
	first := true
	member := func(key string) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(rawjson.AppendString(dst, key), ':')
	}
	for _, m := range rawjson.List(raw) {
		value, stays := now[m.Key]
		old, known := was[m.Key]
		delete(now, m.Key)
		switch {
		case stays && known:
			member(m.Key)
			dst = appendOverlay(dst, m.Value, old, value)
		case stays:
			member(m.Key)
			dst = append(dst, value...)
		case known: // and gone
		default: // unknown to the type
			member(m.Key)
			dst = append(dst, m.Value...)
		}
	}
	for _, m := range rawjson.List(after) {
		value, left := now[m.Key]
		if old, known := was[m.Key]; !left || known && same(old, value) {
			continue // not in raw and not touched: an empty value of the type's
		}
		member(m.Key)
		dst = append(dst, value...)
	}
	return append(dst, '}')
}

func asMap(data []byte) map[string][]byte {
	list := rawjson.List(data)
	m := make(map[string][]byte, len(list))
	for _, member := range list {
		m[member.Key] = member.Value
	}
	return m
}

// appendOverlayArray keeps what the type doesn't know of elements that stay,
// wherever they have moved to, and of those that were changed in place.
func appendOverlayArray(dst, raw, before, after []byte) []byte {
	kept := slices.Collect(rawjson.Elements(raw))
	was := slices.Collect(rawjson.Elements(before))
	now := slices.Collect(rawjson.Elements(after))
	if len(kept) != len(was) {
		return append(dst, after...) // the type has its own idea of the array
	}
	from := align(was, now)
	dst = append(dst, '[')
	for i, value := range now {
		if i > 0 {
			dst = append(dst, ',')
		}
		if j := from[i]; j >= 0 {
			dst = appendOverlay(dst, kept[j], was[j], value)
		} else {
			dst = append(dst, value...)
		}
	}
	return append(dst, ']')
}

// align finds for each element of now the one of was that it comes from, or
// -1. Equal ones belong together. What is left over on both sides in equal
// number was changed in place, unless its identity says otherwise: then it is
// another thing, to which what is unknown of the old one doesn't belong.
func align(was, now [][]byte) []int {
	places := make(map[string][]int, len(was))
	for j, value := range was {
		places[string(value)] = append(places[string(value)], j)
	}
	from := make([]int, len(now))
	taken := make([]bool, len(was))
	var open []int
	for i, value := range now {
		if at := places[string(value)]; len(at) > 0 {
			from[i], places[string(value)], taken[at[0]] = at[0], at[1:], true
			continue
		}
		from[i] = -1
		open = append(open, i)
	}
	byIdentity := make(map[string]int)
	left := 0
	for j, value := range was {
		if taken[j] {
			continue
		}
		left++
		if id, ok := identity(value); ok {
			if _, twice := byIdentity[id]; !twice {
				byIdentity[id] = j
			}
		}
	}
	j := 0
	for _, i := range open {
		for j < len(was) && taken[j] {
			j++
		}
		id, ok := identity(now[i])
		at, known := byIdentity[id]
		switch {
		case ok && known:
			from[i] = at
			delete(byIdentity, id)
		case ok || left != len(open) || j == len(was):
		default:
			if _, other := identity(was[j]); !other {
				from[i] = j
			}
		}
		j++
	}
	return from
}

// identity returns by what an object is known: its self link, or its id.
func identity(value []byte) (string, bool) {
	if rawjson.Kind(value) != '{' {
		return "", false
	}
	if links, ok := rawjson.Lookup(value, "_links"); ok {
		if self, ok := rawjson.Lookup(links, "self"); ok {
			if href, ok := rawjson.Lookup(self, "href"); ok {
				return "self" + string(href), true
			}
		}
	}
	id, ok := rawjson.Lookup(value, "id")
	return "id" + string(id), ok
}
