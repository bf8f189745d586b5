package rabbitbus

import (
	"slices"
	"testing"
)

func TestAddressesOfACluster(t *testing.T) {
	for list, want := range map[string][]string{
		"amqp://a":                            {"amqp://a"},
		"amqp://a/v,amqps://b:1/v,amqp://c/v": {"amqp://a/v", "amqps://b:1/v", "amqp://c/v"},
		"amqp://u:p,w@a,amqp://u:p,w@b":       {"amqp://u:p,w@a", "amqp://u:p,w@b"},
		"":                                    {""},
	} {
		if got := addresses(list); !slices.Equal(got, want) {
			t.Errorf("%q are the URLs %q, not %q", list, want, got)
		}
	}
}
