package configsvc_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/server/servertest"
	"github.com/goswale/swale/hal"
)

func files(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func hasStatus(err error, status int) bool {
	var p *hal.Problem
	return errors.As(err, &p) && p.Status == status
}

func TestStartsFromTheLastGoodCopyWhenTheServiceIsDown(t *testing.T) {
	s := servertest.Start(t)
	dir := filepath.Join(t.TempDir(), "made", "by", "it")
	withCopy := func(o *configsvc.ClientOptions) { o.Dir, o.Service, o.Instance = dir, "orders", "orders-1" }
	s.Write("base", `{"pool":5}`)
	first := watch[settings](t, s.Client("x", withCopy), "base")
	s.Write("base", `{"pool":6}`)
	eventually(t, "the change", func() bool { return first.Get().Pool == 6 })
	s.Write("base", `{"pool":-1}`)
	if err := first.Refresh(t.Context()); err == nil {
		t.Fatal("the update was to be rejected")
	}
	s.SetDown(true)

	second := watch[settings](t, s.Client("x", withCopy), "base")
	if snap := second.Snapshot(); snap.Value.Pool != 6 || !snap.FromCopy || !second.Status().FromCopy {
		t.Errorf("the last good one is what there is: %+v", snap)
	}
	if _, err := configsvc.Watch[settings](t.Context(), s.Client("x", withCopy), "other"); err == nil || !strings.Contains(err.Error(), "no copy of an earlier one") {
		t.Errorf("without service and copy there is nothing to start from: %v", err)
	}
	s.SetDown(false)
	s.Write("base", `{"pool":7}`)
	eventually(t, "the service to be back", func() bool { return second.Get().Pool == 7 && !second.Status().FromCopy })

	// A service that has only what can't be used is as good as none.
	s.Write("base", `{"pool":-1}`)
	third := watch[settings](t, s.Client("x", withCopy), "base")
	if status := third.Status(); third.Get().Pool != 7 || status.Rejected == "" {
		t.Errorf("a bad configuration at the start: the copy holds, and the status says so: %+v", status)
	}
}

func TestTheCopyIsPrivateAndChecked(t *testing.T) {
	s := servertest.Start(t)
	dir := t.TempDir()
	withCopy := func(o *configsvc.ClientOptions) { o.Dir = dir }
	s.Write("base", `{"pool":5}`)
	watch[settings](t, s.Client("x", withCopy), "base")
	names := files(t, dir)
	if len(names) != 1 {
		t.Fatalf("one file for one list of keys: %v", names)
	}
	info, err := os.Stat(names[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("only its owner may read it: %v, %v", info.Mode(), err)
	}
	good, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	s.SetDown(true)
	start := func() error {
		_, err := configsvc.Watch[settings](t.Context(), s.Client("x", withCopy), "base")
		return err
	}
	for what, text := range map[string]string{
		"changed":   strings.Replace(string(good), `"pool":5`, `"pool":6`, 1),
		"cut short": string(good[:len(good)-3]),
		"empty":     "",
	} {
		if err := os.WriteFile(names[0], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := start(); !errors.Is(err, configsvc.ErrCopy) || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("a copy that was %s must not be used: %v", what, err)
		}
	}
	if err := os.WriteFile(names[0], good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(names[0], 0o666); err != nil {
		t.Fatal(err)
	}
	if err := start(); !errors.Is(err, configsvc.ErrCopy) || !strings.Contains(err.Error(), "changed by others") {
		t.Errorf("a copy that others may change must not be used: %v", err)
	}
	if err := os.Chmod(names[0], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := start(); err != nil {
		t.Errorf("the good one is used: %v", err)
	}
}

func TestCopiesWithSecretsAreEncrypted(t *testing.T) {
	s := servertest.Start(t)
	dir := t.TempDir()
	s.Write("base", `{"db":{"password":{"$secret":"hunter2"}}}`)
	sealed := func(o *configsvc.ClientOptions) { o.Dir, o.Secrets, o.CopySealer = dir, true, s.Sealer }
	watch[settings](t, s.Client("trusted", sealed), "base")
	names := files(t, dir)
	if len(names) != 1 {
		t.Fatalf("one file: %v", names)
	}
	if text, err := os.ReadFile(names[0]); err != nil || strings.Contains(string(text), "hunter2") {
		t.Errorf("the copy must be encrypted: %v %s", err, text)
	}
	s.SetDown(true)
	if w := watch[settings](t, s.Client("trusted", sealed), "base"); w.Get().DB.Password != "hunter2" {
		t.Errorf("it is read with the key: %+v", w.Get())
	}
	if _, err := configsvc.Watch[settings](t.Context(), s.Client("trusted", func(o *configsvc.ClientOptions) { o.Dir = dir }), "base"); !errors.Is(err, configsvc.ErrCopy) {
		t.Errorf("and not without: %v", err)
	}
}
