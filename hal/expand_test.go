package hal_test

import (
	"strings"
	"testing"

	"github.com/goswale/swale/hal"
)

// Examples in the manner of RFC 6570 sections 1.2 and 3.2, and texts beyond
// ASCII, which those leave out.
func TestExpand(t *testing.T) {
	values := []hal.Var{
		hal.V("var", "value"), hal.V("hello", "Hello World!"), hal.V("half", "50%"), hal.V("empty", ""), hal.V("path", "/foo/bar"),
		hal.V("x", 1024), hal.V("y", 768.5), hal.List("list", "red", "green"), hal.List[string]("none"),
		hal.Map("keys", map[string]string{"semi": ";", "dot": ".", "void": ""}), hal.V("city", "Zürich €𝄞"), hal.V("done", "a%2Fb%"),
	}
	for template, want := range map[string]string{
		"{var}": "value", "{hello}": "Hello%20World%21", "{half}": "50%25", "O{empty}X": "OX", "O{none}X": "OX",
		"{x,hello,y}": "1024,Hello%20World%21,768.5", "{var:3}": "val", "{list}": "red,green", "{list*}": "red,green",
		"{keys}": "dot,.,semi,%3B,void,", "{keys*}": "dot=.,semi=%3B,void=",
		"{+hello}": "Hello%20World!", "{+path}/here": "/foo/bar/here", "{+path:6}/here": "/foo/b/here", "{+keys*}": "dot=.,semi=;,void=",
		"{+done}": "a%2Fb%25", "{done}": "a%252Fb%25",
		"{#x,hello}": "#1024,Hello%20World!", "X{.x,y}": "X.1024.768.5", "X{.empty}": "X.", "{/var:1,var}": "/v/value", "{/list*}": "/red/green",
		"{;x,empty}": ";x=1024;empty", "{;list*}": ";list=red;list=green", "{;keys*}": ";dot=.;semi=%3B;void", "{;keys}": ";keys=dot,.,semi,%3B,void,",
		"{?x,empty}": "?x=1024&empty=", "{?list}": "?list=red,green", "{?keys*}": "?dot=.&semi=%3B&void=", "?a=b{&x}": "?a=b&x=1024", "{&none}": "",
		"{city}": "Z%C3%BCrich%20%E2%82%AC%F0%9D%84%9E", "{+city}": "Z%C3%BCrich%20%E2%82%AC%F0%9D%84%9E", "{city:2}": "Z%C3%BC",
		"/cafés/{var}?q=[1]": "/caf%C3%A9s/value?q=[1]",
	} {
		var given []hal.Var
		for _, v := range values {
			if _, err := hal.Expand(template, v); err == nil {
				given = append(given, v) // the template has it
			}
		}
		got, err := hal.Expand(template, given...)
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", template, got, err, want)
		}
	}
	for _, template := range []string{"{", "{}", "}", "{a", "{=a}", "{a:x}", "{a b}", strings.Repeat("x", 10000)} {
		if got, err := hal.Expand(template); err == nil {
			t.Errorf("%.20s must be refused, not become %.20s", template, got)
		}
	}
}
