package driver_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/discovery/driver"
)

func TestStoredForm(t *testing.T) {
	key, err := driver.ParseKey("instances", "near-riders", "Id_1")
	if err != nil {
		t.Fatal(err)
	}
	want := driver.Record{Key: key, Owner: "owner", Value: []byte("{\"a\":\"<\n>\"}\n"), TTL: 15 * time.Second}
	b, err := driver.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := driver.Unmarshal(key, b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a record comes back as it was (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "{}", "{}\n", "x\ny", `{"owner":"o"}` + "\n", `{"owner":"o","ttl":5}`} {
		if _, err := driver.Unmarshal(key, []byte(bad)); err == nil {
			t.Errorf("%q isn't a record", bad)
		}
	}
	for _, bad := range [][3]string{{"", "a", "b"}, {"instances", "a.b", "c"}, {"instances", "a", "b/c"}, {"instances", "a", "é"}} {
		if _, err := driver.ParseKey(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%q isn't a key", bad)
		}
	}
}

func TestOwnedBy(t *testing.T) {
	r := driver.Record{Owner: "owner"}
	for name, own := range map[string]bool{"owner": true, "Owner": false, "owne": false, "owner2": false, "": false} {
		if r.OwnedBy(name) != own {
			t.Errorf("%q: owned %v, want %v", name, !own, own)
		}
	}
}
