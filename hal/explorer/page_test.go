package explorer_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/hal/browsertest"
	"github.com/goswale/swale/hal/explorer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type dish struct {
	Name  string  `json:"name" prompt:"Name of the dish" form:"required,maxlength=30" placeholder:"Mapo tofu"`
	Price float64 `json:"price" prompt:"Price" form:"min=0.5,max=200,step=0.1"`
	Heat  string  `json:"heat,omitempty" prompt:"Heat" options:"mild|medium|hot"`
	Vegan bool    `json:"vegan" prompt:"Vegan"`
	Story string  `json:"story,omitempty" prompt:"Story" form:"type=textarea,rows=3"`
}

type kitchenLinks struct {
	Self   hal.Link `json:"self"`
	Curies hal.Many `json:"curies"`
	Dishes hal.Many `json:"acme:dish"`
	Find   hal.Link `json:"find"`
	Old    hal.Link `json:"old"`
	Odd    hal.Link `json:"odd"`
}

type kitchen struct {
	Links    kitchenLinks   `json:"_links"`
	Name     string         `json:"name"`
	Cuisine  string         `json:"cuisine"`
	Rating   float64        `json:"rating"`
	Open     bool           `json:"open"`
	Tags     []string       `json:"tags"`
	Address  map[string]any `json:"address"`
	Embedded struct {
		Dish []map[string]any `json:"acme:dish"`
	} `json:"_embedded"`
}

// api is a small HAL API with everything that the page can show.
func api() http.Handler {
	form := hal.FormOf("add-dish", "POST", dish{Heat: "mild"})
	form.Title, form.Target = "Add a dish", "/dishes"
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		k := kitchen{Name: "The Marsh Kitchen <b>&amp;</b>", Cuisine: "Sichuan", Rating: 4.7, Open: true, Tags: []string{"noodles", "late", "terrace"}}
		k.Address = map[string]any{"street": "Reed Lane 7", "zip": "12345"}
		k.Links = kitchenLinks{
			Self: hal.To("/"), Curies: hal.Many{hal.Curie("acme", "/rels/{rel}")},
			Dishes: hal.Many{{Href: "/dishes/1", Title: "Dan dan noodles"}, {Href: "/dishes/2", Title: "Mapo tofu"}},
			Find:   hal.Link{Href: "/dishes{/id}{?near,tags*}", Templated: true, Title: "Find a dish"},
			Old:    hal.Link{Href: "/nowhere", Deprecation: "https://api.example/why"},
			Odd:    hal.To("javascript:document.title='owned'"),
		}
		for _, id := range []string{"1", "2"} {
			k.Embedded.Dish = append(k.Embedded.Dish, map[string]any{"_links": map[string]any{"self": hal.To("/dishes/" + id)}, "name": "Dish " + id, "price": 9.5, "_partial": id == "2"})
		}
		w.Header().Set("Cache-Status", "Swale; hit; detail=vouched")
		return hal.Write(w, r, http.StatusOK, k, &hal.WriteOptions{CacheControl: `max-age=5, resn="kitchens"`, Templates: hal.Templates{form}})
	}))
	mux.Handle("POST /dishes", hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		d, err := hal.Decode[dish](r, &hal.DecodeOptions{Template: &form})
		if err != nil {
			return err
		}
		w.Header().Set("Location", "/dishes/3")
		return hal.Write(w, r, http.StatusCreated, d, nil)
	}))
	mux.Handle("GET /dishes/{id}", hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if r.PathValue("id") == "9" {
			return &hal.Problem{Status: 404, Title: "No such dish", Detail: "The menu has no dish 9.", Errors: []hal.FieldError{{Parameter: "id", Detail: "is unknown"}}}
		}
		return hal.Write(w, r, http.StatusOK, map[string]any{
			"_links": map[string]any{"self": hal.To(r.URL.RequestURI()), "kitchen": hal.To("/")}, "name": "Dish " + r.PathValue("id") + " " + r.URL.RawQuery, "big": []byte(nil),
		}, nil)
	}))
	return mux
}

// site serves an explorer of an API on another origin.
func site(t *testing.T) (page, origin string) {
	t.Helper()
	server := httptest.NewServer(api())
	t.Cleanup(server.Close)
	mux := http.NewServeMux()
	mux.Handle("/explorer/", explorer.New(&explorer.Options{Start: server.URL + "/", Title: "Kitchen API"}))
	front := httptest.NewServer(mux)
	t.Cleanup(front.Close)
	return front.URL + "/explorer/", server.URL
}

func TestInChromium(t *testing.T) {
	b := browsertest.Open(t)
	page, origin := site(t)
	b.Go(page)
	b.Until(`document.querySelector('h1')?.textContent.startsWith('The Marsh Kitchen')`)
	b.Screenshot("root")

	if got := b.Eval(`document.querySelector('h1').textContent`); got != "The Marsh Kitchen <b>&amp;</b>" {
		t.Errorf("text of an API must stay text: %q", got)
	}
	if got := b.Eval(`document.activeElement.tagName`); got != "H1" {
		t.Errorf("what was loaded must have the focus, not %s", got)
	}
	status := b.Eval(`document.querySelector('.status').innerText`)
	for _, want := range []string{"200 OK", `ETag "`, "cache hit", `resn="kitchens"`} {
		if !strings.Contains(status, want) {
			t.Errorf("the status line must say %q: %q", want, status)
		}
	}
	if got := b.Eval(`[...document.querySelectorAll('a')].filter((a) => a.protocol === 'javascript:').length`); got != "0" {
		t.Errorf("a link to a script must not be a link")
	}
	if got := b.Eval(`[...document.querySelectorAll('.links th a')][0].href`); got != origin+"/rels/dish" {
		t.Errorf("a CURIE leads to its documentation: %s", got)
	}
	b.CheckAccessible()
	if got := b.Eval(`import('./links.js').then((m) => [m.shorter('http://a/b?c', 'http://a/'), m.shorter('http://ab/c', 'http://a/'), m.shorter('/b', 'http://a/')].join(' '))`); got != "/b?c http://ab/c /b" {
		t.Errorf("only the document's own origin goes without saying: %s", got)
	}

	b.Eval(`document.querySelector('.links a[href$="/dishes/2"]').click()`)
	b.Until(`document.querySelector('h1').textContent.startsWith('Dish 2')`)
	b.Eval(`history.back()`)
	b.Until(`document.querySelector('h1').textContent.startsWith('The Marsh')`)

	b.Eval(`(() => { const f = document.querySelector('form.template'); f.querySelector('[name=id]').value = 'a b'; f.querySelector('[name=tags]').value = 'x, y&z'; f.requestSubmit(); })()`)
	b.Until(`document.querySelector('#url').value.endsWith('/dishes/a%20b?tags=x&tags=y%26z')`)
	b.Until(`document.querySelector('h1').textContent.startsWith('Dish a b tags=x')`)

	b.Eval(`location.hash = '` + origin + `/dishes/9'`)
	b.Until(`document.querySelector('.problem')?.innerText.includes('The menu has no dish 9.')`)
	b.Screenshot("problem")
	b.CheckAccessible()

	b.Eval(`location.hash = '` + origin + `/'`)
	b.Until(`document.querySelector('form.form') !== null`)
	b.Eval(`(() => { const f = document.querySelector('form.form'); f.querySelector('[name=price]').value = '0.1'; f.requestSubmit(); })()`)
	b.Until(`document.querySelectorAll('form.form [aria-invalid=true]').length === 2`)
	if got := b.Eval(`document.activeElement.name + ': ' + document.getElementById(document.activeElement.getAttribute('aria-describedby')).textContent`); got != "name: is required" {
		t.Errorf("the first field at fault has the focus and says why: %q", got)
	}
	b.Eval(`document.querySelector('form.form').scrollIntoView()`)
	b.Screenshot("form")
	b.Eval(`(() => { const f = document.querySelector('form.form'); f.querySelector('[name=name]').value = 'Fish'; f.querySelector('[name=price]').value = '7.5'; f.requestSubmit(); })()`)
	b.Until(`document.querySelector('.status')?.innerText.includes('201 Created')`)
	if got := b.Eval(`document.querySelector('.status a').getAttribute('href')`); got != "#"+origin+"/dishes/3" {
		t.Errorf("what was created is a link away: %s", got)
	}
	for _, trouble := range b.Troubles() {
		t.Errorf("the page must work under its policy, without errors: %s", trouble)
	}
}

func TestByKeyboard(t *testing.T) {
	b := browsertest.Open(t)
	page, _ := site(t)
	b.Go(page)
	b.Until(`document.querySelector('h1')?.textContent.startsWith('The Marsh Kitchen')`)
	for range 12 {
		b.Press("Tab", 9, "")
		if strings.HasSuffix(b.Eval(`document.activeElement.getAttribute('href') ?? ''`), "/dishes/1") {
			break
		}
	}
	if got := b.Eval(`getComputedStyle(document.activeElement).outlineStyle`); got != "solid" {
		t.Errorf("the focus must be seen: outline %s", got)
	}
	b.Press("Enter", 13, "\r")
	b.Until(`document.querySelector('h1').textContent.startsWith('Dish 1')`)
	if got := b.Eval(`document.querySelector('#announce').textContent`); !strings.Contains(got, "200 OK") {
		t.Errorf("what was loaded must be announced: %q", got)
	}
}

func TestDarkAndNarrow(t *testing.T) {
	b := browsertest.Open(t)
	page, _ := site(t)
	b.Must("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}}}, nil)
	b.Go(page)
	b.Until(`document.querySelector('h1')?.textContent.startsWith('The Marsh Kitchen')`)
	b.Screenshot("dark")
	b.CheckAccessible()
	b.Must("Emulation.setDeviceMetricsOverride", map[string]any{"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
	b.Until(`innerWidth === 400`)
	b.Screenshot("narrow")
	if got := b.Eval(`document.documentElement.scrollWidth <= 400`); got != "true" {
		t.Errorf("a narrow page must not scroll sideways: %s", b.Eval(`document.documentElement.scrollWidth + [...document.querySelectorAll('*')].filter((e) => e.getBoundingClientRect().right > 400).map((e) => e.outerHTML.slice(0, 90)).slice(0, 5).join()`))
	}
}
