package explorer_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/hal/browsertest"
	"github.com/goswale/swale/hal/explorer"
)

// The page and the client must lead to the same place.
func TestTemplatesExpandAsInGo(t *testing.T) {
	b := browsertest.Open(t)
	page, _ := site(t)
	b.Go(page)
	b.Until(`document.querySelector('h1') !== null`)
	values := map[string]any{
		"var": "value", "hello": "Hello World!", "half": "50%", "empty": "", "path": "/foo/bar", "x": "1024", "y": "768",
		"list": []string{"red", "green", "blue & co"}, "base": "http://example.com/home/", "uni": "ü€𝄞!", "semi": ";", "dom": []string{"example", "com"},
	}
	vars := []hal.Var{hal.List("list", "red", "green", "blue & co"), hal.List("dom", "example", "com")}
	for name, value := range values {
		if s, ok := value.(string); ok {
			vars = append(vars, hal.V(name, s))
		}
	}
	data, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	every := "{#var,hello,half,empty,path,x,y,list,base,uni,semi,dom}" // names every variable, as Expand wants
	for _, template := range []string{
		"{var}", "{hello}", "{half}", "O{empty}X", "O{undef}X", "{x,y}", "{x,hello,y}", "?{x,empty}", "?{x,undef}", "{var:3}", "{var:30}", "{list}", "{list*}",
		"{+var}", "{+hello}", "{+half}", "{base}index", "{+base}index", "{+path}/here", "up{+path}{var}/here", "{+x,hello,y}", "{+path:6}/here", "{+list}", "{+list*}",
		"{#var}", "{#hello}", "{#path,x}/here", "{#list*}", "X{.var}", "X{.empty}", "X{.x,y}", "X{.list*}", "www{.dom*}", "{/var}", "{/var,empty}", "{/var,x}/here", "{/list*}", "{/var:1,var}",
		"{;x,y}", "{;x,empty}", "{;list}", "{;list*}", "{;hello:5}", "{?x,y}", "{?x,y,empty}", "{?list*}", "{?var:3}", "?fixed=yes{&x}", "{&x,y,empty}", "{&list}", "{uni}", "{+uni}", "{semi:2}", "{uni:2}",
	} {
		want, err := hal.Expand(template+every, vars...)
		if err != nil {
			t.Fatal(err)
		}
		quoted, err := json.Marshal(template + every)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Eval(`import('./template.js').then((m) => m.expand(` + string(quoted) + `, ` + string(data) + `))`); got != want {
			t.Errorf("%s: the page says %s, Go says %s", template, got, want)
		}
	}
}

func TestNumbersAreShownAsSent(t *testing.T) {
	b := browsertest.Open(t)
	page, _ := site(t)
	b.Go(page)
	b.Until(`document.querySelector('h1') !== null`)
	const text = `{"big":12345678901234567890,"twice":1,"twice":2,"s":"\u003c\"","e":[],"o":{},"n":[1.50,-2e+9,null,true]}`
	quoted, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"big\": 12345678901234567890,\n  \"twice\": 1,\n  \"twice\": 2,\n  \"s\": \"\\u003c\\\"\",\n  \"e\": [],\n  \"o\": {},\n  \"n\": [\n    1.50,\n    -2e+9,\n    null,\n    true\n  ]\n}"
	if got := b.Eval(`import('./json.js').then((m) => m.pretty(` + string(quoted) + `, () => null).textContent)`); got != want {
		t.Errorf("got %s", got)
	}
}

// An API of the page's own origin is called by the browser, and writes by hand
// are conditional.
func TestOwnOriginAndWriting(t *testing.T) {
	b := browsertest.Open(t)
	type note struct {
		Links struct {
			Self hal.Link `json:"self"`
		} `json:"_links"`
		Text string `json:"text"`
	}
	current := note{Text: "one"}
	current.Links.Self = hal.To("/note")
	mux := http.NewServeMux()
	mux.Handle("/explorer/", explorer.New(&explorer.Options{Start: "/note"}))
	mux.Handle("GET /note", hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		return hal.Write(w, r, http.StatusOK, current, nil)
	}))
	mux.Handle("PUT /note", hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		tag, err := hal.ETag(current)
		if err != nil {
			return err
		}
		if err := hal.Check(r, hal.Conditions{ETag: tag, Require: true}); err != nil {
			return err
		}
		if current, err = hal.Decode[note](r, nil); err != nil {
			return err
		}
		return hal.Write(w, r, http.StatusOK, current, nil)
	}))
	server := httptest.NewServer(mux)
	defer server.Close()
	b.Go(server.URL + "/explorer/")
	b.Until(`document.querySelector('h1')?.textContent === '/note'`)
	write := func(text string) {
		t.Helper()
		b.Eval(`(() => { const f = document.querySelector('.write form'); f.querySelector('[name=body]').value = '{"text":"` + text + `"}'; f.requestSubmit(); })()`)
	}
	write("two")
	b.Until(`document.querySelector('.status').innerText.startsWith('PUT') && document.querySelector('.state').innerText.includes('two')`)
	b.Eval(`document.querySelector('.write [name=if-match]').value = '"old"'`)
	write("three")
	b.Until(`document.querySelector('.problem')?.innerText.includes('has changed since it was read')`)
	if current.Text != "two" {
		t.Errorf("the note is %q: a write against an old version must not go through", current.Text)
	}
	b.Screenshot("refused")
	b.CheckAccessible()
	b.Eval(`[...document.querySelectorAll('section button')].find((e) => e.textContent.includes('keep what I wrote')).click()`)
	b.Until(`document.querySelector('.state')?.innerText.includes('two')`)
	if got := b.Eval(`document.querySelector('.write').open + ' ' + document.querySelector('.write [name=body]').value`); got != `true {"text":"three"}` {
		t.Errorf("what was written and refused must still be there beside what the resource is now: %s", got)
	}
	b.Eval(`document.querySelector('.write form').requestSubmit()`)
	b.Until(`document.querySelector('.status').innerText.startsWith('PUT') && document.querySelector('.state')?.innerText.includes('three')`)
	if got := b.Eval(`document.querySelector('.write').open + ' ' + document.querySelector('.write [name=body]').value.includes('\n')`); got != "false true" {
		t.Errorf("once it is written the draft is gone, and what is there can be read: %s", got)
	}
	for _, trouble := range b.Troubles() {
		t.Errorf("%s", trouble)
	}
}
