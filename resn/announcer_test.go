package resn_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/goswale/swale/resn"
)

func TestAnnouncerRefusesWhatWouldNeverMatch(t *testing.T) {
	const href = "https://api.example/books/1"
	for _, c := range []struct {
		origins    []string
		href, etag string
		want       string
	}{
		{[]string{"https://api.example"}, href, `"v1"`, ""},
		{[]string{"https://api.example"}, href, `W/"v1"`, ""},
		{[]string{"https://API.example:443/"}, href, "", ""},
		{[]string{"https://api.example"}, "https://API.example/books/1", "", ""},
		{nil, href, "v1", `etag is v1; it must be as in the ETag field, with its quotes: "v1"`},
		{nil, href, `W/v1"`, `with its quotes: "v1"`},
		{[]string{"http://api.example"}, href, "", `is of origin https://api.example; allowed are ["http://api.example"]`},
		{[]string{"https://api.example/books"}, href, "", `allowed are ["https://api.example/books"]`},
		{[]string{"api.example"}, href, "", `allowed are ["api.example"]`},
		{nil, "/books/1", "", "it must be an absolute http or https URL"},
	} {
		a := resn.Announcer{Topic: "books", Origins: c.origins}
		_, err := a.Notice(resn.Event{Type: resn.Update, Href: c.href, ETag: c.etag})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s of %q is refused: %v", c.href, c.origins, err)
		case c.want != "" && (!errors.Is(err, resn.ErrNotice) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s, %s of %q: error %v doesn't say %q", c.href, c.etag, c.origins, err, c.want)
		}
	}
	a := resn.Announcer{Topic: "My Books"}
	_, err := a.Notice(resn.Event{Type: resn.Update, Href: href})
	if err == nil || !strings.HasPrefix(err.Error(), `resn: topic is "My Books"; it must be lower-case letters`) || !errors.Is(err, resn.ErrNotice) {
		t.Errorf("a topic's name is nothing about a notice: %v", err)
	}
}
