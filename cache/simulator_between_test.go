package cache

import (
	"net/http"
	"time"
)

// kept is what the intermediary has stored: a shared cache on the way to the
// owner, which knows nothing of topics and notices.
type kept struct {
	status   int
	sees     seen
	seesAt   time.Time
	lags     bool
	tag      string
	content  string
	maxAge   int
	swr, sie int
	at       time.Time
}

// keepBetween stores an answer of the owner on its way back.
func (w *world) keepBetween(x *exchange) {
	if !w.plan.between || x.want.user != "" {
		return
	}
	w.kept[x.variant()] = kept{
		x.status, x.sees, x.seesAt, x.lags, x.tag, x.content, x.maxAge, x.swr, x.sie, time.Now(),
	}
}

// fromBetween answers from the intermediary's store if HTTP lets it: the
// response is fresh, and the request doesn't ask for the owner.
func (w *world) fromBetween(x *exchange) bool {
	k, ok := w.kept[x.variant()]
	if !w.plan.between || !ok || x.span != "" || x.noCache || x.want.user != "" {
		return false
	}
	age := int(time.Since(k.at) / time.Second)
	if age >= max(k.maxAge, w.plan.betweenKeeps) {
		return false
	}
	x.between, x.age = true, age
	x.status, x.sees, x.seesAt, x.lags, x.tag, x.content = k.status, k.sees, k.seesAt, k.lags, k.tag, k.content
	x.maxAge, x.swr, x.sie = k.maxAge, k.swr, k.sie
	if x.tags != "" && x.tags == x.tag {
		x.status = http.StatusNotModified
		w.tally.count(countConfirmed)
	}
	w.tally.count(countBetween)
	w.say("between", x.want.path, "answers #%d from its store, age %d: %d %s %s", x.id, age, x.status, x.sees, x.tag)
	return true
}

// passBetween is what a write does to the intermediary's store.
func (w *world) passBetween(k wanted) {
	for other := range w.kept {
		if other.path == k.path && other.query == k.query {
			delete(w.kept, other)
		}
	}
}
