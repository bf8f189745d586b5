package system

import (
	"slices"
	"time"
)

// disturb lets something go wrong, or right again.
func (w *world) disturb() {
	relay, place := w.rng.IntN(2), w.rng.IntN(2)
	reader, publisher := pick(w, w.readers...), w.publishers[place]
	kind, owner := w.rng.IntN(14), pick(w, w.owners()...)
	if w.plan.feud && w.chance(0.1) {
		w.interregnum(reader)
		return
	}
	if w.plan.feud && w.chance(0.7) {
		kind = pick(w, 3, 4, 12, 12, 12, 13, 13)
		for i, p := range w.publishers {
			if p.ready {
				place, publisher, owner = i, p, p
			}
		}
	}
	if w.plan.quiet {
		kind = pick(w, 2, 4, 9)
	} else if w.plan.lag > 0 && w.chance(0.1) {
		w.straggle(reader)
		return
	}
	switch kind {
	case 0, 1:
		p := w.relays[relay]
		w.hang(p)
	case 2:
		p := w.relays[relay]
		w.say(p.name, nil, "is killed")
		w.tally.count(countDeaths)
		p.kill()
		w.startRelay(relay)
	case 3:
		w.hang(publisher)
	case 4:
		w.say(publisher.name, nil, "is killed")
		w.tally.count(countDeaths)
		publisher.kill()
		w.proceedAll() // who is dead commits no more
		w.rest()
		w.startPublisher(place)
	case 5, 6:
		tell := w.chance(0.5)
		w.say("bus", []string{reader.name}, "parts with %s%s", reader.name, mark(!tell, ", who doesn't notice"))
		w.tally.count(countCuts)
		w.broker.turn(reader, true, tell, false)
	case 7:
		hole, tell := w.chance(0.5), w.chance(0.5)
		w.say("bus", []string{reader.name}, "is there again for %s%s", reader.name, mark(hole, ", with a hole"))
		w.broker.turn(reader, false, tell, hole)
	case 8:
		p := w.relays[relay]
		on := w.chance(0.5)
		w.say("bus", nil, "parts with %s: %v", p.name, on)
		w.broker.turn(p, on, false, false)
	case 9:
		if subs := w.broker.subscriptions(reader); len(subs) > 0 {
			s, on := pick(w, subs...), w.chance(0.6)
			s.forget(on)
			w.say("bus", []string{reader.name, s.topic}, "forgets that %s listens to %s: %v", reader.name, s.topic, on)
		}
	case 10:
		w.find(reader)
	case 11:
		w.epoch++
		w.say("owner", nil, "begins epoch db%d", w.epoch)
		w.db.restore(w.epoch)
	case 12:
		unaware := w.chance(0.5)
		w.say("bus", nil, "parts with %s%s", owner.name, mark(unaware, ", who doesn't notice"))
		w.tally.count(countCuts)
		w.broker.turn(owner, true, false, false)
		w.broker.deceive(owner, unaware)
		if w.chance(0.5) { // something happens that nobody hears of, and another takes over
			if owner.pub != nil && len(w.announcing) < 2 {
				w.announce(owner, w.owned(orders), false)
				w.rest()
				w.proceedAll()
			}
			w.pass(pick[time.Duration](w, 1, 3, 5)*time.Second, w.plan.calm)
		}
	case 13:
		p := pick(w, w.owners()...)
		if w.plan.feud {
			p = pick(w, w.publishers[:]...)
		}
		hole := w.chance(0.7)
		w.say("bus", nil, "is there again for %s%s", p.name, mark(hole, ", with a hole"))
		w.broker.turn(p, false, false, hole)
	}
}

// interregnum lets another own the orders for a while, and has their owner come
// back. A reader hears nothing of it, or hears of what the other changes while a
// change of the first is still under way.
func (w *world) interregnum(reader *process) {
	i := slices.IndexFunc(w.publishers[:], func(p *process) bool { return p.ready })
	if i < 0 {
		return
	}
	owner, other, deaf := w.publishers[i], w.publishers[1-i], w.chance(0.5)
	w.say("bus", nil, "parts with %s%s", owner.name, mark(deaf, " and, unnoticed, with "+reader.name))
	w.broker.turn(owner, true, false, false)
	if deaf {
		w.broker.turn(reader, true, false, false)
	} else {
		w.announce(owner, w.owned(orders), false)
	}
	w.pass(6*time.Second, w.plan.calm)
	w.announce(other, w.owned(orders), false)
	w.rest()
	w.proceedAll()
	if w.pass(time.Second, w.plan.calm); !deaf {
		w.pass(3*time.Second, w.plan.calm)
	}
	w.say("bus", nil, "parts with %s and is there again for %s", other.name, owner.name)
	w.broker.turn(other, true, false, false)
	w.broker.turn(owner, false, false, true)
	w.pass(5*time.Second, w.plan.calm)
	w.say("bus", nil, "is there again for %s, with a hole, and for %s", reader.name, other.name)
	w.broker.turn(reader, false, false, true)
	w.broker.turn(other, false, false, false)
	w.pass(time.Second, w.plan.calm)
}

// straggle loses a notice, which numbers tell, and brings it when what it is about
// has been read again, maybe from a replica that doesn't know of it yet.
func (w *world) straggle(reader *process) {
	r := w.owned(things)
	subs := w.broker.subscriptions(reader)
	i := slices.IndexFunc(subs, func(s *subscription) bool { return s.topic == things })
	if i < 0 {
		return
	}
	subs[i].mislay()
	for _, r := range []*resource{r, w.owned(things)} {
		if t := w.begin(r, false); t != nil {
			w.commit(t)
		}
		w.pass(250*time.Millisecond, 1)
	}
	w.pass(pick[time.Duration](w, 1, 3)*250*time.Millisecond, 1)
	for range 2 {
		w.read(reader, r)
		subs[i].find()
		w.settle()
	}
}

// find delivers something that was lost.
func (w *world) find(reader *process) {
	for _, s := range w.broker.subscriptions(reader) {
		if s.find() {
			return
		}
	}
}

func (w *world) hang(p *process) {
	if p.suspended() {
		p.resume()
		w.say(p.name, nil, "goes on")
		return
	}
	p.suspend(1 + w.rng.IntN(6))
	w.tally.count(countHangs)
	w.say(p.name, nil, "is about to be suspended")
}
