package service_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/goswale/swale/service"
)

func TestAdmin(t *testing.T) {
	s := start(t, service.Options{Handler: answer("x"), Metrics: answer("requests 1"), Setup: func(_ context.Context, s *service.Service) error {
		s.Show("topics", func() any { return map[string]bool{"restaurants": true} })
		s.Show("odd", func() any { return func() {} })
		return nil
	}})
	for path, want := range map[string]string{
		"/":                              `<a href="/state/topics">`,
		"/livez":                         `"status": "pass"`,
		"/readyz":                        `"serviceId": "orders/i1"`,
		"/info":                          `"zone": "z1"`,
		"/metrics":                       "requests 1",
		"/state/topics":                  `"restaurants": true`,
		"/debug/pprof/":                  "goroutine",
		"/debug/pprof/heap?debug=1":      "heap profile",
		"/debug/pprof/goroutine?debug=1": "goroutine profile",
	} {
		if code, body := get(t, s.admin+path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want %s", path, code, body, want)
		}
	}
	for path, want := range map[string]int{"/state/other": 404, "/state/odd": 500, "/debug/pprof/other": 404, "/loglevel": 404} {
		if code, body := get(t, s.admin+path); code != want {
			t.Errorf("%s: %d %s, want %d", path, code, body, want)
		}
	}
	var info struct{ Modules map[string]string }
	if _, body := get(t, s.admin+"/info"); json.Unmarshal([]byte(body), &info) != nil {
		t.Error(body)
	}
	if _, profile := get(t, s.admin+"/debug/pprof/profile?seconds=1"); !strings.HasPrefix(profile, "\x1f\x8b") {
		t.Error("a CPU profile is gzipped protobuf")
	}
}

// TestLogLevel uses the logger that the chassis makes itself, in a process whose
// standard error can be read.
func TestLogLevel(t *testing.T) {
	p := launchProgram(t, "ADMIN_LISTEN=127.0.0.1:0", "LOG_FORMAT=text", "ADVERTISE=orders.example:80")
	admin := "http://" + p.log.find(t, `msg="admin port" service=orders version=1 instance=a address=`)
	p.log.find(t, "msg=ready")
	if code, body := get(t, admin+"/loglevel"); code != 200 || body != "info\n" {
		t.Errorf("%d %s", code, body)
	}
	if code, body := do(t, http.MethodPut, admin+"/loglevel", "loud", nil); code != 400 || !strings.Contains(body, "debug, info, warn and error") {
		t.Errorf("%d %s", code, body)
	}
	if strings.Contains(p.log.String(), "msg=request") {
		t.Error("requests are told of at debug")
	}
	if code, body := do(t, http.MethodPut, admin+"/loglevel", "debug", nil); code != 200 || body != "debug\n" {
		t.Errorf("%d %s", code, body)
	}
	get(t, p.url)
	p.log.find(t, "msg=request service=orders version=1 instance=a id=")
	if _, body := get(t, admin+"/info"); !strings.Contains(body, "orders.example:80") {
		t.Error(body)
	}
	p.terminate(t)
}

func TestEnvironment(t *testing.T) {
	e, err := service.ReadEnvironment(nil)
	if err != nil || e.Listen != ":8080" || e.AdminListen != "127.0.0.1:8090" || e.DrainTimeout == 0 {
		t.Errorf("defaults: %+v, %v", e, err)
	}
	for variables, want := range map[string]string{
		"LOG_FORMAT=xml":                "json or text",
		"DRAIN_DELAY=-1s":               "negative",
		"DRAIN_TIMEOUT=0s":              "DRAIN_TIMEOUT",
		"LOG_LEVEL=chatty":              `LOG_LEVEL is "chatty"`,
		"DRAIN_DELAY=three LOG_LEVEL=3": `DRAIN_DELAY is "three"`,
		"LOG_LEVEL=3 DRAIN_DELAY=three": `LOG_LEVEL is "3"`,
	} {
		if _, err := service.ReadEnvironment(strings.Split(variables, " ")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", variables, err, want)
		}
	}
	_, err = service.ReadEnvironment([]string{"DRAIN_TIMEOUT=soon", "LOG_FORMAT=xml", "DRAIN_DELAY=-1s"})
	for _, want := range []string{`DRAIN_TIMEOUT is "soon"`, `LOG_FORMAT is "xml"`, "DRAIN_DELAY is -1s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nmust name every variable that is wrong: %s", err, want)
		}
	}
	if _, err = service.ReadEnvironment([]string{"DRAIN_TIMEOUT=soon"}); err == nil || strings.Count(err.Error(), " is ") != 1 {
		t.Errorf("%v\nmust name what is wrong and nothing else", err)
	}
}
