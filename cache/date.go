package cache

import (
	"net/http"
	"time"
)

const (
	shortDays   = "MonTueWedThuFriSatSun"
	shortMonths = "JanFebMarAprMayJunJulAugSepOctNovDec"
)

var longDays = [...]string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

// httpDate writes an HTTP-date.
func httpDate(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// parseDate reads an HTTP-date (RFC 9110 section 5.6.7) in one of its three
// formats, and nothing that [time.Parse] would let through besides: no other
// case, no other zone, no missing zero, no day that its month hasn't got.
// A two-digit year is read relative to now.
func parseDate(s string, now time.Time) (time.Time, bool) {
	switch {
	case len(s) == 29 && s[3] == ',':
		return parseIMFFixdate(s)
	case len(s) == 24 && s[3] == ' ':
		return parseASCTime(s)
	default:
		return parseRFC850(s, now)
	}
}

// parseIMFFixdate reads "Sun, 06 Nov 1994 08:49:37 GMT".
func parseIMFFixdate(s string) (time.Time, bool) {
	if !isShortDay(s[:3]) || s[4] != ' ' || s[7] != ' ' || s[11] != ' ' || s[16] != ' ' || s[25:] != " GMT" {
		return time.Time{}, false
	}
	day, ok1 := digits(s[5:7])
	month, ok2 := monthOf(s[8:11])
	year, ok3 := digits(s[12:16])
	return civil(year, month, day, s[17:25], ok1 && ok2 && ok3)
}

// parseRFC850 reads the obsolete "Sunday, 06-Nov-94 08:49:37 GMT".
func parseRFC850(s string, now time.Time) (time.Time, bool) {
	for _, name := range longDays {
		if len(s) != len(name)+24 || s[:len(name)] != name {
			continue
		}
		s = s[len(name):] // ", 06-Nov-94 08:49:37 GMT"
		if s[:2] != ", " || s[4] != '-' || s[8] != '-' || s[11] != ' ' || s[20:] != " GMT" {
			return time.Time{}, false
		}
		day, ok1 := digits(s[2:4])
		month, ok2 := monthOf(s[5:8])
		year, ok3 := digits(s[9:11])
		// A date that looks more than 50 years ahead is in the past.
		year += now.UTC().Year() / 100 * 100
		if year > now.UTC().Year()+50 {
			year -= 100
		}
		return civil(year, month, day, s[12:20], ok1 && ok2 && ok3)
	}
	return time.Time{}, false
}

// parseASCTime reads the obsolete "Sun Nov  6 08:49:37 1994".
func parseASCTime(s string) (time.Time, bool) {
	if !isShortDay(s[:3]) || s[7] != ' ' || s[10] != ' ' || s[19] != ' ' {
		return time.Time{}, false
	}
	dayDigits := s[8:10]
	if dayDigits[0] == ' ' {
		dayDigits = dayDigits[1:]
	}
	month, ok1 := monthOf(s[4:7])
	day, ok2 := digits(dayDigits)
	year, ok3 := digits(s[20:24])
	return civil(year, month, day, s[11:19], ok1 && ok2 && ok3)
}

// civil puts a date and a clock of the form "08:49:37" together. A leap
// second is accepted, as RFC 9110 says.
func civil(year int, month time.Month, day int, clock string, ok bool) (time.Time, bool) {
	if !ok || clock[2] != ':' || clock[5] != ':' {
		return time.Time{}, false
	}
	hour, ok1 := digits(clock[:2])
	minute, ok2 := digits(clock[3:5])
	second, ok3 := digits(clock[6:8])
	if !ok1 || !ok2 || !ok3 || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	t := time.Date(year, month, day, hour, minute, min(second, 59), 0, time.UTC)
	if t.Day() != day || day == 0 {
		return time.Time{}, false
	}
	return t, true
}

func isShortDay(s string) bool {
	for i := 0; i < len(shortDays); i += 3 {
		if shortDays[i:i+3] == s {
			return true
		}
	}
	return false
}

func monthOf(s string) (time.Month, bool) {
	for i := 0; i < len(shortMonths); i += 3 {
		if shortMonths[i:i+3] == s {
			return time.Month(i/3 + 1), true
		}
	}
	return 0, false
}

func digits(s string) (int, bool) {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, len(s) > 0
}
