package system

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

// representation is one of the answers that a process may ask for.
type representation struct {
	res  *resource
	want wanted
}

func (k representation) String() string { return k.res.path + k.want.query + " " + k.want.lang }

// representations lists them all.
func (w *world) representations() (all []representation) {
	for _, r := range w.resources {
		all = append(all, representation{r, wanted{}})
		if r.varies {
			all = append(all, representation{r, wanted{lang: "de"}})
		}
	}
	list, shows := w.resource("/things"), w.resource("/orders/9")
	return append(all, representation{list, wanted{query: "?view=full"}}, representation{shows, wanted{query: "?view=full"}})
}

// atRest looks what the system costs when nothing is wrong. Everything is mended,
// announced and heard; from here on everybody vouches without a gap, nothing is
// reset, and who has asked once has no reason to ask again. After a change of one
// thing everybody asks once for each answer that shows it, and for nothing else.
//
// Every other guarantee can be kept by asking each time. This is what they are for.
func (w *world) atRest() {
	if w.breach != nil || w.plan.skew > tolerance || w.mutation.guarantee != "" && w.mutation.guarantee != "rest" {
		return
	}
	w.next()
	w.say("", nil, "everything is at rest")
	if w.plan.declared > 0 {
		// What was noticed within the time by which reads may lag, or asked for
		// when nobody had vouched for so long, is good for who asked only.
		w.pass(w.plan.declared+time.Second, 1)
	}
	all := w.representations()
	// What wasn't stored is asked for, and again if it turns out to be in a group
	// that was announced: an intermediary might have answered.
	w.restful(all, func(*process, representation) (least, most int) { return 0, 1 })
	w.restful(all, func(_ *process, k representation) (least, most int) { return 0, min(1, len(k.res.groups)) })
	w.restful(all, nothing)
	w.expecting(none, func() {
		r := w.changeOne()
		w.restful(all, func(_ *process, k representation) (least, most int) {
			if slices.Contains(k.res.parts, r) {
				return 1, 1
			}
			return 0, 0
		})
		w.restful(all, nothing)
	})
	if w.breach != nil {
		return
	}
	w.next()
	restarted, stir := w.stir()
	w.expecting(restarted, func() {
		stir()
		// Who has been told that he may have missed something asks once for
		// everything of the topic.
		w.restful(all, func(p *process, k representation) (least, most int) {
			if slices.ContainsFunc(k.res.names, func(topic string) bool { return restarted(p, topic) > 0 }) {
				return 1, 1
			}
			return 0, 0
		})
		w.restful(all, nothing)
	})
}

func nothing(*process, representation) (least, most int) { return 0, 0 }

// expecting does something, at which each process resets a topic as often as is said.
func (w *world) expecting(often func(p *process, topic string) uint64, do func()) {
	was := map[string]uint64{}
	for _, p := range w.readers {
		for _, s := range p.client.Topics() {
			was[p.name+s.Topic] = s.Resets
		}
	}
	do()
	for _, p := range w.readers {
		for _, s := range p.client.Topics() {
			if n, want := s.Resets-was[p.name+s.Topic], often(p, s.Topic); n != want {
				w.breaks("rest", []string{p.name, s.Topic}, "%s has reset %s %d times, and had %d reasons to", p.name, s.Topic, n, want)
			}
		}
	}
}

func none(*process, string) uint64 { return 0 }

// stir returns something that happens to those who are at rest, and who has to reset
// which topic for it. What loses nothing costs nothing.
func (w *world) stir() (restarted func(p *process, topic string) uint64, do func()) {
	reader, told := pick(w, w.readers...), w.chance(0.5)
	wait := 2 * time.Second
	if w.plan.declared > 0 {
		wait = max(wait, w.plan.declared+time.Second) // from when somebody vouches again
	}
	cut := func(hole bool) func() {
		return func() {
			w.say("bus", []string{reader.name}, "parts with %s for a while%s", reader.name, mark(!told, ", who doesn't notice"))
			w.broker.turn(reader, true, told, false)
			w.pass(pick[time.Duration](w, 1, 3)*time.Second, 1)
			w.say("bus", []string{reader.name}, "is there again for %s%s", reader.name, mark(hole, ", with a hole"))
			w.broker.turn(reader, false, told, hole)
			w.pass(wait, 1)
		}
	}
	all := func(topic string) func(*process, string) uint64 {
		return func(_ *process, t string) uint64 {
			if t == topic {
				return 1
			}
			return 0
		}
	}
	switch w.rng.IntN(5) {
	case 0:
		return none, cut(false)
	case 1: // nobody knows what was in it, if he is told; else numbers tell that it was nothing
		return func(p *process, _ string) uint64 {
			if p == reader && told {
				return 1
			}
			return 0
		}, cut(true)
	case 2: // another goes on where it ended
		return none, func() {
			for i, p := range w.relays {
				if w.db.leads(p) {
					w.say(p.name, nil, "is killed")
					p.kill()
					w.startRelay(i)
				}
			}
			w.pass(w.plan.leaderTTL+2*time.Second+wait, 1)
		}
	case 3: // another begins an epoch
		return all(orders), func() {
			for i, p := range w.publishers {
				if p.ready {
					w.say(p.name, nil, "is killed")
					p.kill()
					w.startPublisher(i)
				}
			}
			w.pass(4*time.Second+wait, 1)
		}
	}
	return all(things), func() {
		w.epoch++
		w.say("owner", nil, "begins epoch db%d", w.epoch)
		w.db.restore(w.epoch)
		w.pass(w.plan.leaderTTL+2*time.Second+wait, 1)
	}
}

// changeOne changes one resource and waits until everybody has heard of it. It returns
// nil if the owner refuses, because what is to be deleted is gone.
func (w *world) changeOne() *resource {
	w.next()
	topic := pick(w, things, things, orders)
	r := w.owned(topic)
	was, wait := r.last(), 500*time.Millisecond
	switch i := slices.IndexFunc(w.publishers[:], func(p *process) bool { return p.ready }); {
	case topic == orders:
		w.announce(w.publishers[max(i, 0)], r, w.chance(0.15))
		w.rest()
		w.proceedAll()
	case w.chance(0.3):
		w.write(pick(w, w.readers...), r, pick(w, http.MethodPut, http.MethodPut, http.MethodDelete))
		w.arriveAll()
		// Until a watermark says that all was announced up to the write, whatever
		// the clocks show, the writer's answers are good for who asked only.
		wait = 2 * time.Second
	default:
		w.commit(w.begin(r, w.chance(0.15)))
	}
	if w.plan.declared > 0 {
		wait = max(wait, w.plan.declared+time.Second)
	}
	w.pass(wait, 1)
	if r.last() == was {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.readers {
		if !w.heardOf(p, r.last()) {
			w.breaks("rest", []string{p.name, r.path, r.topic}, "%s hasn't heard of %s after %v", p.name, r.last(), wait)
		}
	}
	return r
}

// restful has every process read everything. Each has to vouch for everything, and to
// ask the owner as often as is said.
func (w *world) restful(all []representation, often func(*process, representation) (least, most int)) {
	for _, p := range w.readers {
		if w.breach != nil {
			return
		}
		for _, s := range p.client.Topics() {
			if !s.Live {
				w.breaks("rest", []string{p.name, s.Topic}, "nothing is wrong, and %s doesn't vouch for %s any more: %s", p.name, s.Topic, s.Reason)
			}
		}
		if w.plan.maxBytes > 0 {
			continue // it forgets what it has read
		}
		first := len(w.exchanges)
		w.next()
		for _, k := range all {
			w.startAsk(p, k.res, k.want).final = true
			if w.plan.maxRecords > 0 {
				w.arriveAll() // what is forgotten is the same in every run
			}
		}
		w.arriveAll()
		for _, k := range all {
			w.judgeRest(p, k, first, often)
		}
	}
}

// judgeRest compares how often a process has asked since a request with how often it
// had to.
func (w *world) judgeRest(p *process, k representation, first int, often func(*process, representation) (least, most int)) {
	mine := func(x *exchange) bool {
		return x.p == p && x.res == k.res && x.want == k.want && x.method == http.MethodGet
	}
	asked := 0
	for _, x := range w.exchanges[first:] {
		if mine(x) {
			asked++
		}
	}
	least, most := often(p, k)
	if i := lastIndex(w.exchanges[:first], mine); i >= 0 && time.Since(w.exchanges[i].doneAt) >= w.plan.vouchLimit {
		most = max(most, 1) // nobody vouches for longer
	}
	switch {
	case most == 0:
		w.tally.count(countRests)
	case least == most:
		w.tally.count(countOnce)
	}
	if asked < least || asked > most {
		w.breaks("rest", append([]string{p.name, k.res.path}, k.res.names...), "%s asks %d times for %s, which takes %d to %d", p.name, asked, k, least, most)
	}
}

// lastIndex returns the index of the last element that is meant, or -1.
func lastIndex[T any](of []T, meant func(T) bool) int {
	for i, v := range slices.Backward(of) {
		if meant(v) {
			return i
		}
	}
	return -1
}

// arriveAll lets everything that is under way arrive, until nobody asks any more.
func (w *world) arriveAll() {
	w.settle()
	for range 100 {
		if len(w.flying) == 0 || w.breach != nil {
			return
		}
		for _, x := range slices.Clone(w.flying) {
			for x.done == 0 {
				w.move(x)
			}
		}
		w.settle()
	}
}

// mending decides how each process finds its connection again at the end, by a
// chance of its own: told or not, and with a hole or not.
func (w *world) mending() func() (tell, hole bool) {
	rng := rand.New(rand.NewPCG(w.seed, 0x6d_656e_64))
	return func() (tell, hole bool) { return rng.IntN(2) == 0, rng.IntN(2) == 0 }
}
