package cache

import (
	"net/http"
	"slices"
	"time"
)

// rest lets the world come to rest: every change is announced and heard, no message
// is lost, replicas have caught up. Then nobody has a reason to ask again for what he
// has just asked for, whatever is announced of other things meanwhile.
//
// The guarantees can all be kept by asking each time. This is what they are for.
func (w *world) rest() {
	if w.broken != nil {
		return
	}
	w.say("", "", "everything comes to rest")
	w.plan.failures, w.plan.errors, w.plan.chaos, w.resting = 0, 0, 0, true
	for _, t := range w.topics {
		t.hanging, t.stray = false, nil
	}
	w.pass(lagTime + time.Second)
	var all []wanted
	for _, r := range w.resources {
		for _, k := range []wanted{{path: r.path}, {path: r.path, query: "?view=full"}, {path: r.path, lang: "de"}, {path: r.path, user: "ada"}} {
			if w.chance(0.5) {
				all = append(all, k)
			}
		}
	}
	w.settleReads(all)
	w.askNobody(all)
	if w.broken != nil {
		return
	}

	// One thing changes, and nobody asks for another one.
	changed := w.resources[w.rng.IntN(3)]
	content := w.nextContent(changed)
	w.change(changed, content)
	w.say("owner", changed.path, "commits %s is %s, and nothing else changes", changed.path, contentName(content))
	w.pass(time.Second)
	var same, other []wanted
	for _, k := range all {
		if last := w.invalidations[len(w.invalidations)-1]; last.covers(w.resource(k.path)) {
			other = append(other, k)
		} else {
			same = append(same, k)
		}
	}
	w.askNobody(same)
	w.settleReads(other)
	w.askNobody(all)
}

// settleReads reads everything as often as has to be asked.
//
// What came within the time by which reads may lag is doubted, what an intermediary
// answered can't be vouched for, and that something is in a group is known from its
// answer, which an intermediary may have kept. Once, each.
func (w *world) settleReads(all []wanted) {
	for _, k := range all {
		w.fetch(k)
	}
	w.pass(w.plan.declared + time.Second)
	for _, k := range all {
		for _, again := range []bool{w.plan.declared > 0, w.plan.between, len(w.resource(k.path).groups) > 0} {
			if again {
				w.fetch(k)
			}
		}
	}
	w.noise()
	w.pass(50 * time.Millisecond)
}

// askNobody wants everything to be answered from the store.
func (w *world) askNobody(all []wanted) {
	for _, k := range all {
		if w.broken != nil {
			return
		}
		asked := w.fetch(k)
		if w.broken != nil || !w.keepsAtRest(k) {
			continue
		}
		w.tally.count(countRests)
		if asked {
			w.breaks("rest", []string{k.path}, "#%d asks for %s, though nothing changed since it was asked for",
				w.exchanges[len(w.exchanges)-1].id, k)
		}
	}
}

// keepsAtRest reports whether a reader may rely on being answered from the store.
func (w *world) keepsAtRest(k wanted) bool {
	r := w.resource(k.path)
	live, _ := r.live(time.Now())
	if i := w.lastNamed(k); i != nil {
		if status, s := r.view(time.Now()); i.gone || i.tag != r.tag(k, status, s) {
			return false // the owner named another representation's version
		}
	}
	return (live && w.plan.vouchLimit == time.Hour || r.maxAge == 3600) && w.plan.maxBytes == 0
}

// lastNamed returns the last notice about a representation if it named a version.
func (w *world) lastNamed(k wanted) *invalidation {
	for _, i := range slices.Backward(w.invalidations) {
		if i.kind == byNotice && i.path == k.path {
			if (i.tag != "" || i.gone) && i.query == k.query {
				return &i
			}
			return nil
		}
	}
	return nil
}

// pass lets time pass while the relay and the bus do their work, and programs
// forget things.
func (w *world) pass(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		w.step++
		<-time.After(200 * time.Millisecond)
		w.settle()
		for _, t := range w.topics {
			w.relay(t)
			for len(t.queue) > 0 {
				w.deliver(t)
			}
		}
		if w.chance(0.3) {
			w.noise()
		}
		w.settle()
	}
}

// fetch reads a representation whole and reports whether the cache asked for it.
func (w *world) fetch(k wanted) (asked bool) {
	before := len(w.exchanges)
	w.step++
	w.send(&reader{id: len(w.readers) + 1, start: w.step, startAt: time.Now(), want: k})
	for round := 0; (len(w.reading) > 0 || len(w.flying) > 0) && w.broken == nil && round < 1000; round++ {
		w.settle()
		if len(w.flying) > 0 {
			w.step++
			w.move(w.flying[0])
		}
	}
	for _, x := range w.exchanges[before:] {
		asked = asked || x.method == http.MethodGet
	}
	return asked
}
