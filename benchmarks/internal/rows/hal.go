package rows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/cache"
	"github.com/goswale/swale/hal"
)

// The same order three ways: with declared relations, as a plain struct of
// equal shape, and with relations known only at run time.
type (
	orderBody struct {
		ID     string      `json:"id"`
		Status string      `json:"status"`
		Placed string      `json:"placed"`
		Total  int         `json:"total"`
		Lines  []orderLine `json:"lines"`
	}
	orderLine struct {
		SKU   string  `json:"sku"`
		Count int     `json:"count"`
		Price float64 `json:"price"`
	}
	halOrder struct {
		Links struct {
			Self       hal.Link `json:"self"`
			Customer   hal.Link `json:"customer"`
			Restaurant hal.Link `json:"restaurant"`
			Item       hal.Many `json:"item"`
		} `json:"_links"`
		orderBody
	}
	plainTarget struct {
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
			Self       plainTarget   `json:"self"`
			Customer   plainTarget   `json:"customer"`
			Restaurant plainTarget   `json:"restaurant"`
			Item       []plainTarget `json:"item"`
		} `json:"_links"`
		orderBody
	}
	dynamicOrder struct {
		Links hal.Links `json:"_links"`
		orderBody
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

// sampleCollection returns a hundred orders in the same three ways.
func sampleCollection() (declared collectionOf[halOrder], dynamic collectionOf[dynamicOrder], plain collectionOf[plainOrder], err error) {
	one, other, third, _, err := sampleOrder()
	declared.Links.Self, declared.Links.Next = hal.To("/orders?page=2"), hal.To("/orders?page=3")
	dynamic.Links, plain.Links = declared.Links, declared.Links
	for range 100 {
		declared.Embedded.Item = append(declared.Embedded.Item, one)
		dynamic.Embedded.Item = append(dynamic.Embedded.Item, other)
		plain.Embedded.Item = append(plain.Embedded.Item, third)
	}
	return declared, dynamic, plain, err
}

func sampleOrder() (declared halOrder, dynamic dynamicOrder, plain plainOrder, text []byte, err error) {
	declared.orderBody = orderBody{
		ID: "93842", Status: "cooking", Placed: "2026-11-21T09:25:00Z", Total: 3190,
		Lines: []orderLine{{"a-1", 2, 6.5}, {"b-7", 1, 11.4}, {"c-3", 3, 2.5}},
	}
	declared.Links.Self = hal.To("/orders/93842")
	declared.Links.Customer = hal.Link{Href: "/customers/7809", Title: "Ada"}
	declared.Links.Restaurant = hal.To("/restaurants/203")
	declared.Links.Item = hal.Many{hal.To("/dishes/1"), hal.To("/dishes/2"), hal.To("/dishes/3")}
	dynamic.orderBody = declared.orderBody
	dynamic.Links.Set("self", declared.Links.Self)
	dynamic.Links.Set("customer", declared.Links.Customer)
	dynamic.Links.Set("restaurant", declared.Links.Restaurant)
	dynamic.Links.SetAll("item", declared.Links.Item...)
	if text, err = hal.Marshal(&declared); err != nil {
		return
	}
	err = json.Unmarshal(text, &plain)
	return
}

func halRows() []ratio.Row {
	encode := func(ours, plain any) (ratio.Op, ratio.Op) {
		return func() error { _, err := hal.Marshal(ours); return err },
			func() error { _, err := json.Marshal(plain); return err }
	}
	return []ratio.Row{
		codec("hal.encode.vs_plain", "an order with declared relations, against encoding/json of a plain struct", 1.15,
			func() (ratio.Op, ratio.Op, error) {
				declared, _, plain, _, err := sampleOrder()
				ours, theirs := encode(&declared, &plain)
				return ours, theirs, err
			}),
		codec("hal.encode_hundred.vs_plain", "a collection of 100 such orders written", 1.15,
			func() (ratio.Op, ratio.Op, error) {
				declared, _, plain, err := sampleCollection()
				ours, theirs := encode(&declared, &plain)
				return ours, theirs, err
			}),
		allocations("hal.encode.allocs", "heap objects of writing one order", func() (any, error) {
			declared, _, _, _, err := sampleOrder()
			return &declared, err
		}),
		allocations("hal.encode_hundred.allocs", "heap objects of writing the collection", func() (any, error) {
			declared, _, _, err := sampleCollection()
			return &declared, err
		}),
		codec("hal.decode.vs_plain", "one order read", 1.15,
			func() (ratio.Op, ratio.Op, error) {
				_, _, _, text, err := sampleOrder()
				return decode[halOrder](text, hal.Unmarshal), decode[plainOrder](text, json.Unmarshal), err
			}),
		codec("hal.decode_hundred.vs_plain", "the collection read", 1.15,
			func() (ratio.Op, ratio.Op, error) {
				declared, _, _, err := sampleCollection()
				if err != nil {
					return nil, nil, err
				}
				text, err := hal.Marshal(&declared)
				return decode[collectionOf[halOrder]](text, hal.Unmarshal), decode[collectionOf[plainOrder]](text, json.Unmarshal), err
			}),
		codec("hal.encode_dynamic.vs_plain", "an order whose relations are known at run time, written", 1.5,
			func() (ratio.Op, ratio.Op, error) {
				_, dynamic, plain, _, err := sampleOrder()
				ours, theirs := encode(&dynamic, &plain)
				return ours, theirs, err
			}),
		codec("hal.encode_dynamic_hundred.vs_plain", "a collection of 100 of those, written", 1.5,
			func() (ratio.Op, ratio.Op, error) {
				_, dynamic, plain, err := sampleCollection()
				ours, theirs := encode(&dynamic, &plain)
				return ours, theirs, err
			}),
		codec("hal.decode_dynamic.vs_plain", "one such order read", 1.3,
			func() (ratio.Op, ratio.Op, error) {
				_, _, _, text, err := sampleOrder()
				return decode[dynamicOrder](text, hal.Unmarshal), decode[plainOrder](text, json.Unmarshal), err
			}),
		codec("hal.decode_dynamic_hundred.vs_plain", "the collection of those read", 1.3,
			func() (ratio.Op, ratio.Op, error) {
				_, dynamic, _, err := sampleCollection()
				if err != nil {
					return nil, nil, err
				}
				text, err := hal.Marshal(&dynamic)
				return decode[collectionOf[dynamicOrder]](text, hal.Unmarshal), decode[collectionOf[plainOrder]](text, json.Unmarshal), err
			}),
		typedHit("hal.typed_hit.ns", "ns", ratio.AtMost(250), ratio.PerOp),
		typedHit("hal.typed_hit.allocs", "allocs", ratio.AtMost(1), ratio.Allocs),
		{
			Name: "hal.follow_all.overhead", Unit: "x", Bound: ratio.AtMost(1.1),
			Note: "FollowAll over 100 links whose resources the cache holds decoded, against 100 typed hits by href",
			Open: openFollowAll,
		},
	}
}

// codec is a row that compares two ways to read or write a document.
func codec(name, note string, limit float64, ops func() (ours, theirs ratio.Op, err error)) ratio.Row {
	return ratio.Row{
		Name: name, Unit: "x", Bound: ratio.AtMost(limit), Note: note,
		Open: func(context.Context) (func() (float64, error), func(), error) {
			ours, theirs, err := ops()
			return ratio.Versus(ours, theirs), nil, err
		},
	}
}

// allocations is a row that counts what Marshal of a value allocates.
func allocations(name, note string, value func() (any, error)) ratio.Row {
	return ratio.Row{
		Name: name, Unit: "allocs", Bound: ratio.AtMost(2), Note: note,
		Open: func(context.Context) (func() (float64, error), func(), error) {
			v, err := value()
			op := func() error { _, err := hal.Marshal(v); return err }
			return func() (float64, error) { return ratio.Allocs(op) }, nil, err
		},
	}
}

func decode[T any](text []byte, unmarshal func([]byte, any) error) ratio.Op {
	return func() error {
		var v T
		return unmarshal(text, &v)
	}
}

// typedHit measures hal.Get of a resource that the cache holds decoded.
func typedHit(name, unit string, bound ratio.Bound, measure func(ratio.Op) (float64, error)) ratio.Row {
	return ratio.Row{
		Name: name, Unit: unit, Bound: bound, Note: "hal.Get of a resource that the cache holds decoded",
		Open: func(ctx context.Context) (func() (float64, error), func(), error) {
			const href = "http://origin.example/restaurants/203"
			client := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: cache.New(newStub(oneKB()), nil)}})
			type restaurant struct {
				ID   int    `json:"id"`
				Text string `json:"text"`
			}
			var first *hal.Resource[restaurant]
			op := func() error {
				r, err := hal.Get[restaurant](ctx, client, href)
				if err != nil {
					return err
				}
				if r.Value.ID != 203 {
					return errors.New("another resource came back")
				}
				first = r
				return nil
			}
			// The first read fetches, the second decodes what is stored.
			for range 3 {
				if err := op(); err != nil {
					return nil, nil, err
				}
			}
			shared := first
			if err := op(); err != nil || first != shared {
				return nil, nil, errors.Join(err, errors.New("the decoded resource isn't shared"))
			}
			return func() (float64, error) { return measure(op) }, nil, nil
		},
	}
}

// openFollowAll warms a list and its hundred items.
func openFollowAll(ctx context.Context) (round func() (float64, error), closer func(), err error) {
	const root = "http://origin.example/restaurants"
	type item struct {
		ID int `json:"id"`
	}
	client := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: cache.New(roundTrip(func(req *http.Request) (*http.Response, error) {
		if req.URL.Path == "/restaurants" {
			var list struct {
				Links struct {
					Item hal.Many `json:"item"`
				} `json:"_links"`
			}
			for i := range 100 {
				list.Links.Item = append(list.Links.Item, hal.To(root+"/"+strconv.Itoa(i)))
			}
			text, err := hal.Marshal(&list)
			if err != nil {
				return nil, err
			}
			return newStub(text).RoundTrip(req)
		}
		return newStub(oneKB()).RoundTrip(req)
	}), nil)}})
	from, err := hal.Get[hal.Any](ctx, client, root)
	if err != nil {
		return nil, nil, err
	}
	var hrefs []string
	for range 3 { // the first fetches, the second decodes what is stored
		hrefs = hrefs[:0]
		for _, r := range hal.FollowAll[item](ctx, client, from, "item") {
			if r.Err != nil {
				return nil, nil, r.Err
			}
			hrefs = append(hrefs, r.Resource.URL)
		}
	}
	if len(hrefs) != 100 {
		return nil, nil, fmt.Errorf("%d items were followed, not 100", len(hrefs))
	}
	all := func() error {
		for _, r := range hal.FollowAll[item](ctx, client, from, "item") {
			if r.Err != nil {
				return r.Err
			}
		}
		return nil
	}
	each := func() error {
		for _, href := range hrefs {
			if _, err := hal.Get[item](ctx, client, href); err != nil {
				return err
			}
		}
		return nil
	}
	return ratio.Versus(all, each), nil, nil
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
