package system

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/bus/outbox/driver"
)

// database is a service's database: rows of an outbox, and a function that is
// told of what a transaction changed when it commits. It numbers rows as
// PostgreSQL's dialect does, when they have become visible.
type database struct {
	sql    *sql.DB
	clock  func() time.Time
	commit func(change string) // with mu held

	mu      sync.Mutex
	epoch   string
	rows    []driver.Row // visible and not removed; Sequence 0 until numbered
	numbers map[string]uint64
	leader  *leadership
	expires time.Time

	without relayFaults
}

// relayFaults are mistakes that a relay or its database could make.
type relayFaults struct {
	timeFirst bool // T is taken after the rows are read
	fence     bool // who leads no more may go on
	commits   bool // rows are published although their transaction is open
}

func newDatabase(clock func() time.Time, commit func(string)) *database {
	d := &database{clock: clock, commit: commit, epoch: "db1", numbers: map[string]uint64{}}
	d.sql = sql.OpenDB(d)
	return d
}

// Connect and Driver make it a connector of database/sql.
func (d *database) Connect(context.Context) (sqldriver.Conn, error) { return &session{db: d}, nil }
func (d *database) Driver() sqldriver.Driver                        { return nil }

// session is a connection with one transaction at a time. Its statements are
// "change", with what was changed, and "append", with topic and event.
type session struct {
	db      *database
	changes []string
	rows    []driver.Row
}

func (s *session) Prepare(string) (sqldriver.Stmt, error) { return nil, errors.ErrUnsupported }
func (s *session) Close() error                           { return nil }

func (s *session) Begin() (sqldriver.Tx, error) {
	s.changes, s.rows = nil, nil
	return s, nil
}

func (s *session) ExecContext(_ context.Context, statement string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	text := func(i int) string { v, _ := args[i].Value.(string); return v }
	switch statement {
	case "change":
		s.changes = append(s.changes, text(0))
	case "append":
		row := driver.Row{Topic: text(0), Event: text(1), Appended: s.db.clock()}
		if s.db.without.commits {
			s.db.mu.Lock()
			s.db.rows = append(s.db.rows, row)
			s.db.mu.Unlock()
			break
		}
		s.rows = append(s.rows, row)
	}
	return sqldriver.RowsAffected(1), nil
}

func (s *session) Commit() error {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	for _, c := range s.changes {
		s.db.commit(c)
	}
	s.db.rows = append(s.db.rows, s.rows...)
	return nil
}

func (s *session) Rollback() error { return nil }

// dialect is the database as one process sees it.
type dialect struct {
	*database
	process *process
}

func (d dialect) String() string { return "simulated" }

func (d dialect) Migrate(context.Context, *sql.DB, string, string) error { return nil }

func (d dialect) SetEpoch(_ context.Context, _ *sql.DB, _, epoch string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.epoch = epoch
	return nil
}

func (d dialect) Begin(context.Context, *sql.Tx, string) error { return nil }

func (d dialect) Append(ctx context.Context, tx *sql.Tx, _, topic string, events []string, _ time.Time, _ bool) error {
	for _, e := range events {
		if _, err := tx.ExecContext(ctx, "append", topic, e); err != nil {
			return err
		}
	}
	return nil
}

func (d dialect) Backlog(context.Context, *sql.DB, string) (driver.Backlog, error) {
	return driver.Backlog{}, errors.ErrUnsupported
}

func (d dialect) Lead(_ context.Context, _ *sql.DB, opts driver.LeadOptions) (driver.Leadership, error) {
	if err := d.process.pass(turnDatabase); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leader != nil && time.Now().Before(d.expires) {
		return nil, driver.ErrHeld
	}
	l := &leadership{db: d.database, process: d.process, epoch: d.epoch, ttl: opts.TTL}
	d.leader, d.expires = l, time.Now().Add(l.ttl)
	d.process.w.led(d.process)
	return l, nil
}

// leadership is one process's right to number and publish.
type leadership struct {
	db      *database
	process *process
	epoch   string
	ttl     time.Duration
}

func (l *leadership) Epoch() string { return l.epoch }

// held renews the lease, or says that it is lost; the database's mutex is held.
func (l *leadership) held() error {
	if l.db.leader != l && !l.db.without.fence {
		return driver.ErrLost
	}
	if l.db.leader == l {
		l.db.expires = time.Now().Add(l.ttl)
	}
	return nil
}

// ask calls f with the mutex held if the lease is. The process may be suspended
// before and after.
func (l *leadership) ask(f func()) error {
	if err := l.process.pass(turnDatabase); err != nil {
		return err
	}
	l.db.mu.Lock()
	err := l.held()
	if err == nil {
		f()
	}
	l.db.mu.Unlock()
	if err != nil {
		return err
	}
	return l.process.pass(turnDatabase)
}

func (l *leadership) Topics(context.Context) (topics []driver.Topic, err error) {
	err = l.ask(func() {
		for name, last := range l.db.numbers {
			topic := driver.Topic{Name: name, Last: last, Removed: last}
			for _, row := range l.db.rows {
				if row.Topic == name && row.Sequence > 0 {
					topic.Removed = min(topic.Removed, row.Sequence-1)
				}
			}
			topics = append(topics, topic)
		}
	})
	return topics, err
}

func (l *leadership) Read(_ context.Context, limit int, published []driver.Mark) (batch driver.Batch, err error) {
	batch.Time = l.db.clock()
	err = l.ask(func() {
		if !l.db.without.timeFirst {
			batch.Time = l.db.clock()
		}
		kept := l.db.rows[:0:0]
		for _, row := range l.db.rows {
			if !done(row, published) {
				kept = append(kept, row)
			}
		}
		l.db.rows = kept
		for i := range l.db.rows {
			row := &l.db.rows[i]
			switch {
			case row.Sequence != 0:
			case len(batch.Rows) == limit:
				batch.More = true
			default:
				l.db.numbers[row.Topic]++
				row.Sequence = l.db.numbers[row.Topic]
				batch.Rows = append(batch.Rows, *row)
			}
		}
	})
	if l.db.without.timeFirst {
		batch.Time = l.db.clock()
	}
	return batch, err
}

func done(row driver.Row, published []driver.Mark) bool {
	for _, m := range published {
		if row.Topic == m.Topic && row.Sequence != 0 && row.Sequence <= m.Sequence {
			return true
		}
	}
	return false
}

func (l *leadership) Load(_ context.Context, topic string, after uint64, limit int) (rows []driver.Row, err error) {
	err = l.ask(func() {
		for _, row := range l.db.rows {
			if row.Topic == topic && row.Sequence > after && len(rows) < limit {
				rows = append(rows, row)
			}
		}
	})
	return rows, err
}

func (l *leadership) Close(context.Context) error {
	if err := l.process.pass(turnDatabase); err != nil {
		return err
	}
	l.db.mu.Lock()
	defer l.db.mu.Unlock()
	if l.db.leader == l {
		l.db.leader = nil
	}
	return nil
}

// leads reports whether a process leads.
func (d *database) leads(p *process) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.leader != nil && d.leader.process == p
}

// restore is what becomes of the database when it is restored from a backup: its
// numbers have been given already, so it is given a new epoch.
func (d *database) restore(generation int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.epoch = "db" + strconv.Itoa(generation)
	d.leader = nil
}

var _ outbox.Dialect = dialect{}
