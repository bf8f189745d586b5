package httpbus

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
)

// examples are one frame of each kind with everything in it.
func examples() []frame {
	h := http.Header{"A": {"1", "2"}, "B": {""}}
	return []frame{
		{kind: kindOpen, flags: flagComplete, id: "x1", method: "GET", target: "/a?b", host: "svc", timeout: 5, silence: 6, length: 3, header: h, announced: []string{"T"}, trailer: h, limit: 7, wait: 8, body: []byte("abc")},
		{kind: kindOpen, id: "x1", method: "POST", target: "*", length: -1, header: http.Header{}},
		{kind: kindPull, flags: flagWantHead, id: "x1", offset: 1 << 40, limit: 3, wait: 4},
		{kind: kindPush, flags: flagComplete, id: "x1", offset: 9, wait: 1, trailer: h, body: []byte{0, 255}},
		{kind: kindCancel, id: "x1"},
		{kind: kindReply, flags: flagHead | flagEnd, id: "x1", instance: "i1", status: 200, length: 2, header: h, announced: []string{"T"}, trailer: h, offset: 3, body: []byte("ok")},
		{kind: kindReply, flags: flagAborted, id: "x1", instance: "i1", reason: "why"},
		{kind: kindTaken, flags: flagStop, id: "x1", offset: 12},
	}
}

func TestFramesReadAsWritten(t *testing.T) {
	for _, f := range examples() {
		var got frame
		if err := got.decode(f.append(nil), 1<<16); err != nil {
			t.Errorf("kind %d: %v", f.kind, err)
		}
		if got.body != nil && len(got.body) == 0 {
			got.body = nil
		}
		if diff := cmp.Diff(f, got, cmp.AllowUnexported(frame{})); diff != "" {
			t.Errorf("kind %d must read as written (-written +read):\n%s", f.kind, diff)
		}
	}
}

func TestTruncatedHeadsAreRefused(t *testing.T) {
	for _, f := range examples() {
		f.body = nil
		whole := f.append(nil)
		for n := range whole {
			var got frame
			if err := got.decode(whole[:n], 1<<16); !errors.Is(err, errFrame) {
				t.Errorf("kind %d cut to %d of %d bytes must be refused, got %v", f.kind, n, len(whole), err)
			}
		}
	}
}

func TestHostileFramesAreRefused(t *testing.T) {
	open := func(mod func(*frame)) []byte {
		f := frame{kind: kindOpen, id: "x", method: "GET", target: "/", length: -1, header: http.Header{}}
		mod(&f)
		return f.append(nil)
	}
	reply := func(mod func(*frame)) []byte {
		f := frame{kind: kindReply, flags: flagHead, id: "x", instance: "i", status: 200, length: -1}
		mod(&f)
		return f.append(nil)
	}
	for name, data := range map[string][]byte{
		"empty":                nil,
		"garbage":              []byte(strings.Repeat("garbage", 100)),
		"other version":        append([]byte{9}, open(func(*frame) {})[1:]...),
		"unknown kind":         {version, 99, 0, 0},
		"method with a space":  open(func(f *frame) { f.method = "GET /x HTTP/1.1\r\n" }),
		"no method":            open(func(f *frame) { f.method = "" }),
		"target with newline":  open(func(f *frame) { f.target = "/\r\nX: y" }),
		"host with a path":     open(func(f *frame) { f.host = "a/b" }),
		"host with user":       open(func(f *frame) { f.host = "u@h" }),
		"negative length":      open(func(f *frame) { f.length = -2 }),
		"name with a colon":    open(func(f *frame) { f.header = http.Header{"a:b": {"c"}} }),
		"value with newline":   open(func(f *frame) { f.header = http.Header{"A": {"b\r\nC: d"}} }),
		"value with NUL":       open(func(f *frame) { f.header = http.Header{"A": {"\x00"}} }),
		"header too large":     open(func(f *frame) { f.header = http.Header{"A": {strings.Repeat("x", 1<<16)}} }),
		"too many lines":       open(func(f *frame) { f.header = http.Header{"A": make([]string, 5000)} }),
		"lines that aren't":    append(open(func(*frame) {})[:10], 255, 255, 255, 255, 127),
		"id with a slash":      open(func(f *frame) { f.id = "../x" }),
		"id too long":          open(func(f *frame) { f.id = strings.Repeat("a", 65) }),
		"status 99":            reply(func(f *frame) { f.status = 99 }),
		"status 100":           reply(func(f *frame) { f.status = 100 }),
		"status 1000":          reply(func(f *frame) { f.status = 1000 }),
		"ended and aborted":    reply(func(f *frame) { f.flags = flagEnd | flagAborted }),
		"trailer with newline": reply(func(f *frame) { f.flags |= flagEnd; f.trailer = http.Header{"A": {"\n"}} }),
		"trailer name":         reply(func(f *frame) { f.announced = []string{"a b"} }),
	} {
		var f frame
		if err := f.decode(data, 64<<10); !errors.Is(err, errFrame) {
			t.Errorf("%s must be refused, got %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range examples() {
		f.Add(e.append(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var once, twice frame
		if once.decode(data, 1<<12) != nil {
			return
		}
		if weight(once.header)+weight(once.trailer) > 1<<12 {
			t.Errorf("the header is over the limit")
		}
		if err := twice.decode(once.append(nil), 1<<12); err != nil {
			t.Errorf("what was accepted must be accepted again: %v", err)
		}
		if diff := cmp.Diff(once, twice, cmp.AllowUnexported(frame{})); diff != "" {
			t.Error(diff)
		}
	})
}

func connected(t *testing.T) (*bus.Bus, *bus.Bus) {
	t.Helper()
	broker := membus.NewBroker()
	a, b := broker.Connect(nil), broker.Connect(nil)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := errors.Join(a.Shutdown(ctx), b.Shutdown(ctx)); err != nil {
			t.Error(err)
		}
	})
	return a, b
}

func TestServerSurvivesHostileQuestions(t *testing.T) {
	client, there := connected(t)
	s, err := Serve(t.Context(), there, "svc", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "fine")
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(subject string, f frame) (frame, error) {
		data, err := client.Ask(t.Context(), subject, pack(&f))
		if err != nil {
			return frame{}, err
		}
		var got frame
		return got, got.decode(data, 1<<16)
	}
	at := instanceSubject("svc", s.instance)
	open := frame{kind: kindOpen, flags: flagComplete, id: "x", method: "GET", target: "/", length: -1, wait: 10, limit: 100}
	for name, c := range map[string]struct {
		subject string
		mod     func(*frame)
		status  int
	}{
		"no URL":                 {openSubject("svc"), func(f *frame) { f.target = "not-a-path" }, 400},
		"CONNECT":                {openSubject("svc"), func(f *frame) { f.method = "CONNECT"; f.target = "a:1" }, 400},
		"length that is a lie":   {openSubject("svc"), func(f *frame) { f.length = 5 }, 400},
		"length over the limit":  {openSubject("svc"), func(f *frame) { f.length = 1 << 50; f.flags = 0 }, 413},
		"a pull that opens":      {openSubject("svc"), func(f *frame) { *f = frame{kind: kindPull, id: "x"} }, -1},
		"no exchange":            {openSubject("svc"), func(f *frame) { f.id = "" }, -1},
		"an open at an instance": {at, func(*frame) {}, 0},
		"an unknown exchange":    {at, func(f *frame) { *f = frame{kind: kindPull, id: "nope", limit: 1} }, 0},
	} {
		f := open
		c.mod(&f)
		got, err := ask(c.subject, f)
		switch {
		case c.status < 0 && err == nil:
			t.Errorf("%s must be answered by an error, got %+v", name, got)
		case c.status == 0 && err == nil && got.flags&flagAborted == 0:
			t.Errorf("%s must be refused, got %+v", name, got)
		case c.status > 0 && (err != nil || got.status != c.status):
			t.Errorf("%s must be answered by %d, got %+v, %v", name, c.status, got, err)
		}
	}
	if _, err := client.Ask(t.Context(), at, []byte(`{"json":1}`)); err == nil {
		t.Error("a message that carries no frame must be answered by an error")
	}
	resp, err := (&http.Client{Transport: NewTransport(client, nil)}).Do(mustRequest(t))
	if err != nil {
		t.Fatalf("after all that the server must still serve: %v", err)
	}
	_ = resp.Body.Close()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func mustRequest(t *testing.T) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://svc/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestClientRefusesHostileAnswers(t *testing.T) {
	ok := func() frame {
		return frame{kind: kindReply, flags: flagHead, instance: "evil", status: 200, length: -1, body: []byte("begin")}
	}
	for name, c := range map[string]struct{ open, pull func(*frame) }{
		"another exchange's head":     {open: func(f *frame) { f.id = "other" }},
		"no instance":                 {open: func(f *frame) { f.instance = "" }},
		"a question as an answer":     {open: func(f *frame) { f.kind = kindPull }},
		"more than asked for":         {open: func(f *frame) { f.body = bytes.Repeat([]byte("x"), 300<<10) }},
		"longer than its length":      {open: func(f *frame) { f.length = 2 }},
		"ended before its length":     {open: func(f *frame) { f.flags |= flagEnd; f.length = 20 }},
		"a body for 204":              {open: func(f *frame) { f.status = 204 }},
		"body from somewhere else":    {pull: func(f *frame) { f.offset++ }},
		"another instance":            {pull: func(f *frame) { f.instance = "other" }},
		"another exchange's body":     {pull: func(f *frame) { f.id = "other" }},
		"more than asked for, pulled": {pull: func(f *frame) { f.body = bytes.Repeat([]byte("x"), 300<<10) }},
	} {
		t.Run(name, func(t *testing.T) {
			client, there := connected(t)
			evil := func(answer func(q *frame) frame) func(*bus.Question) {
				return func(question *bus.Question) {
					var q frame
					if err := q.decode(question.Data, 1<<16); err != nil {
						t.Error(err)
					}
					f := answer(&q)
					question.Answer(pack(&f))
				}
			}
			_, err := there.Questions(t.Context(), openSubject("svc"), group, evil(func(q *frame) frame {
				f := ok()
				f.id = q.id
				if c.open != nil {
					c.open(&f)
				}
				return f
			}), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = there.Questions(t.Context(), instanceSubject("svc", "evil"), group, evil(func(q *frame) frame {
				f := frame{kind: kindReply, flags: flagEnd, id: q.id, instance: "evil", offset: q.offset, body: []byte("end")}
				if c.pull != nil {
					f.flags = 0
					c.pull(&f)
				}
				return f
			}), nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&http.Client{Transport: NewTransport(client, nil)}).Do(mustRequest(t))
			var body []byte
			if err == nil {
				body, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if err == nil {
				t.Errorf("must be an error, got the body %q", body)
			}
		})
	}
}
