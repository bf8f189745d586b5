package configsvc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/goswale/swale/configsvc"
)

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ text, why string }{
		{``, "ends where a value should be"},
		{`{`, "begins with its name"},
		{`{"a"}`, "':'"},
		{`{"a":1,}`, "begins with its name"},
		{`[1,]`, "no value begins"},
		{`[1 2]`, "','"},
		{`{"a":1,"b":2,"a":3}`, `"a" is there twice`},
		{`{"a":1,"\u0061":3}`, `"a" is there twice`},
		{`01`, "after the value"},
		{`1.`, "a number"},
		{`-`, "a number"},
		{`truth`, "no value begins"},
		{`{} x`, "after the value"},
		{`"\x"`, "escape"},
		{`"\ud800"`, "escape"},
		{`"\udc00\ud800"`, "escape"},
		{"\"\xff\"", "UTF-8"},
		{"\"a\nb\"", "control character"},
		{`"abc`, "no end"},
		{`"abc\`, "no end"},
		{strings.Repeat("[", 100000), "deeper"},
		{strings.Repeat(`{"a":`, 100000), "deeper"},
	} {
		_, err := configsvc.Parse([]byte(c.text))
		if !errors.Is(err, configsvc.ErrSyntax) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%.40q: the error must say %q: %v", c.text, c.why, err)
		}
	}
}

// The hash is of the value, not of how it was written.
func TestHashIsOfTheValue(t *testing.T) {
	same := []string{`{"a":1,"b":{"c":"x/y","d":[1,2]}}`, ` { "b" : {"d":[1, 2],"\u0063":"x\/y"}, "a":1 } `}
	if a, b := configsvc.Hash(parse(t, same[0])), configsvc.Hash(parse(t, same[1])); a != b || len(a) != 32 {
		t.Errorf("equal values must have equal hashes of 32 digits: %s and %s", a, b)
	}
	seen := map[string]string{}
	for _, text := range []string{`{}`, `[]`, `null`, `{"a":1}`, `{"a":"1"}`, `{"a":[1]}`, `{"a":{"1":1}}`, `{"a":1,"b":1}`, `{"a":10}`, `12345678901234567890`, `12345678901234567891`} {
		h := configsvc.Hash(parse(t, text))
		if other, ok := seen[h]; ok {
			t.Errorf("%s and %s have the same hash", text, other)
		}
		seen[h] = text
	}
	if got := configsvc.Hash(parse(t, `{"a":1}`)); got != "015abd7f5cc57a2dd94b7590f04ad808" {
		t.Errorf("the hash must stay what it was from release to release: %s", got)
	}
}

func TestAt(t *testing.T) {
	v := parse(t, `{"a":{"b/c":{"~":"x"}},"s":"q\"\n","list":[1]}`)
	for path, want := range map[string]string{"": v.String(), "/a/b~1c/~0": `"x"`, "/a/nothing": "", "/list/0": "", "/list": "[1]"} {
		if got := v.At(path).String(); got != want {
			t.Errorf("%q: got %s, want %s", path, got, want)
		}
	}
	if got, ok := v.Get("s").Text(); !ok || got != "q\"\n" {
		t.Errorf("the text of a string is without its escapes: %q", got)
	}
}

func TestCheckKey(t *testing.T) {
	for _, key := range []string{"a", "base", "region/eu-west-1/orders", "_schemas/base", "a.b/c_d", "0"} {
		if err := configsvc.CheckKey(key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	for _, key := range []string{"", "/a", "a/", "a//b", "A", "a b", "../a", "a/..", "a/.b", "-a", "ä", "a?b", "a%2fb", strings.Repeat("a", 257), strings.Repeat("a/", 16) + "a"} {
		if err := configsvc.CheckKey(key); !errors.Is(err, configsvc.ErrKey) {
			t.Errorf("%q must be refused: %v", key, err)
		}
	}
}

// Prefixes of Hailo's rules ignored where segments end.
func TestPrefixesRespectSegments(t *testing.T) {
	for _, c := range []struct {
		prefix, key string
		want        bool
	}{
		{"", "base", true},
		{"base", "base", true},
		{"base", "base/orders", true},
		{"base/order", "base/orders", false},
		{"base/orders", "base", false},
		{"bas", "base", false},
	} {
		if got := configsvc.Under(c.prefix, c.key); got != c.want {
			t.Errorf("Under(%q, %q) is %v", c.prefix, c.key, got)
		}
	}
}

func TestLayers(t *testing.T) {
	for _, c := range []struct {
		service, region, environment, want string
	}{
		{"orders", "eu", "live", "base base/orders region/eu region/eu/orders environment/live environment/live/orders"},
		{"orders", "", "live", "base base/orders environment/live environment/live/orders"},
		{"", "eu", "", "base region/eu"},
	} {
		if got := strings.Join(configsvc.Layers(c.service, c.region, c.environment), " "); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
