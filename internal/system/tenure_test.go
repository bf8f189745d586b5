package system

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/goswale/swale/resn"
)

// announcer is who is asked to change an order: most often who owns them.
func (w *world) announcer() *process {
	p := pick(w, w.publishers[:]...)
	for _, o := range w.publishers {
		if o.ready && w.chance(0.8) {
			p = o
		}
	}
	return p
}

// bringClaims delivers what owners say of their topics, and what they answer.
func (w *world) bringClaims() {
	claims := w.plan.claims
	if w.mended {
		claims = 1
	}
	for came := true; came; {
		came = false
		for _, p := range w.owners() {
			if p == nil || p.stands() {
				continue
			}
			for _, s := range w.broker.subscriptions(p) {
				for s.waiting() && w.chance(claims) {
					s.deliver()
					w.rest() // before anybody hears the next
					came = true
				}
			}
		}
	}
}

// judgeOwners: once everything works one publisher owns the topic.
func (w *world) judgeOwners() {
	owners := 0
	for _, p := range w.publishers {
		if p.ready {
			owners++
		}
	}
	if owners != 1 && !w.mutation.unowned {
		w.breaks("owners", []string{orders}, "everything works again, and %d own %s", owners, orders)
	}
}

func (w *world) newLease(p *process) *resn.BusLease {
	l := resn.NewBusLease(p.bus)
	// Of rival candidates the one with the lower word goes on.
	*inside[string](l, "id") = fmt.Sprintf("%016x", rand.New(rand.NewPCG(w.seed, uint64(p.id))).Uint64())
	w.mutation.lease(l)
	return l
}

// startPublisher starts a process of the service without a database in its place.
func (w *world) startPublisher(i int) {
	p := w.newProcess(fmt.Sprintf("orders %c%d", 'a'+i, w.generation(2+i)))
	p.made, p.skew = map[*resource]*change{}, w.plan.apart*time.Duration(i)
	p.lease = w.newLease(p)
	opts := resn.PublisherOptions{Clock: p.now, Lease: p.lease, Claim: &resn.OwnershipOptions{Owner: p.name}}
	w.mutation.publisher(&opts)
	var err error
	if p.pub, err = resn.NewPublisher(p.bus, orders, &opts); err != nil {
		panic(err)
	}
	p.stop = func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = p.pub.Close(ctx)
	}
	close(p.ended)
	w.publishers[i] = p
	w.all = append(w.all, p)
	w.say(p.name, nil, "starts")
}

// lookWhoOwns notes whose the orders are now. More than one owner breaks what
// everything rests on, whether or not somebody is misled by it.
func (w *world) lookWhoOwns() {
	now, cancel := context.WithCancel(w.ctx)
	cancel()
	var owners []string
	for _, p := range w.publishers {
		p.mu.Lock()
		dead := p.dead
		p.mu.Unlock()
		ready := !dead && p.pub.Ready(now) == nil
		if ready {
			owners = append(owners, p.name)
		}
		if ready == p.ready {
			continue
		}
		p.ready = ready
		if !ready {
			w.tally.count(countDeposed)
			w.say(p.name, []string{orders}, "owns %s no more", orders)
			continue
		}
		w.tally.count(countTenures)
		w.say(p.name, []string{orders}, "owns %s", orders)
	}
	if len(owners) > 1 && !w.mutation.unowned {
		w.breaks("owners", []string{orders}, "%v own %s at the same time", owners, orders)
	}
}
