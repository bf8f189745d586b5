package system

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/goswale/swale/cache"
	"github.com/goswale/swale/resn"
)

// mutation takes one mechanism of the system away. The zero value takes nothing.
type mutation struct {
	guarantee, name string

	resn      string               // a switch of resn
	store     string               // a switch of the cache
	relay     relayFaults          // of the owner's database and relay
	unbounded func(*cache.Options) // what the program asked for is ignored
	lasts     time.Duration        // the lease
	alone     bool                 // each reader has a cache of his own
	unowned   bool                 // publishers don't take their topic
	claims    string               // a switch of the lease on the bus
}

func (m *mutation) reader(o *resn.ListenerOptions, c *cache.Options) {
	if m.resn != "" {
		*inside[bool](o, "without", m.resn) = true
	}
	o.Lease = m.lasts
	if m.unbounded != nil {
		m.unbounded(c)
	}
}

func (m *mutation) publisher(o *resn.PublisherOptions) {
	o.Unowned = m.unowned
	if m.resn != "" {
		*inside[bool](o, "without", m.resn) = true
	}
}

func (m *mutation) lease(l *resn.BusLease) {
	if m.claims != "" {
		*inside[bool](l, "without", m.claims) = true
	}
}

func (m *mutation) cache(t *cache.Transport) {
	// What is forgotten first is the same in every run.
	*inside[bool](t, "ledger", "hasher", "plain") = true
	*inside[bool](t, "store", "hasher", "plain") = true
	if m.store != "" {
		*inside[bool](t, "ledger", "sabotage", m.store) = true
	}
}

// inside finds what only tests may set, and what therefore nobody exports. If there
// is nothing of that name the test ends here.
func inside[T any](owner any, path ...string) *T {
	v := reflect.ValueOf(owner)
	for _, name := range path {
		for v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v = v.FieldByName(name); !v.IsValid() {
			panic(fmt.Sprintf("%T has no %v", owner, path))
		}
	}
	if v.Type() != reflect.TypeFor[T]() {
		panic(fmt.Sprintf("%v of %T is a %v", path, owner, v.Type()))
	}
	return (*T)(unsafe.Pointer(v.UnsafeAddr()))
}

var mutations = []mutation{
	{guarantee: "G1", name: "the listener doesn't pass notices on", resn: "notices"},
	{guarantee: "G1", name: "a late notice is taken for a repeat", resn: "repeats"},
	{guarantee: "G1", name: "a notice doesn't end what is stored", store: "notices"},
	{guarantee: "G1", name: "a notice doesn't reach groups", store: "groups"},
	{guarantee: "G1", name: "the notice isn't of the transaction", relay: relayFaults{commits: true}},
	{guarantee: "G2", name: "a notice is for what is stored only", resn: "stored"},
	{guarantee: "G2", name: "a fill counts from its answer", store: "stamps"},
	{guarantee: "G2", name: "a question that was overtaken is joined", store: "joins"},
	{guarantee: "G3", name: "missing numbers are overlooked", resn: "holes"},
	{guarantee: "G3", name: "a new epoch is overlooked", resn: "epochs"},
	{guarantee: "G3", name: "a watermark counts from when it comes", resn: "late"},
	{guarantee: "G3", name: "a watermark from the future is believed", resn: "future"},
	{guarantee: "G3", name: "a publisher's watermark passes what is under way", resn: "pending"},
	{guarantee: "G3", name: "a reset is ignored", store: "resets"},
	{guarantee: "G3", name: "a lease doesn't end", lasts: time.Hour},
	{guarantee: "G3", name: "the relay looks first and takes the time then", relay: relayFaults{timeFirst: true}},
	{guarantee: "G3", name: "a relay that leads no more isn't stopped", relay: relayFaults{fence: true}},
	{guarantee: "G3", name: "two publish a topic that nobody owns", unowned: true},
	{guarantee: "G3", name: "a commit goes on when its topic is lost", resn: "bound"},
	{guarantee: "G3", name: "who isn't the owner writes watermarks", resn: "deposed"},
	{guarantee: "G3", name: "who has a topic again goes on with his numbers", resn: "regained"},
	{guarantee: "owners", name: "a candidate doesn't wait until the owner's TTL is over", claims: "wait"},
	{guarantee: "owners", name: "a candidate's wait doesn't begin when he hears himself", claims: "since"},
	{guarantee: "owners", name: "an owner doesn't listen for itself", claims: "echo"},
	{guarantee: "owners", name: "a candidate doesn't heed the owner", claims: "objections"},
	{guarantee: "G4", name: "a version that isn't the one noticed is reused", store: "tags"},
	{guarantee: "G4", name: "resn-lag is ignored", store: "lags"},
	{guarantee: "G5", name: "nobody joins", alone: true},
	{guarantee: "G5", name: "a cancelled reader takes the question with him", store: "detaches"},
	{guarantee: "G6", name: "an own write invalidates nothing", store: "writes"},
	{guarantee: "G6", name: "what a replica shows after an own write is reused", store: "replicas"},
	{guarantee: "G7", name: "bytes aren't bounded", unbounded: func(o *cache.Options) { o.MaxBytes = 0 }},
	{guarantee: "rest", name: "each watermark begins an epoch", resn: "restarts"},
	{guarantee: "rest", name: "a notice resets its topic", resn: "coarse"},
	{guarantee: "rest", name: "who has missed notices believes no watermark any more", resn: "grieves"},
	{guarantee: "rest", name: "a subscription that failed isn't tried again", resn: "retries"},
	{guarantee: "rest", name: "each change begins an epoch", resn: "restless"},
	{guarantee: "rest", name: "a 404 that is doubted isn't kept", store: "drops"},
	{guarantee: "owners", name: "who has lost a topic doesn't take it again", resn: "retakes"},
	{guarantee: "G7", name: "vouching has no backstop", unbounded: func(o *cache.Options) { o.VouchLimit = 1000 * time.Hour }},
}

// Each thing that a guarantee rests on is taken away, and the simulator has to
// find out. Otherwise it proves nothing about it.
func TestSimulatorCatches(t *testing.T) {
	if raceEnabled {
		t.Skip("tens of thousands of seeds, of which the race detector makes an hour; .ci/run runs this without it")
	}
	for i := range mutations {
		m := &mutations[i]
		t.Run(m.guarantee+"/"+m.name, func(t *testing.T) {
			var mu sync.Mutex
			var caught *world
			eachSeed(t, 20_000, func(t *testing.T, seed uint64) bool {
				t.Helper()
				w := simulate(t, seed, m)
				mu.Lock()
				defer mu.Unlock()
				if w.breach != nil && w.breach.guarantee == m.guarantee && (caught == nil || w.seed < caught.seed) {
					caught = w
				}
				return caught == nil
			})
			if caught == nil {
				t.Fatalf("%s: the system was built so that %s, and no seed shows it", m.guarantee, m.name)
			}
			t.Logf("seed %d: %s", caught.seed, caught.breach.text)
			if *simAll {
				t.Log(caught.report())
			}
		})
	}
}
