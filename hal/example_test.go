package hal_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/hal/haltest"
)

type dish struct {
	Links struct {
		Self hal.Link `json:"self"`
	} `json:"_links"`
	Name  string `json:"name" form:"required,maxlength=20"`
	Price int    `json:"price" form:"min=1"`
}

// menu is a small API: a root with a template, and one dish.
func menu() http.Handler {
	tea := dish{Name: "Jasmine tea", Price: 3}
	tea.Links.Self = hal.To("/dishes/7")
	form := hal.FormOf("default", http.MethodPut, dish{})
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		var root struct {
			Links hal.Links `json:"_links"`
		}
		root.Links.Set("self", hal.To("/"))
		root.Links.Set("dish", hal.TemplateTo("/dishes/{id}"))
		root.Links.SetAll("best", hal.To("/dishes/7"))
		return hal.Write(w, r, http.StatusOK, root, nil)
	}))
	mux.Handle("/dishes/7", hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodPut {
			tag, err := hal.ETag(tea)
			if err != nil {
				return err
			}
			if err := hal.Check(r, hal.Conditions{ETag: tag, Require: true}); err != nil {
				return err
			}
			changed, err := hal.Decode[dish](r, &hal.DecodeOptions{Template: &form})
			if err != nil {
				return err
			}
			tea = changed
		}
		return hal.Write(w, r, http.StatusOK, tea, &hal.WriteOptions{Templates: hal.Templates{form}})
	}))
	return mux
}

func client() *hal.Client {
	return hal.NewClient(&hal.ClientOptions{
		HTTP: &http.Client{Transport: haltest.Serve(menu())},
		Base: "http://api.example/",
	})
}

func ExampleFollow() {
	ctx, c := context.Background(), client()
	root, err := hal.Get[hal.Any](ctx, c, "/")
	if err != nil {
		fmt.Println(err)
		return
	}
	tea, err := hal.Follow[dish](ctx, c, root, "dish", hal.V("id", 7))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tea.Value.Name, tea.URL)
	// Output: Jasmine tea http://api.example/dishes/7
}

func ExampleFollowAll() {
	ctx, c := context.Background(), client()
	root, err := hal.Get[hal.Any](ctx, c, "/")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range hal.FollowAll[dish](ctx, c, root, "best") {
		if r.Err != nil {
			fmt.Println(r.Err)
			continue
		}
		fmt.Println(r.Resource.Value.Name)
	}
	// Output: Jasmine tea
}

func ExampleAt() {
	tea, err := hal.At[dish](context.Background(), client().From("/").Follow("dish", hal.V("id", 7)))
	fmt.Println(tea.Value.Price, err)
	// Output: 3 <nil>
}

func ExamplePut() {
	ctx, c := context.Background(), client()
	tea, err := hal.Get[dish](ctx, c, "/dishes/7")
	if err != nil {
		fmt.Println(err)
		return
	}
	dearer := tea.Value // a copy: resources are shared
	dearer.Price = 4
	if _, err = hal.Put(ctx, c, tea, dearer); err != nil {
		fmt.Println(err)
		return
	}
	dearer.Price = 5 // still against the version read first
	_, err = hal.Put(ctx, c, tea, dearer)
	var conflict *hal.Conflict[dish]
	if errors.As(err, &conflict) {
		fmt.Println("conflict, the price is", conflict.Current.Value.Price)
	}
	// Output: conflict, the price is 4
}

func ExampleSubmit() {
	ctx, c := context.Background(), client()
	tea, err := hal.Get[dish](ctx, c, "/dishes/7")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = hal.Submit[dish](ctx, c, tea, "default", map[string]any{"name": "Green tea", "price": 0})
	fmt.Println(err)
	green, err := hal.Submit[dish](ctx, c, tea, "default", map[string]any{"name": "Green tea", "price": 2})
	fmt.Println(green.Value.Name, err)
	// Output:
	// 422 Unprocessable Entity (#/price must be at least 1)
	// Green tea <nil>
}

func ExampleWrite() {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/dishes/7", nil)
	tea := dish{Name: "Jasmine tea", Price: 3}
	tea.Links.Self = hal.To("/dishes/7")
	if err := hal.Write(w, r, http.StatusOK, tea, &hal.WriteOptions{ETag: `"v1"`}); err != nil {
		hal.WriteProblem(w, r, err)
	}
	fmt.Println(w.Header().Get("Content-Type"), w.Header().Get("Etag"))
	fmt.Println(w.Body)
	// Output:
	// application/hal+json "v1"
	// {"_links":{"self":{"href":"/dishes/7"}},"name":"Jasmine tea","price":3}
}

func ExampleMergePatch() {
	doc, err := hal.MergePatch([]byte(`{"name":"Tea","price":3,"old":true}`), []byte(`{"price":4,"old":null}`))
	fmt.Println(string(doc), err)
	// Output: {"name":"Tea","price":4} <nil>
}

func ExampleLinks() {
	var links hal.Links
	links.Set("self", hal.To("/dishes/7"))
	links.SetAll("curies", hal.Curie("acme", "https://docs.example/{rel}"))
	links.Add("acme:tag", hal.To("/tags/hot"))
	fmt.Println(links.Find("https://docs.example/tag")[0].Href)
	// Output: /tags/hot
}
