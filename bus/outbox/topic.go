package outbox

import (
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/outbox/driver"
)

// topic is what the leading relay knows about a topic:
//
//	removed ≤ published ≤ loaded ≤ last
//
// Rows up to removed are gone from the table, those up to published are safe on
// the bus, those after it and up to loaded are in queue, and numbers have been given
// up to last.
type topic struct {
	name                             string
	removed, published, loaded, last uint64
	queue                            []driver.Row

	busy     bool // a batch is under way
	batch    int  // how large the next may be
	failures int
	retryAt  time.Time

	due     bool    // a watermark is
	goalAt  instant // when everything up to goal is published, this T is true
	goal    uint64
	reached instant // the newest T that was true while rows waited
	marked  instant // T of the newest watermark published
}

// instant is the T of a Read. Which of two is newer is said by the count of Reads:
// a clock may be set back, and its T is true nonetheless.
type instant struct {
	t    time.Time
	read uint64 // counts Reads from 1; 0 is no instant
}

// add takes note of a row and queues it when there is room and nothing before it
// has to be loaded first.
func (p *topic) add(row driver.Row, room bool) (queued int) {
	if room && p.failures == 0 && p.loaded == p.last {
		p.queue = append(p.queue, row)
		p.loaded = row.Sequence
		queued = 1
	}
	p.last = max(p.last, row.Sequence)
	return queued
}

// aim sets the goal for a T at which a Read left nothing unread. A goal stands until
// it is reached, or it would run away from a topic that is never idle.
func (p *topic) aim(at instant) {
	if p.published < p.last && p.goalAt.read == 0 {
		p.goalAt, p.goal = at, p.last
	}
}

// job is a batch and what to say after it.
type job struct {
	topic     *topic
	name      string
	rows      []driver.Row
	mark      bool
	sequence  uint64 // of the watermark
	at        instant
	epoch     string
	confirmed time.Time
}

// next returns what to do next. complete is the T of the newest Read that left
// nothing unread: if nothing waits, nothing that was committed before it does.
func (p *topic) next(complete instant) (job, bool) {
	j := job{topic: p, name: p.name, sequence: p.published, at: complete}
	if p.published < p.last {
		j.rows = p.queue[:min(len(p.queue), p.batch)]
		if len(j.rows) == 0 {
			return j, false
		}
		j.sequence, j.at = j.rows[len(j.rows)-1].Sequence, p.reached
		if p.goalAt.read > 0 && p.goal <= j.sequence {
			j.at = p.goalAt
		}
	}
	if p.due && j.at.read > 0 && (len(j.rows) == 0 || j.at.read > p.marked.read) {
		p.due, j.mark = false, true
	}
	return j, j.mark || len(j.rows) > 0
}

// result is what became of a job.
type result struct {
	topic     *topic
	rows      int
	published uint64 // the last number that is safe; 0 if none of the job is
	marked    bool
	at        instant
	err       error
}

// settle takes note of a result and returns how many rows it published.
func (p *topic) settle(res result, most int, retry bus.Backoff) (done int) {
	p.busy = false
	if res.published > p.published {
		for done < len(p.queue) && p.queue[done].Sequence <= res.published {
			done++
		}
		clear(p.queue[:done]) // let go of the texts
		p.queue = p.queue[done:]
		p.published = res.published
	}
	if res.marked {
		p.marked = res.at
	}
	if p.goalAt.read > 0 && p.goal <= p.published {
		p.reached, p.goalAt, p.goal = p.goalAt, instant{}, 0
	}
	if res.err == nil {
		p.failures = 0
		p.batch = min(p.batch*2, most)
		return done
	}
	p.failures++
	if res.rows > 0 {
		// Memory is for topics that get on. A smaller batch finds the event that the
		// bus doesn't take, if it is one.
		p.queue, p.loaded = nil, p.published
		p.batch = max(1, p.batch/2)
		p.retryAt = time.Now().Add(retry.Delay(p.failures))
	}
	return done
}
