package storefront

import "strings"

// geohashLetters are the digits of a geohash, in order of their value.
const geohashLetters = "0123456789bcdefghjkmnpqrstuvwxyz"

// box is an area between two meridians and two parallels.
type box struct{ west, south, east, north float64 }

// isGeohash reports whether a text names an area, as "" does.
func isGeohash(text string) bool { return len(text) <= 12 && strings.Trim(text, geohashLetters) == "" }

// geohashBox returns the area that a geohash names; the whole world for "".
func geohashBox(hash string) box {
	b := box{-180, -90, 180, 90}
	east := true // bits take turns, longitude first
	for i := range len(hash) {
		digit := strings.IndexByte(geohashLetters, hash[i])
		for bit := 4; bit >= 0; bit-- {
			upper := digit>>bit&1 == 1
			low, high := &b.south, &b.north
			if east {
				low, high = &b.west, &b.east
			}
			if middle := (*low + *high) / 2; upper {
				*low = middle
			} else {
				*high = middle
			}
			east = !east
		}
	}
	return b
}
