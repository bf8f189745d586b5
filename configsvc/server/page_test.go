package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/goswale/swale/configsvc/memconfig"
	"github.com/goswale/swale/configsvc/server"
	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/hal/browsertest"
)

// site serves the page and a service whose reader may do everything.
func site(t *testing.T) (url string, s *store.Store, h *server.Handler) {
	t.Helper()
	s = store.New(memconfig.New(), nil)
	h = server.New(s, &server.Options{Title: "Config of <b>acme</b>", Allow: func(context.Context, string, server.Action, string) bool { return true }})
	hs := httptest.NewServer(h)
	t.Cleanup(hs.Close)
	return hs.URL, s, h
}

func TestPageInChromium(t *testing.T) {
	b := browsertest.Open(t)
	url, s, h := site(t)
	seed := func(pairs ...string) {
		t.Helper()
		for i := 0; i < len(pairs); i += 2 {
			r := httptest.NewRequestWithContext(t.Context(), "PUT", "/keys/"+pairs[i]+"?message=seed", strings.NewReader(pairs[i+1]))
			r.Header.Set("If-None-Match", "*")
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != http.StatusCreated {
				t.Fatal(w.Body)
			}
		}
	}
	seed("_schemas/base", `{"properties":{"pool":{"type":"integer","minimum":1,"description":"<i>how many</i> connections"}},"required":[]}`,
		"base", `{"pool":5,"big":12345678901234567890,"html":"<img src=x onerror=alert(1)>"}`, "base/orders", `{"pool":7}`)
	for _, id := range []string{"1", "2"} {
		r := httptest.NewRequestWithContext(t.Context(), "PUT", "/instances/orders/"+id, strings.NewReader(`{"keys":["base","base/orders"],"hash":"0123456789abcdef","layers":[{"name":"base","version":2},{"name":"base/orders","version":3}]}`))
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusNoContent {
			t.Fatal(w.Body)
		}
	}

	b.Go(url + "/page/")
	b.Until(`document.querySelector('h1')?.textContent === 'Config of <b>acme</b>'`)
	b.CheckAccessible()
	b.Eval(`document.querySelector('#keys a[href="#key=base"]').click()`)
	b.Until(`document.querySelector('h1').textContent === 'base'`)
	if got := b.Eval(`document.activeElement.tagName + ' ' + document.querySelector('#announce').textContent`); got != "H1 base is shown." {
		t.Errorf("what is shown has the focus and is announced: %s", got)
	}
	if got := b.Eval(`document.querySelector('textarea').value`); !strings.Contains(got, "12345678901234567890") || !strings.Contains(got, "<img src=x") {
		t.Errorf("the editor has the document with every digit: %s", got)
	}
	if got := b.Eval(`document.querySelector('main').innerText`); !strings.Contains(got, "minimum 1") || !strings.Contains(got, "<i>how many</i>") || !strings.Contains(got, "base/orders v3") {
		t.Errorf("the schema's help, as text, and who runs which versions: %s", got)
	}
	b.CheckAccessible()
	b.Screenshot("config-key")

	// What an instance makes of it is shown without a reload, and so is what
	// instances read that nobody has written.
	r := httptest.NewRequestWithContext(t.Context(), "PUT", "/instances/orders/2", strings.NewReader(`{"keys":["base","base/orders"],"hash":"0123456789abcdef","rejected":"fedcba9876543210","error":"/pool is too <b>large</b>"}`))
	h.ServeHTTP(httptest.NewRecorder(), r)
	b.Until(`document.querySelector('main').innerText.includes('/pool is too <b>large</b>')`)
	b.CheckAccessible()

	// What is no JSON is told while it is typed; what the schema refuses when it is sent.
	typed := func(text string) {
		t.Helper()
		b.Eval(`(() => { const t = document.querySelector('textarea'); t.value = ` + "`" + text + "`" + `; t.dispatchEvent(new Event('input')); })()`)
	}
	typed(`{"pool":`)
	b.Until(`document.querySelector('textarea').getAttribute('aria-invalid') === 'true'`)
	typed(`{"pool":0}`)
	b.Until(`document.querySelector('textarea').hasAttribute('aria-invalid') === false`)
	b.Eval(`document.querySelector('form:has(textarea)').requestSubmit()`)
	b.Until(`document.querySelector('#result .problem')?.innerText.includes('minimum: got 0, want 1')`)
	b.CheckAccessible()

	typed(`{"pool":6,"html":"x"}`)
	b.Eval(`document.querySelector('#preview').click()`)
	b.Until(`document.querySelector('#effects')?.textContent === 'This change alters 1 service.'`)
	b.CheckAccessible()
	b.Screenshot("config-preview")
	b.Eval(`document.querySelector('form:has(textarea)').requestSubmit()`)
	b.Until(`document.querySelector('.meta')?.textContent.startsWith('Version 4 by')`)
	if d, err := s.Get(t.Context(), "base", 0); err != nil || d.Value.String() != `{"html":"x","pool":6}` {
		t.Errorf("saved: %+v, %v", d, err)
	}

	// History: compare and roll back.
	b.Eval(`document.querySelector('#compare').click()`)
	b.Until(`document.querySelector('#announce').textContent === 'The comparison is below.'`)
	if got := b.Eval(`document.querySelector('[aria-label="The two versions compared"]').innerText`); !strings.Contains(got, "/pool\t5\t6") {
		t.Errorf("two versions compared: %q", got)
	}
	b.Eval(`document.querySelector('[data-revision="2"]').click()`)
	b.Until(`document.activeElement?.id === 'confirm'`)
	b.CheckAccessible()
	b.Eval(`document.querySelector('#confirm').click()`)
	b.Until(`document.querySelector('textarea')?.value.includes('12345678901234567890')`)

	// Somebody is faster.
	if _, err := s.Write(t.Context(), store.Write{Author: "eve", Edits: []store.Edit{{Key: "base/orders", Expect: store.Any}}}); err != nil {
		t.Fatal(err)
	}
	b.Go(url + "/page/#key=base")
	b.Until(`document.querySelector('h1')?.textContent === 'base'`)
	if _, err := s.Write(t.Context(), store.Write{Author: "eve", Edits: []store.Edit{{Key: "base", Expect: store.Any}}}); err != nil {
		t.Fatal(err)
	}
	b.Eval(`document.querySelector('form:has(textarea)').requestSubmit()`)
	b.Until(`document.querySelector('#result .problem')?.innerText.includes('Somebody was faster')`)

	for _, trouble := range b.Troubles() {
		t.Errorf("the page works under its policy, without errors: %s", trouble)
	}
}

func TestPageByKeyboardAndItsOtherViews(t *testing.T) {
	b := browsertest.Open(t)
	url, s, h := site(t)
	b.Go(url + "/page/#key=base")
	b.Until(`document.querySelector('.meta')?.textContent === 'It isn’t there yet.'`)
	b.Eval(`document.querySelector('textarea').focus()`)
	b.Eval(`document.querySelector('textarea').value = '{"pool":5,"n":12345678901234567890}'`)
	for range 8 {
		if b.Eval(`document.activeElement.textContent`) == "Save" {
			break
		}
		b.Press("Tab", 9, "")
	}
	if got := b.Eval(`getComputedStyle(document.activeElement).outlineStyle`); got != "solid" {
		t.Errorf("the focus must be seen: outline %s", got)
	}
	b.Press("Enter", 13, "\r")
	b.Until(`document.querySelector('.meta')?.textContent.startsWith('Version 1 by')`)
	if d, err := s.Get(t.Context(), "base", 0); err != nil || !strings.Contains(d.Value.String(), "12345678901234567890") {
		t.Errorf("made by the keyboard alone: %+v, %v", d, err)
	}

	b.Eval(`(() => { document.querySelector('textarea').value = '{"pool":50}'; document.querySelector('#rollout').click(); })()`)
	b.Until(`document.querySelector('h1').textContent === 'Rollouts' && document.querySelector('.tag')?.textContent === 'running'`)
	b.CheckAccessible()
	b.Eval(`[...document.querySelectorAll('button')].find((e) => e.textContent.startsWith('Halt')).click()`)
	b.Until(`document.querySelector('.tag')?.textContent === 'halted'`)

	b.Eval(`location.hash = '#compile&keys=base,base/none'`)
	b.Until(`document.querySelector('#compiled')?.textContent.includes('"pool": 5')`)
	b.CheckAccessible()
	r := httptest.NewRequestWithContext(t.Context(), "PUT", "/instances/orders/1", strings.NewReader(`{"keys":["base","live/none"],"hash":"0123456789abcdef"}`))
	h.ServeHTTP(httptest.NewRecorder(), r)
	for _, view := range []string{"instances", "history"} {
		b.Eval(`location.hash = '#` + view + `'`)
		b.Until(`document.querySelector('h1').textContent.toLowerCase() === '` + view + `'`)
		b.CheckAccessible()
	}
	if got := b.Eval(`document.querySelector('#keys a[href="#key=live/none"]')?.textContent`); got != "none not written" {
		t.Errorf("a key that instances read is in the tree though nobody has written it: %s", got)
	}
	for _, trouble := range b.Troubles() {
		t.Errorf("the page works under its policy, without errors: %s", trouble)
	}
}

func TestPageDarkAndNarrow(t *testing.T) {
	b := browsertest.Open(t)
	url, _, _ := site(t)
	b.Must("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}}}, nil)
	b.Must("Emulation.setDeviceMetricsOverride", map[string]any{"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
	b.Go(url + "/page/#key=base/orders")
	b.Until(`document.querySelector('h1')?.textContent === 'base/orders'`)
	b.Screenshot("config-dark")
	b.CheckAccessible()
	if got := b.Eval(`document.documentElement.scrollWidth <= 400`); got != "true" {
		t.Errorf("a narrow page must not scroll sideways")
	}
}
