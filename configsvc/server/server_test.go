package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/server"
	"github.com/goswale/swale/hal"
)

func TestKeysHaveETags(t *testing.T) {
	s := start(t, nil)
	s.expect(428, "root", "PUT", "/keys/base", `{"pool":5}`)
	made := s.expect(201, "root", "PUT", "/keys/base?message=begin", `{"pool":5}`, "If-None-Match", "*")
	if made.etag() != `"v1"` || made.header.Get("Location") != "/api/keys/base" {
		t.Errorf("what was made has an ETag and a place: %v", made.header)
	}
	s.expect(412, "root", "PUT", "/keys/base", `{}`, "If-None-Match", "*")
	s.expect(412, "root", "PUT", "/keys/base", `{}`, "If-Match", `"v7"`)
	got := s.expect(200, "ada", "GET", "/keys/base", "")
	d := decode[struct {
		Links   struct{ Self, History hal.Link } `json:"_links"`
		Key     string
		Version int64
		Author  string
		Message string
		Value   map[string]any
	}](t, got)
	if d.Author != "root" || d.Message != "begin" || d.Version != 1 || d.Value["pool"] != 5.0 || d.Links.Self.Href != "/api/keys/base" {
		t.Errorf("a document says what, who and why: %s", got.body)
	}
	s.expect(304, "ada", "GET", "/keys/base", "", "If-None-Match", got.etag())
	s.expect(200, "root", "PATCH", "/keys/base", `{"pool":null,"x":{"y":1}}`, "If-Match", `"v1"`)
	if got := s.expect(200, "ada", "GET", "/keys/base", ""); !strings.Contains(got.body, `"value":{"x":{"y":1}}`) {
		t.Errorf("a merge patch deletes by null: %s", got.body)
	}
	if got := s.expect(200, "ada", "GET", "/keys/base?version=1", ""); !strings.Contains(got.body, `"pool":5`) {
		t.Errorf("an old version can be read: %s", got.body)
	}
	s.expect(204, "root", "DELETE", "/keys/base", "", "If-Match", `"v2"`)
	s.expect(404, "ada", "GET", "/keys/base", "")
	s.expect(404, "root", "DELETE", "/keys/base", "", "If-None-Match", "*")
	s.expect(201, "root", "PUT", "/keys/base", `{}`, "If-None-Match", "*")
	s.expect(400, "root", "PUT", "/keys/other", `{"a":1,"a":2}`, "If-None-Match", "*")
	s.expect(400, "root", "PUT", "/keys/Not-a-Key", `{}`, "If-None-Match", "*")
	s.expect(413, "root", "PUT", "/keys/other", `"`+strings.Repeat("x", 9<<20)+`"`, "If-None-Match", "*")
	p := s.expect(422, "root", "PUT", "/keys/other", `"`+strings.Repeat("x", 300<<10)+`"`, "If-None-Match", "*")
	if p.header.Get("Content-Type") != hal.ProblemType || !strings.Contains(p.body, "at most 262144") {
		t.Errorf("errors are problem documents that say what to do: %s", p.body)
	}
	for _, path := range []string{"/nothing", "/changes/x", "/changes/99", "/rollouts/none", "/keys/base?version=99"} {
		if a := s.expect(404, "ada", "GET", path, ""); a.header.Get("Content-Type") != hal.ProblemType {
			t.Errorf("%s: a problem document: %s", path, a.body)
		}
	}
	s.expect(400, "ada", "GET", "/keys/base?version=x", "")
}

func TestChangesOfSeveralKeys(t *testing.T) {
	s := start(t, nil)
	s.expect(201, "root", "POST", "/changes", `{"message":"both","edits":[{"key":"a","value":1},{"key":"b","value":{"x":1}}]}`)
	a := s.expect(412, "root", "POST", "/changes", `{"edits":[{"key":"a","value":2,"version":1},{"key":"b","delete":true,"version":9}]}`)
	if !strings.Contains(a.body, `"key":"b"`) || !strings.Contains(a.body, `"version":1`) {
		t.Errorf("a conflict says of which key there is which version: %s", a.body)
	}
	if a := s.expect(200, "ada", "GET", "/keys/a", ""); !strings.Contains(a.body, `"value":1`) {
		t.Errorf("all or nothing: %s", a.body)
	}
	for _, bad := range []string{`{"edits":[{"key":"a"}]}`, `{"edits":[{"key":"a","value":1,"delete":true}]}`, `{"edits":[{"key":"a","vaule":1}]}`, `{"edits":[]}`, `{"edits":"no"}`} {
		s.expect(422, "root", "POST", "/changes", bad)
	}
	s.expect(201, "root", "POST", "/changes", `{"edits":[{"key":"a","value":3,"overwrite":true},{"key":"b","delete":true,"overwrite":true}]}`)
	history := s.expect(200, "ada", "GET", "/changes?prefix=b&limit=1", "")
	for _, want := range []string{`"revision":2`, `"deleted":true`, `"next":{"href":"/api/changes?before=2&limit=1&prefix=b"}`} {
		if !strings.Contains(history.body, want) {
			t.Errorf("history must have %s: %s", want, history.body)
		}
	}
	if a := s.expect(200, "ada", "GET", "/changes/1", ""); !strings.Contains(a.body, `"message":"both"`) {
		t.Errorf("one commit: %s", a.body)
	}
	if a := s.expect(200, "ada", "GET", "/diff?key=a&from=1&to=2", ""); !strings.Contains(a.body, `"before":1,"after":3`) {
		t.Errorf("a diff: %s", a.body)
	}
	if a := s.expect(200, "root", "POST", "/rollbacks", `{"keys":["a","b"],"to":1,"dryRun":true}`); !strings.Contains(a.body, `"after":{"x":1}`) {
		t.Errorf("a rollback can be previewed: %s", a.body)
	}
	s.expect(201, "root", "POST", "/rollbacks", `{"to":1}`)
	if a := s.expect(200, "ada", "GET", "/keys/b", ""); !strings.Contains(a.body, `"value":{"x":1}`) {
		t.Errorf("rolled back: %s", a.body)
	}
	s.expect(200, "root", "POST", "/rollbacks", `{"to":1}`) // nothing to do
	s.later(time.Hour)
	s.put("a", `9`)
	s.expect(201, "root", "POST", "/rollbacks", `{"prefix":"a","moment":"2026-11-22T12:30:00Z"}`)
	if a := s.expect(200, "ada", "GET", "/keys/a", ""); !strings.Contains(a.body, `"value":1`) {
		t.Errorf("rolled back to a moment: %s", a.body)
	}
}

// At Hailo anyone could register, and a header was believed.
func TestPermissionsAreByKeyPrefixAndEveryChangeIsAudited(t *testing.T) {
	s := start(t, nil)
	s.expect(401, "", "GET", "/keys", "")
	s.expect(201, "ada", "PUT", "/keys/base/order/x", `{}`, "If-None-Match", "*")
	for _, key := range []string{"base/orders", "base", "_schemas/base/order"} {
		s.expect(403, "ada", "PUT", "/keys/"+key, `{}`, "If-None-Match", "*")
	}
	s.expect(403, "ada", "POST", "/changes", `{"edits":[{"key":"base/order","value":1},{"key":"base","value":1}]}`)
	s.expect(403, "ada", "POST", "/rollouts", `{"percent":5,"edits":[{"key":"base","value":1}]}`)
	s.put("base", `{}`)
	s.expect(403, "ada", "POST", "/rollbacks", `{"prefix":"base","to":1}`)
	log := s.log.String()
	for _, want := range []string{
		"who=ada action=write outcome=done keys=base/order/x revision=1",
		"who=ada action=write outcome=denied keys=base/orders",
		"who=root action=write outcome=done keys=base revision=2",
		"outcome=unknown",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the audit log must have %q:\n%s", want, log)
		}
	}
	for _, origin := range []string{"https://evil.example"} {
		if a := s.ask("root", "PUT", "/keys/base", `{"x":1}`, "If-Match", `"v2"`, "Origin", origin, "Sec-Fetch-Site", "cross-site"); a.status != http.StatusForbidden {
			t.Errorf("a page of another origin may not write: %d", a.status)
		}
	}
	nobody := start(t, func(o *server.Options) { o.Allow = nil })
	nobody.expect(403, "root", "PUT", "/keys/base", `{}`, "If-None-Match", "*")
	nobody.expect(200, "root", "GET", "/keys", "")
}

func TestReadingIsByKeyPrefixToo(t *testing.T) {
	s := start(t, func(o *server.Options) {
		o.Allow = server.Grants{{Who: "root", Action: server.Read}, {Who: "root", Action: server.Write}, {Who: "ada", Action: server.Read, Prefix: "base"}}.Allow
	})
	s.put("base", `{}`)
	s.put("private", `{"a":"confidential"}`)
	for _, path := range []string{"/keys/private", "/compile?key=base&key=private", "/explain?key=private", "/diff?key=private", "/schemas/private", "/changes/2"} {
		s.expect(403, "ada", "GET", path, "")
	}
	s.expect(403, "ada", "POST", "/compile", `{"lists":[{"keys":["private"]}]}`)
	for _, path := range []string{"/keys", "/changes"} {
		if a := s.expect(200, "ada", "GET", path, ""); strings.Contains(a.body, "private") || !strings.Contains(a.body, "base") {
			t.Errorf("%s shows only what may be read: %s", path, a.body)
		}
	}
}

func TestSecretsAreDeliveredOnlyToThoseAllowed(t *testing.T) {
	s := start(t, nil)
	s.put("base", `{"password":{"$secret":"hunter2"}}`)
	s.expect(403, "ada", "GET", "/compile?key=base&reveal=true", "")
	a := s.expect(200, "orders", "GET", "/compile?key=base&reveal=true", "")
	if !strings.Contains(a.body, `"value":{"password":"hunter2"}`) || !strings.Contains(a.body, `"secrets":["/password"]`) || a.header.Get("Cache-Control") != "private, no-store" {
		t.Errorf("who may see it gets it, for no cache to keep: %v %s", a.header, a.body)
	}
	shown := ""
	for _, path := range []string{"/compile?key=base", "/explain?key=base&reveal=true", "/keys/base", "/changes", "/diff?key=base&from=1"} {
		a := s.ask("orders", "GET", path, "")
		shown += a.body
	}
	s.expect(201, "root", "POST", "/rollouts", `{"percent":5,"edits":[{"key":"base","value":{"password":{"$secret":"hunter3"}},"version":1}]}`)
	shown += s.expect(200, "root", "GET", "/rollouts", "").body + s.expect(200, "root", "GET", "/changes", "").body + s.log.String()
	if strings.Contains(shown, "hunter") {
		t.Errorf("nothing else may show it: %s", shown)
	}
	if !strings.Contains(s.log.String(), "who=orders action=reveal outcome=shown keys=base") {
		t.Errorf("that it was shown is in the audit log: %s", s.log)
	}
}

func TestNoticesSayThatAndNotWhat(t *testing.T) {
	s := start(t, nil)
	got := make(chan bus.Event, 10)
	sub, err := s.bus.Broadcast(t.Context(), server.DefaultTopic, bus.BroadcastHandler{Event: func(e bus.Event) { got <- e }}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close(t.Context()) }()
	s.put("base", `{"secret-plan":1}`)
	s.expect(201, "root", "POST", "/changes", `{"edits":[{"key":"base","delete":true,"version":1},{"key":"base/orders","value":1}]}`)
	s.expect(422, "root", "POST", "/changes", `{"edits":[]}`)
	want := []string{
		"resn.create http://config.example/api/keys/base",
		"resn.delete http://config.example/api/keys/base", "resn.create http://config.example/api/keys/base/orders",
	}
	for _, w := range want {
		select {
		case e := <-got:
			if text := e.Type + " " + e.Subject; text != w || len(e.Data) != 0 {
				t.Errorf("got %s with %d bytes, want %s and no payload", text, len(e.Data), w)
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("no notice %s", w)
		}
	}
	events := server.Notices("http://config.example", "config", driver.Commit{Revision: 3, Time: s.clock(), Edits: []driver.Edit{{Key: "a", Value: []byte(`1`)}, {Key: "b"}}})
	if len(events) != 2 || events[0].ETag != `"v3"` || events[1].Type != "delete" || events[0].Validate() != nil || events[1].Validate() != nil {
		t.Errorf("an outbox gets the same notices: %+v", events)
	}
}

func TestAnnouncedResponsesNameTheTopic(t *testing.T) {
	s := start(t, func(o *server.Options) { o.Announced = true })
	s.put("base", `{}`)
	a := s.expect(200, "ada", "GET", "/compile?key=base&key=base/orders", "")
	if got := a.header.Get("Cache-Control"); got != `max-age=0, resn="config"` {
		t.Errorf("a cache may keep it until told otherwise: %s", got)
	}
	if got := a.header.Get("Cache-Groups"); got != `"/api/keys/base", "/api/keys/base/orders"` {
		t.Errorf("and is told by the notices of its layers: %s", got)
	}
	for _, path := range []string{"/keys?prefix=base", "/changes", "/compile?key=base&service=orders&instance=1"} {
		if got := s.expect(200, "ada", "GET", path, "").header.Get("Cache-Groups"); !strings.Contains(got, `"config"`) {
			t.Errorf("%s may change with any key, so every notice concerns it: %s", path, got)
		}
	}
}

const twoInstances = `{"keys":["base","base/orders"],"hash":"x"}`

func TestPreviewNamesTheServicesThatChange(t *testing.T) {
	s := start(t, nil)
	s.put("base", `{"pool":5}`)
	for _, path := range []string{"/instances/orders/1", "/instances/orders/2"} {
		s.expect(204, "ada", "PUT", path, twoInstances)
	}
	s.expect(204, "ada", "PUT", "/instances/riders/1", `{"keys":["base"],"hash":"y"}`)
	s.expect(204, "ada", "PUT", "/instances/other/1", `{"keys":["other"],"hash":"z"}`)
	a := s.expect(200, "root", "PUT", "/keys/base?dry-run=true", `{"pool":6}`, "If-Match", `"v1"`)
	p := decode[struct {
		Effects []struct {
			Consumer struct{ Name string }
			Diff     []struct{ Path string }
		}
	}](t, a)
	var names []string
	for _, e := range p.Effects {
		names = append(names, e.Consumer.Name+" "+e.Diff[0].Path)
	}
	if diff := cmp.Diff([]string{"orders /pool", "riders /pool"}, names); diff != "" {
		t.Errorf("each service once, with what changes (-want +got):\n%s", diff)
	}
	if a := s.expect(200, "ada", "GET", "/keys/base", ""); a.etag() != `"v1"` {
		t.Error("a dry run writes nothing")
	}
	if a := s.expect(422, "root", "PUT", "/keys/base/orders", `{"pool":"x"}`, "If-None-Match", "*"); !strings.Contains(a.body, "orders could not compile") {
		t.Errorf("a write that breaks a service that runs is refused: %s", a.body)
	}
	s.expect(201, "root", "PUT", "/keys/base/orders?force=true", `{"pool":"x"}`, "If-None-Match", "*")
	if a := s.expect(409, "ada", "GET", "/compile?key=base&key=base/orders", ""); !strings.Contains(a.body, `"path":"/pool"`) {
		t.Errorf("a conflict is a problem with its paths: %s", a.body)
	}
	s.later(3 * time.Minute)
	if a := s.expect(200, "ada", "GET", "/instances", ""); strings.Contains(a.body, "orders") {
		t.Errorf("who isn't heard of is forgotten: %s", a.body)
	}
}

func TestCompileAndExplain(t *testing.T) {
	s := start(t, nil)
	s.put("base", `{"pool":5}`)
	s.put("base/orders", `{"pool":6}`)
	a := s.expect(200, "ada", "GET", "/compile?key=base&key=base/orders", "")
	c := decode[struct {
		Hash   string
		Value  map[string]int
		Layers []struct {
			Name    string
			Version int64
		}
	}](t, a)
	if c.Value["pool"] != 6 || len(c.Hash) != 32 || c.Layers[1].Version != 2 || a.header.Get(server.RevisionHeader) != "2" {
		t.Errorf("compiled: %v %s", a.header, a.body)
	}
	s.put("unrelated", `1`)
	if a := s.expect(304, "ada", "GET", "/compile?key=base&key=base/orders", "", "If-None-Match", a.etag()); a.header.Get(server.RevisionHeader) != "3" {
		t.Errorf("what doesn't concern it doesn't change it: %v", a.header)
	}
	if a := s.expect(200, "ada", "GET", "/explain?key=base&key=base/orders", ""); !strings.Contains(a.body, `"path":"/pool","value":6,"layer":{"name":"base/orders","version":2},"overrides":[{"layer":{"name":"base","version":1},"value":5}]`) {
		t.Errorf("explained: %s", a.body)
	}
	s.put("broken", `{"pool":{}}`)
	many := s.expect(200, "ada", "POST", "/compile", `{"lists":[{"keys":["base"]},{"keys":["base","broken"]},{"keys":["base/orders"]}]}`)
	results := decode[struct {
		Results []struct {
			Value   map[string]int
			Problem string
		}
	}](t, many).Results
	if len(results) != 3 || results[0].Value["pool"] != 5 || results[1].Problem == "" || results[2].Value["pool"] != 6 {
		t.Errorf("many at once, and one that fails doesn't spoil the others: %s", many.body)
	}
	s.expect(400, "ada", "GET", "/compile", "")
	s.expect(400, "ada", "GET", "/compile?key=base&key=base", "")
}

func TestARejectedRolloutHaltsByItself(t *testing.T) {
	s := start(t, nil)
	s.put("base", `{"pool":5}`)
	made := s.expect(201, "root", "POST", "/rollouts", `{"message":"try","percent":100,"edits":[{"key":"base","value":{"pool":-1},"version":1}]}`)
	r := decode[struct {
		ID    string
		Links struct{ Halt, Complete, Percent hal.Link } `json:"_links"`
	}](t, made)
	a := s.expect(200, "ada", "GET", "/compile?key=base&service=orders&instance=1", "")
	if !strings.Contains(a.body, `"pool":-1`) || !strings.Contains(a.body, r.ID) {
		t.Fatalf("the instance gets the rollout: %s", a.body)
	}
	s.expect(409, "root", "PUT", "/keys/base", `{}`, "If-Match", `"v1"`)
	hash := decode[struct{ Hash string }](t, a).Hash
	s.expect(204, "ada", "PUT", "/instances/orders/1", `{"keys":["base"],"hash":"x","rejected":"`+hash+`","error":"pool must be positive"}`)
	if a := s.expect(200, "ada", "GET", "/rollouts/"+r.ID, ""); !strings.Contains(a.body, `"state":"halted"`) || !strings.Contains(a.body, "pool must be positive") {
		t.Errorf("it halts when it is rejected: %s", a.body)
	}
	if a := s.expect(200, "ada", "GET", "/compile?key=base&service=orders&instance=1", ""); !strings.Contains(a.body, `"pool":5`) {
		t.Errorf("and is taken back: %s", a.body)
	}
	s.expect(409, "root", "POST", strings.TrimPrefix(r.Links.Complete.Href, "/api"), `{}`)
	made = s.expect(201, "root", "POST", "/rollouts", `{"percent":1,"edits":[{"key":"base","value":{"pool":7},"version":1}]}`)
	id := decode[struct{ ID string }](t, made).ID
	s.expect(200, "root", "POST", "/rollouts/"+id+"/percent", `{"percent":50}`)
	s.expect(403, "ada", "POST", "/rollouts/"+id+"/halt", `{}`)
	s.expect(200, "root", "POST", "/rollouts/"+id+"/complete", `{}`)
	if a := s.expect(200, "ada", "GET", "/keys/base", ""); !strings.Contains(a.body, `"pool":7`) {
		t.Errorf("complete, it is a write: %s", a.body)
	}
	if a := s.expect(200, "ada", "GET", "/instances?key=base", ""); !strings.Contains(a.body, "pool must be positive") {
		t.Errorf("who rejected what is visible: %s", a.body)
	}
}

func TestRootSaysWhereEverythingIs(t *testing.T) {
	s := start(t, nil)
	a := s.expect(200, "ada", "GET", "/", "")
	links := decode[struct {
		Links map[string]hal.Link `json:"_links"`
	}](t, a).Links
	for rel, link := range links {
		href, err := hal.Expand(link.Href)
		if err != nil {
			t.Fatal(err)
		}
		if rel == "compile" || rel == "explain" || rel == "diff" || rel == "rollbacks" || rel == "key" {
			continue
		}
		s.expect(200, "ada", "GET", strings.TrimPrefix(href, "/api"), "")
	}
	if a := s.expect(200, "ada", "GET", "/page/", ""); !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("the page has a strict policy: %v", a.header)
	}
}
