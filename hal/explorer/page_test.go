package explorer_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/goswale/swale/hal"
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
	b := openBrowser(t)
	page, origin := site(t)
	b.open(page)
	b.until(`document.querySelector('h1')?.textContent.startsWith('The Marsh Kitchen')`)
	b.screenshot("root")

	if got := b.eval(`document.querySelector('h1').textContent`); got != "The Marsh Kitchen <b>&amp;</b>" {
		t.Errorf("text of an API must stay text: %q", got)
	}
	if got := b.eval(`document.activeElement.tagName`); got != "H1" {
		t.Errorf("what was loaded must have the focus, not %s", got)
	}
	status := b.eval(`document.querySelector('.status').innerText`)
	for _, want := range []string{"200 OK", `ETag "`, "cache hit", `resn="kitchens"`} {
		if !strings.Contains(status, want) {
			t.Errorf("the status line must say %q: %q", want, status)
		}
	}
	if got := b.eval(`[...document.querySelectorAll('a')].filter((a) => a.protocol === 'javascript:').length`); got != "0" {
		t.Errorf("a link to a script must not be a link")
	}
	if got := b.eval(`[...document.querySelectorAll('.links th a')][0].href`); got != origin+"/rels/dish" {
		t.Errorf("a CURIE leads to its documentation: %s", got)
	}
	checkAccessible(t, b)

	b.eval(`document.querySelector('.links a[href$="/dishes/2"]').click()`)
	b.until(`document.querySelector('h1').textContent.startsWith('Dish 2')`)
	b.eval(`history.back()`)
	b.until(`document.querySelector('h1').textContent.startsWith('The Marsh')`)

	b.eval(`(() => { const f = document.querySelector('form.template'); f.querySelector('[name=id]').value = 'a b'; f.querySelector('[name=tags]').value = 'x, y&z'; f.requestSubmit(); })()`)
	b.until(`document.querySelector('#url').value.endsWith('/dishes/a%20b?tags=x&tags=y%26z')`)
	b.until(`document.querySelector('h1').textContent.startsWith('Dish a b tags=x')`)

	b.eval(`location.hash = '` + origin + `/dishes/9'`)
	b.until(`document.querySelector('.problem')?.innerText.includes('The menu has no dish 9.')`)
	b.screenshot("problem")
	checkAccessible(t, b)

	b.eval(`location.hash = '` + origin + `/'`)
	b.until(`document.querySelector('form.form') !== null`)
	b.eval(`(() => { const f = document.querySelector('form.form'); f.querySelector('[name=price]').value = '0.1'; f.requestSubmit(); })()`)
	b.until(`document.querySelectorAll('form.form [aria-invalid]').length === 2`)
	if got := b.eval(`document.activeElement.name + ': ' + document.getElementById(document.activeElement.getAttribute('aria-describedby')).textContent`); got != "name: is required" {
		t.Errorf("the first field at fault has the focus and says why: %q", got)
	}
	b.eval(`document.querySelector('form.form').scrollIntoView()`)
	b.screenshot("form")
	b.eval(`(() => { const f = document.querySelector('form.form'); f.querySelector('[name=name]').value = 'Fish'; f.querySelector('[name=price]').value = '7.5'; f.requestSubmit(); })()`)
	b.until(`document.querySelector('.status')?.innerText.includes('201 Created')`)
	if got := b.eval(`document.querySelector('.status a').getAttribute('href')`); got != "#"+origin+"/dishes/3" {
		t.Errorf("what was created is a link away: %s", got)
	}
	for _, trouble := range b.troubles() {
		t.Errorf("the page must work under its policy, without errors: %s", trouble)
	}
}

func TestByKeyboard(t *testing.T) {
	b := openBrowser(t)
	page, _ := site(t)
	b.open(page)
	b.until(`document.querySelector('h1')?.textContent.startsWith('The Marsh Kitchen')`)
	for range 12 {
		b.press("Tab", 9, "")
		if strings.HasSuffix(b.eval(`document.activeElement.getAttribute('href') ?? ''`), "/dishes/1") {
			break
		}
	}
	if got := b.eval(`getComputedStyle(document.activeElement).outlineStyle`); got != "solid" {
		t.Errorf("the focus must be seen: outline %s", got)
	}
	b.press("Enter", 13, "\r")
	b.until(`document.querySelector('h1').textContent.startsWith('Dish 1')`)
	if got := b.eval(`document.querySelector('#announce').textContent`); !strings.Contains(got, "200 OK") {
		t.Errorf("what was loaded must be announced: %q", got)
	}
}

func TestDarkAndNarrow(t *testing.T) {
	b := openBrowser(t)
	page, _ := site(t)
	b.must("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}}}, nil)
	b.open(page)
	b.until(`document.querySelector('h1')?.textContent.startsWith('The Marsh Kitchen')`)
	b.screenshot("dark")
	checkAccessible(t, b)
	b.must("Emulation.setDeviceMetricsOverride", map[string]any{"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
	b.until(`innerWidth === 400`)
	b.screenshot("narrow")
	if got := b.eval(`document.documentElement.scrollWidth <= 400`); got != "true" {
		t.Errorf("a narrow page must not scroll sideways: %s", b.eval(`document.documentElement.scrollWidth + [...document.querySelectorAll('*')].filter((e) => e.getBoundingClientRect().right > 400).map((e) => e.outerHTML.slice(0, 90)).slice(0, 5).join()`))
	}
}

// checkAccessible checks what a machine can: names, labels, headings,
// references, contrast.
func checkAccessible(t *testing.T, b *browser) {
	t.Helper()
	got := b.eval(`(() => {
		const wrong = [];
		const seen = (e) => e.getClientRects().length > 0;
		for (const e of document.querySelectorAll('input:not([type=hidden]), select, textarea'))
			if (!e.labels?.length && !e.getAttribute('aria-label')) wrong.push('no label: ' + e.outerHTML);
		for (const e of document.querySelectorAll('a, button, summary'))
			if (!(e.textContent.trim() || e.getAttribute('aria-label'))) wrong.push('no name: ' + e.outerHTML);
		for (const e of document.querySelectorAll('img')) if (!e.hasAttribute('alt')) wrong.push('no alt: ' + e.outerHTML);
		for (const e of document.querySelectorAll('[aria-describedby], [aria-labelledby]'))
			for (const name of ['aria-describedby', 'aria-labelledby'])
				if (e.hasAttribute(name) && !document.getElementById(e.getAttribute(name))) wrong.push('dangling: ' + e.outerHTML);
		const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
		if (new Set(ids).size !== ids.length) wrong.push('an id twice');
		let level = 0;
		for (const e of document.querySelectorAll('h1, h2, h3, h4')) {
			const now = Number(e.tagName[1]);
			if (now > level + 1) wrong.push('heading skips a level: ' + e.outerHTML);
			level = now;
		}
		if (document.querySelectorAll('h1').length !== 1) wrong.push('not one h1');
		if (!document.documentElement.lang) wrong.push('no lang');
		const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return c.startsWith('color(') ? [m[0] * 255, m[1] * 255, m[2] * 255, m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1]; };
		const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
		const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > 0.99) return c; } return [255, 255, 255, 1]; };
		const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		for (let n; (n = walker.nextNode());) {
			const e = n.parentElement;
			if (!n.data.trim() || !seen(e) || e.closest('.hidden, .skip, noscript, [disabled]')) continue;
			const a = light(parse(getComputedStyle(e).color)), c = light(behind(e));
			const ratio = (Math.max(a, c) + 0.05) / (Math.min(a, c) + 0.05);
			if (ratio < 4.5) wrong.push('contrast ' + ratio.toFixed(2) + ': ' + e.outerHTML.slice(0, 200));
		}
		return wrong.join('\n');
	})()`)
	if got != "" {
		t.Errorf("accessibility: %s", got)
	}
}
