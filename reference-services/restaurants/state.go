package restaurants

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mmcloughlin/geohash"

	"github.com/goswale/swale/hal"
)

// Restaurant is a restaurant as it is served.
type Restaurant struct {
	Links struct {
		Self       hal.Link `json:"self"`
		Collection hal.Link `json:"collection"`
	} `json:"_links"`
	ID string `json:"id"`
	State
	Geohash   string    `json:"geohash"`
	Version   int64     `json:"version"`
	UpdatedAt time.Time `json:"updated_at"`
}

// State is what clients may write.
type State struct {
	Name        string   `json:"name" prompt:"Name" form:"required,maxlength=200"`
	Cuisine     string   `json:"cuisine" prompt:"Cuisine" form:"maxlength=100"`
	Borough     string   `json:"borough" prompt:"Borough" form:"maxlength=100"`
	Address     Address  `json:"address"`
	Location    Location `json:"location"`
	Status      string   `json:"status" prompt:"Status" options:"open|closed"`
	PrepMinutes int      `json:"prep_minutes" prompt:"Minutes to prepare an order" form:"min=0,max=240"`
}

// Address is where a restaurant is, in words.
type Address struct {
	Building string `json:"building" prompt:"Building" form:"maxlength=50"`
	Street   string `json:"street" prompt:"Street" form:"maxlength=200"`
	Zipcode  string `json:"zipcode" prompt:"ZIP code" form:"maxlength=20"`
}

// Location is where a restaurant is, in degrees (WGS 84).
type Location struct {
	Lat float64 `json:"lat" prompt:"Latitude, in degrees" form:"min=-90,max=90"`
	Lon float64 `json:"lon" prompt:"Longitude, in degrees" form:"min=-180,max=180"`
}

// The values of State.Status.
const (
	StatusOpen   = "open"
	StatusClosed = "closed"
)

// Validate returns what is wrong with a state, or nil.
func (s *State) Validate() []hal.FieldError {
	var errs []hal.FieldError
	wrong := func(pointer, format string, args ...any) {
		errs = append(errs, hal.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
	if strings.TrimSpace(s.Name) == "" {
		wrong("#/name", "A restaurant needs a name.")
	}
	for _, f := range []struct {
		pointer, text string
		most          int // as the form says, in characters
	}{
		{"#/name", s.Name, 200},
		{"#/cuisine", s.Cuisine, 100},
		{"#/borough", s.Borough, 100},
		{"#/address/building", s.Address.Building, 50},
		{"#/address/street", s.Address.Street, 200},
		{"#/address/zipcode", s.Address.Zipcode, 20},
	} {
		if n := utf8.RuneCountInString(f.text); n > f.most {
			wrong(f.pointer, "It has %d characters; at most %d are allowed.", n, f.most)
		}
		if strings.ContainsFunc(f.text, unicode.IsControl) {
			wrong(f.pointer, "It has a control character, such as a tab or a line break.")
		}
	}
	// Where both are zero is open sea: zeros are what was left out.
	if s.Location == (Location{}) {
		wrong("#/location", "A restaurant is somewhere: lat and lon are needed.")
	}
	// Written so that NaN is refused too.
	if lat := s.Location.Lat; !(lat >= -90 && lat <= 90) {
		wrong("#/location/lat", "A latitude is between -90 and 90.")
	}
	if lon := s.Location.Lon; !(lon >= -180 && lon <= 180) {
		wrong("#/location/lon", "A longitude is between -180 and 180.")
	}
	if s.Status != StatusOpen && s.Status != StatusClosed {
		wrong("#/status", "It is %q; it must be open or closed.", s.Status)
	}
	if s.PrepMinutes < 0 || s.PrepMinutes > 240 {
		wrong("#/prep_minutes", "It is %d; it must be between 0 and 240.", s.PrepMinutes)
	}
	return errs
}

// hash returns the geohash of a place, to about five metres.
func (l Location) hash() string {
	return geohash.EncodeWithPrecision(l.Lat, l.Lon, 9)
}
