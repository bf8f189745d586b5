package hal

import (
	"net/url"
	"testing"
)

func FuzzPlainPath(f *testing.F) {
	for _, s := range []string{"/r/1?a=b&c=d", "//evil", "/../x", "/a b", "/a%2fb", "x", "/a//b", "/a?b?c", "/a/.?"} {
		f.Add(s)
	}
	base, err := url.Parse("https://api.example:8443/v1/")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, href string) {
		if !plainPath(href) {
			return
		}
		u, err := base.Parse(href)
		if err != nil || u.String() != "https://api.example:8443"+href {
			t.Fatalf("%q resolves to %v, %v: the short cut must end at the same place", href, u, err)
		}
	})
}
