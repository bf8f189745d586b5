package hal_test

import (
	"strings"
	"testing"

	"github.com/goswale/swale/hal"
)

// A client, resource or document that isn't there is an error that says so, not a
// nil dereference somewhere inside.
func TestWhatIsMissingIsNamed(t *testing.T) {
	type order struct{}
	ctx, client, read := t.Context(), hal.NewClient(nil), &hal.Resource[order]{}
	var none *hal.Resource[order]
	calls := map[string]struct {
		want string
		call func(c *hal.Client, r *hal.Resource[order], from hal.Linked) error
	}{
		"Get": {"*Client is nil", func(c *hal.Client, _ *hal.Resource[order], _ hal.Linked) error {
			_, err := hal.Get[order](ctx, c, "http://orders.example/9")
			return err
		}},
		"Post": {"*Client is nil", func(c *hal.Client, _ *hal.Resource[order], _ hal.Linked) error {
			_, err := hal.Post[order](ctx, c, "http://orders.example/", nil)
			return err
		}},
		"Pages": {"*Client is nil", func(c *hal.Client, _ *hal.Resource[order], _ hal.Linked) error {
			for _, err := range hal.Pages[order](ctx, c, "http://orders.example/") {
				return err
			}
			return nil
		}},
		"At": {"*Client is nil", func(c *hal.Client, _ *hal.Resource[order], _ hal.Linked) error {
			_, err := hal.At[order](ctx, c.With(nil).From("http://orders.example/").Follow("find"))
			return err
		}},
		"Put": {"*Resource to change is nil", func(c *hal.Client, r *hal.Resource[order], _ hal.Linked) error {
			_, err := hal.Put(ctx, c, r, order{})
			return err
		}},
		"Patch": {"*Resource to change is nil", func(c *hal.Client, r *hal.Resource[order], _ hal.Linked) error {
			_, err := hal.Patch(ctx, c, r, order{})
			return err
		}},
		"Delete": {"*Resource to change is nil", func(c *hal.Client, r *hal.Resource[order], _ hal.Linked) error {
			return hal.Delete(ctx, c, r)
		}},
		"Follow": {"document whose links", func(c *hal.Client, _ *hal.Resource[order], from hal.Linked) error {
			_, err := hal.Follow[order](ctx, c, from, "item")
			return err
		}},
		"FollowAll": {"document whose links", func(c *hal.Client, _ *hal.Resource[order], from hal.Linked) error {
			return hal.FollowAll[order](ctx, c, from, "item")[0].Err
		}},
		"PostTo": {"document whose links", func(c *hal.Client, _ *hal.Resource[order], from hal.Linked) error {
			_, err := hal.PostTo[order](ctx, c, from, "item", nil)
			return err
		}},
		"Submit": {"document whose links", func(c *hal.Client, _ *hal.Resource[order], from hal.Linked) error {
			_, err := hal.Submit[order](ctx, c, from, "default", nil)
			return err
		}},
	}
	for name, c := range calls {
		for given, missing := range map[string]*hal.Client{"no client": nil, "a client that NewClient didn't make": {}} {
			if err := c.call(missing, read, read); err == nil || !strings.Contains(err.Error(), "*Client is nil, or wasn't made by NewClient") {
				t.Errorf("%s with %s: %v", name, given, err)
			}
		}
		if strings.Contains(c.want, "Client") {
			continue
		}
		for _, from := range []hal.Linked{nil, none} {
			if err := c.call(client, none, from); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s of nothing: %v, want … %s …", name, err, c.want)
			}
		}
	}
}

func TestMuxRefusesNoHandler(t *testing.T) {
	defer func() {
		if got, want := recover(), `hal: Mux.Handle: the handler of "GET /" is nil`; got != want {
			t.Errorf("panic %v, want %s", got, want)
		}
	}()
	hal.NewMux(nil).Handle("GET /", nil)
}
