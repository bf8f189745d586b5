package browser

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/resn"
)

// Ids are one token without anything that a header field or a line can't hold,
// and come back as they went.
func FuzzPositions(f *testing.F) {
	f.Add("e1", uint64(7), "~X", uint64(0))
	f.Add("a&b=c.d", uint64(1)<<63, "\n\"%", uint64(3))
	f.Fuzz(func(t *testing.T, e1 string, s1 uint64, e2 string, s2 uint64) {
		views := []*view{{topic: &topic{name: "a.b-c"}, at: position{e1, s1}}, {topic: &topic{name: "d"}, at: position{e2, s2}}}
		id := string(formatPositions(nil, views))
		if strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }) {
			t.Fatalf("id %q isn't one token", id)
		}
		if len(id) > maxID {
			return
		}
		want := map[string]position{"a.b-c": {e1, s1}, "d": {e2, s2}}
		if diff := cmp.Diff(want, parsePositions(id), cmp.AllowUnexported(position{})); diff != "" {
			t.Fatalf("%q came back changed:\n%s", id, diff)
		}
	})
}

// Whatever is sent as an id, asking for it doesn't fail.
func FuzzLastEventID(f *testing.F) {
	f.Add("dishes=1.e1")
	f.Add("=&=.&dishes=.&dishes=18446744073709551615.~&dishes=1.%zz")
	f.Fuzz(func(t *testing.T, id string) {
		o := &Options{}
		o.fill()
		tp := newTopic("dishes", "here", o)
		defer tp.stop()
		tp.notice(resn.Event{Topic: "dishes", Type: resn.Update, Href: "https://a.example/1", Seq: 2, Epoch: "e1"})
		at, ok := parsePositions(id)["dishes"]
		if !ok {
			return
		}
		n, found, known := tp.seek(at)
		if found && (n < tp.first() || n > tp.heard || !known) {
			t.Fatalf("%q is found at %d of %d to %d", id, n, tp.first(), tp.heard)
		}
	})
}

func TestMerge(t *testing.T) {
	notice := func(kind, href string) entry { return entry{notice: resn.Event{Topic: "t", Type: kind, Href: href}} }
	for _, c := range []struct {
		in, out string // type and href in one letter each
	}{
		{"u1", "u1"},
		{"u1 u2", "u1 u2"},
		{"u1 u2 u1", "u2 u1"},
		{"c1 u1", "c1"},
		{"c1 d1", "d1"},
		{"d1 c1", "u1"},
		{"u1 n1", "u1"},
		{"d1 n1 n1", "d1"},
		{"n1 u1", "u1"},
		{"c1 u1 u1 u2 u1", "u2 c1"},
		{"u1 -- u1", "u1 -- u1"},
	} {
		kinds := map[byte]string{'u': resn.Update, 'c': resn.Create, 'd': resn.Delete, 'n': resn.Noop}
		var entries []entry
		for w := range strings.FieldsSeq(c.in) {
			if w == "--" {
				entries = append(entries, entry{reset: "x"})
			} else {
				entries = append(entries, notice(kinds[w[0]], w[1:]))
			}
		}
		merged, dropped := merge(entries)
		var got []string
		for _, e := range merged {
			switch {
			case e == nil:
				dropped--
			case e.reset != "":
				got = append(got, "--")
			default:
				got = append(got, e.notice.Type[:1]+e.notice.Href)
			}
		}
		if text := strings.Join(got, " "); text != c.out || dropped != 0 {
			t.Errorf("%s becomes %s, want %s (%d miscounted)", c.in, text, c.out, dropped)
		}
	}
}
