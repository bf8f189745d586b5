package authcmd_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/auth/authcmd"
	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/auth/memauth"
)

func TestExplain(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	issuer := "http://" + server.Listener.Addr().String()
	s, err := login.New(memauth.New(), &login.Options{
		Issuer: issuer, KeyEncryption: [][]byte{make([]byte, 32)}, Applications: map[string]login.Application{"x": {}},
	})
	if err != nil {
		t.Fatal(err)
	}
	g := auth.Grants{Grants: []auth.Grant{
		{Service: "orders", May: []string{"payments:charge"}, Because: "orders are paid for when they are placed"},
		{Service: "billing", May: []string{"payments:*"}},
	}}
	if err := s.SetGrants(t.Context(), "test", g); err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = s.Handler(nil)
	server.Start()
	defer server.Close()
	file := filepath.Join(t.TempDir(), "grants.json")
	if err := os.WriteFile(file, []byte(`{"grants":[{"service":"*","may":["menus:read"]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte(`{"grants":[{"service":"x","may":["a*"]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"explain -issuer " + issuer + " orders payments:charge", 0, `orders may payments:charge: a grant to "orders" says payments:charge, because orders are paid for when they are placed.`},
		{"explain -issuer " + issuer + " orders payments:refund", 1, "orders may not payments:refund: no grant covers it.\n  orders may payments:charge\n  billing may payments:*\n"},
		{"explain -grants " + file + " anybody menus:read", 0, `a grant to "*"`},
		{"explain -grants " + broken + " x a", 2, `"*" stands for a whole part`},
		{"explain -grants /nowhere x a", 2, "no such file"},
		{"explain -issuer http://127.0.0.1:1 x a", 2, "connection refused"},
		{"explain x a", 2, "no issuer"},
		{"explain", 2, "usage:"},
		{"", 2, "usage:"},
	} {
		var out strings.Builder
		if code := authcmd.Main(t.Context(), strings.Fields(tt.args), &out, &out); code != tt.code || !strings.Contains(out.String(), tt.want) {
			t.Errorf("auth %s: status %d, %q; want %d, %q", tt.args, code, out.String(), tt.code, tt.want)
		}
	}
}
