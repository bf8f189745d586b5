package ageseal_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/goswale/swale/configsvc/ageseal"
)

func key(t *testing.T) string {
	t.Helper()
	k, err := ageseal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRotation(t *testing.T) {
	first, second := key(t), key(t)
	before, err := ageseal.New(first)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := before.Seal(t.Context(), []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("hunter2")) {
		t.Error("what is sealed must not be readable")
	}
	t.Setenv("TEST_CONFIG_KEY", second+",\n"+first)
	both, err := ageseal.FromEnv("TEST_CONFIG_KEY")
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := both.Open(t.Context(), sealed); err != nil || string(plain) != "hunter2" {
		t.Errorf("a key that was rotated out still opens: %q, %v", plain, err)
	}
	fresh, err := both.Seal(t.Context(), []byte("new"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.Open(t.Context(), fresh); err == nil {
		t.Error("the first key seals")
	}
	fresh[len(fresh)-1] ^= 1
	if _, err := both.Open(t.Context(), fresh); err == nil {
		t.Error("what was changed must not open")
	}
}

func TestKeysStayOutOfErrors(t *testing.T) {
	bad := strings.Replace(key(t), "AGE", "EGA", 1)
	if _, err := ageseal.New(key(t), bad); !errors.Is(err, ageseal.ErrKey) || strings.Contains(err.Error(), bad[10:]) {
		t.Errorf("the error says which key is wrong, and not the key: %v", err)
	}
	if _, err := ageseal.FromEnv("TEST_NO_SUCH_KEY"); !errors.Is(err, ageseal.ErrKey) || !strings.Contains(err.Error(), "TEST_NO_SUCH_KEY") {
		t.Errorf("the error names the variable: %v", err)
	}
}
