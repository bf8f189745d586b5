package hal_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/goswale/swale/hal"
)

// The same document four ways: with hal's links, as a plain struct of equal
// shape, and with links only known at run time.
type (
	line struct {
		SKU   string  `json:"sku"`
		Name  string  `json:"name"`
		Count int     `json:"count"`
		Price float64 `json:"price"`
	}
	orderState struct {
		ID       string `json:"id"`
		Status   string `json:"status"`
		Placed   string `json:"placed"`
		Currency string `json:"currency"`
		Total    int    `json:"total"`
		Lines    []line `json:"lines"`
	}
	order struct {
		Links struct {
			Self       hal.Link `json:"self"`
			Customer   hal.Link `json:"customer"`
			Restaurant hal.Link `json:"restaurant"`
			Rider      hal.Link `json:"rider,omitzero"`
			Item       hal.Many `json:"item"`
			Find       hal.Link `json:"find,omitzero"`
		} `json:"_links"`
		orderState
	}
	plainLink struct {
		Href        string `json:"href"`
		Templated   bool   `json:"templated,omitempty"`
		Type        string `json:"type,omitempty"`
		Deprecation string `json:"deprecation,omitempty"`
		Name        string `json:"name,omitempty"`
		Profile     string `json:"profile,omitempty"`
		Title       string `json:"title,omitempty"`
		Hreflang    string `json:"hreflang,omitempty"`
	}
	plainOrder struct {
		Links struct {
			Self       plainLink   `json:"self"`
			Customer   plainLink   `json:"customer"`
			Restaurant plainLink   `json:"restaurant"`
			Rider      plainLink   `json:"rider,omitzero"`
			Item       []plainLink `json:"item"`
			Find       plainLink   `json:"find,omitzero"`
		} `json:"_links"`
		orderState
	}
	dynamicOrder struct {
		Links hal.Links `json:"_links"`
		orderState
	}
	collectionOf[T any] struct {
		Links struct {
			Self hal.Link `json:"self"`
			Next hal.Link `json:"next"`
		} `json:"_links"`
		Embedded struct {
			Item []T `json:"item"`
		} `json:"_embedded"`
	}
)

func sampleOrder() order {
	var o order
	o.Links.Self = hal.To("/orders/93842")
	o.Links.Customer = hal.Link{Href: "/customers/7809", Title: "Ada"}
	o.Links.Restaurant = hal.To("/restaurants/203")
	o.Links.Rider = hal.To("/riders/17")
	o.Links.Item = hal.Many{hal.To("/dishes/1"), hal.To("/dishes/2"), hal.To("/dishes/3")}
	o.Links.Find = hal.TemplateTo("/orders{?id,customer}")
	o.orderState = orderState{
		ID: "93842", Status: "cooking", Placed: "2026-11-21T09:25:00Z", Currency: "GBP", Total: 3190,
		Lines: []line{{"a-1", "Dumplings", 2, 6.5}, {"b-7", "Hand-pulled noodles", 1, 11.4}, {"c-3", "Jasmine tea", 3, 2.5}},
	}
	return o
}

func recode[T any](tb testing.TB, v any) T {
	tb.Helper()
	data, err := hal.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	var out T
	if err := json.Unmarshal(data, &out); err != nil {
		tb.Fatal(err)
	}
	return out
}

func sampleCollection() collectionOf[order] {
	var c collectionOf[order]
	c.Links.Self, c.Links.Next = hal.To("/orders?page=2"), hal.To("/orders?page=3")
	for range 100 {
		c.Embedded.Item = append(c.Embedded.Item, sampleOrder())
	}
	return c
}

func builtLinks(o order) hal.Links {
	var l hal.Links
	l.Set("self", o.Links.Self)
	l.Set("customer", o.Links.Customer)
	l.Set("restaurant", o.Links.Restaurant)
	l.Set("rider", o.Links.Rider)
	l.SetAll("item", o.Links.Item...)
	l.Set("find", o.Links.Find)
	return l
}

func BenchmarkEncode(b *testing.B) {
	one := sampleOrder()
	plain := recode[plainOrder](b, one)
	dynamic := recode[dynamicOrder](b, one)
	dynamic.Links = builtLinks(one)
	many := sampleCollection()
	plainMany := recode[collectionOf[plainOrder]](b, many)
	dynamicMany := recode[collectionOf[dynamicOrder]](b, many)
	for i := range dynamicMany.Embedded.Item {
		dynamicMany.Embedded.Item[i].Links = builtLinks(one)
	}
	run := func(name string, f func() ([]byte, error)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("one/plain", func() ([]byte, error) { return json.Marshal(&plain) })
	run("one/hal", func() ([]byte, error) { return hal.Marshal(&one) })
	decoded := recode[dynamicOrder](b, one)
	run("one/reread", func() ([]byte, error) { return hal.Marshal(&decoded) })
	run("one/dynamic", func() ([]byte, error) { return hal.Marshal(&dynamic) })
	run("hundred/plain", func() ([]byte, error) { return json.Marshal(&plainMany) })
	run("hundred/hal", func() ([]byte, error) { return hal.Marshal(&many) })
	run("hundred/dynamic", func() ([]byte, error) { return hal.Marshal(&dynamicMany) })
}

func BenchmarkDecode(b *testing.B) {
	one, err := hal.Marshal(sampleOrder())
	if err != nil {
		b.Fatal(err)
	}
	many, err := hal.Marshal(sampleCollection())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("one/plain", decoding[plainOrder](one, json.Unmarshal))
	b.Run("one/hal", decoding[order](one, hal.Unmarshal))
	b.Run("one/dynamic", decoding[dynamicOrder](one, hal.Unmarshal))
	b.Run("hundred/plain", decoding[collectionOf[plainOrder]](many, json.Unmarshal))
	b.Run("hundred/hal", decoding[collectionOf[order]](many, hal.Unmarshal))
	b.Run("hundred/dynamic", decoding[collectionOf[dynamicOrder]](many, hal.Unmarshal))
}

func decoding[T any](data []byte, f func([]byte, any) error) func(*testing.B) {
	return func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			var v T
			if err := f(data, &v); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// hundred is a transport with a hundred items and the list that links them.
func hundred() (*keeper, string) {
	k := newKeeper()
	var links []string
	for i := range 100 {
		href := fmt.Sprintf("https://api.example/r/%d", i)
		k.bodies[href] = fmt.Sprintf(`{"_links":{"self":{"href":%q}},"id":"%d","name":"A name"}`, href, i)
		links = append(links, fmt.Sprintf(`{"href":"/r/%d"}`, i))
	}
	list := "https://api.example/r"
	k.bodies[list] = `{"_links":{"self":{"href":"/r"},"item":[` + strings.Join(links, ",") + `]}}`
	return k, list
}

func BenchmarkTypedHit(b *testing.B) {
	k, list := hundred()
	c := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: k}})
	ctx := b.Context()
	from, err := hal.Get[hal.Any](ctx, c, list)
	if err != nil {
		b.Fatal(err)
	}
	hrefs := make([]string, 100)
	for i, r := range hal.FollowAll[restaurant](ctx, c, from, "item") {
		hrefs[i] = r.Resource.URL
	}
	b.Run("Get100", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, href := range hrefs {
				if _, err := hal.Get[restaurant](ctx, c, href); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("FollowAll100", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			hal.FollowAll[restaurant](ctx, c, from, "item")
		}
	})
}
