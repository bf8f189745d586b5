package configsvc_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/server/servertest"
)

type embedded struct {
	Level string `json:"level" default:"low" check:"required"`
}

type many struct {
	embedded
	Wait  time.Duration     `json:"wait" default:"2s" check:"max=1m"`
	On    bool              `json:"on" default:"true"`
	Ratio float64           `json:"ratio" default:"0.5" check:"min=0,max=1"`
	List  []item            `json:"list" check:"max=2"`
	Map   map[string]item   `json:"map"`
	Port  *int              `json:"port" default:"80" check:"min=1"`
	Code  string            `json:"code" check:"pattern=^[a-z]{2,3}$"`
	Tags  map[string]string `json:"tags" default:"{\"a\":\"b\"}"`
}

type item struct {
	Name string `json:"name" check:"required"`
	Size int    `json:"size"`
}

func (m *many) SetDefaults() {
	m.List = []item{{Name: "default", Size: 9}}
}

func TestDefaultsComeFromTheStruct(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{}`)
	w := watch[many](t, s.Client("x", nil), "base")
	got := w.Get()
	if got.Level != "low" || got.Wait != 2*time.Second || !got.On || got.Ratio != 0.5 || *got.Port != 80 || got.Tags["a"] != "b" || got.List[0].Size != 9 {
		t.Errorf("defaults: %+v", got)
	}
	s.Write("base", `{"on":false,"ratio":0,"list":[{"name":"mine"}],"LEVEL":"high"}`)
	if err := w.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	got = w.Get()
	if got.On || got.Ratio != 0 || got.Level != "high" {
		t.Errorf("false and 0 are values: %+v", got)
	}
	if len(got.List) != 1 || got.List[0].Size != 0 {
		t.Errorf("a list replaces the default, and nothing of that shines through: %+v", got.List)
	}
	for value, why := range map[string]string{
		`{"level":""}`:                                      "/level is required",
		`{"list":[{"name":"a"},{"size":1}]}`:                "/list/1/name is required",
		`{"list":[{"name":"a"},{"name":"b"},{"name":"c"}]}`: "/list must be at most 2 long",
		`{"map":{"x":{}}}`:                                  "/map/x/name is required",
		`{"port":0}`:                                        "/port must be at least 1",
		`{"code":"ABC"}`:                                    "/code must match ^[a-z]{2,3}$",
		`{"wait":61000000000}`:                              "/wait must be at most 1m",
	} {
		s.Write("base", value)
		if err := w.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %q expected: %v", value, why, err)
		}
	}
}

func TestTagsThatCantBeUsedAreErrors(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{}`)
	c := s.Client("x", nil)
	for name, watch := range map[string]func() error{
		"default": func() error {
			_, err := configsvc.Watch[struct {
				A int `json:"a" default:"x"`
			}](t.Context(), c, "base")
			return err
		},
		"no such rule": func() error {
			_, err := configsvc.Watch[struct {
				A int `json:"a" check:"minimum=1"`
			}](t.Context(), c, "base")
			return err
		},
		"pattern": func() error {
			_, err := configsvc.Watch[struct {
				B struct {
					A string `json:"a" check:"pattern=["`
				} `json:"b"`
			}](t.Context(), c, "base")
			return err
		},
	} {
		if err := watch(); !errors.Is(err, configsvc.ErrTag) || !strings.Contains(err.Error(), "/a") {
			t.Errorf("%s: the tag is wrong, and where: %v", name, err)
		}
	}
}

func TestStrict(t *testing.T) {
	s := servertest.Start(t)
	s.Write("base", `{"pool":1,"unknown":2}`)
	watch[panics](t, s.Client("x", nil), "base")
	if _, err := configsvc.Watch[panics](t.Context(), s.Client("x", func(o *configsvc.ClientOptions) { o.Strict = true }), "base"); err == nil || !strings.Contains(err.Error(), "unknown") {
		t.Errorf("Strict refuses what T doesn't have: %v", err)
	}
}
