package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"sync"
	"time"

	"github.com/goswale/swale/resn"
)

// Row is what a resource becomes: column names and values as database/sql takes
// them. The column of the href is added.
type Row map[string]any

// Table declares how resources of one kind become rows of one table.
type Table struct {
	// Name is the table, which is there already: letters, digits, underscores,
	// and a dot after the schema if there is one.
	Name string

	// Key is the column that holds the href, with a unique index. Default "href".
	Key string

	// Row returns the columns of a resource. An error that [bus.Reject] made
	// gives up on it, every other one has it tried again.
	Row func(r *Resource) (Row, error)

	// Write takes the place of Row: it writes the resource as it likes, within
	// tx, so that writing the same twice does no harm.
	Write func(ctx context.Context, tx *sql.Tx, r *Resource) error

	// Delete takes away what was written of a resource that is gone, within tx;
	// there may be nothing. Default: the row with its href.
	Delete func(ctx context.Context, tx *sql.Tx, href string) error

	// Topic announces the changes. Without one the table is written only when
	// something that links to it is.
	Topic string

	// Collection lists the resources, see [resn.ConsumerOptions]. Without one
	// the table begins with what changes from now on.
	Collection string

	// Links says which relations are followed, and the Name of the table that
	// what they lead to goes into.
	Links map[string]string

	// Consumer are further options. Collection, Checkpoint, Prepare and Unseen
	// are the projection's. Default none.
	Consumer *resn.ConsumerOptions
}

// Options configures a [Projection]. The zero value, and nil, are useful.
type Options struct {
	// Group is the durable group of every topic, so the name of the projection:
	// another one fills tables of its own. Default "projection".
	Group string

	// Prefix begins the names of the projection's own tables; it is made of
	// a-z, 0-9 and underscores. Default "swale_projection".
	Prefix string

	// Origins are the origins that links may lead to, beside that of the
	// document and those of the tables' collections. Default none.
	Origins []string

	// MaxDepth bounds how far links are followed from a resource. Default 3.
	MaxDepth int

	// KeepGone is how long is remembered that a resource is gone, which keeps a
	// process that hung for less from bringing it back. Default 24 h.
	KeepGone time.Duration

	// Logger hears of what goes wrong. Default: nothing is logged.
	Logger *slog.Logger
}

// Projection keeps tables current. It is safe for concurrent use.
type Projection struct {
	client  *resn.Client
	db      *sql.DB
	dialect Dialect
	opts    Options
	tables  map[string]*table
	order   []*table
	origins map[string]bool
	ending  chan struct{}           // closed when Run is to end
	fault   func(step string) error // tests end the process here
	pruned  time.Time
	mu      sync.Mutex // guards pruned
}

// table is a Table and what keeps it current.
type table struct {
	Table
	p        *Projection
	consumer *resn.Consumer // nil without a topic
	shape    shape
}

var (
	tableName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$`)
	columnName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
	prefixName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)
)

// New returns a Projection of the client's topics into db.
func New(client *resn.Client, db *sql.DB, d Dialect, tables []Table, opts *Options) (*Projection, error) {
	p := &Projection{client: client, db: db, dialect: d, tables: map[string]*table{}, origins: map[string]bool{}, ending: make(chan struct{})}
	if opts != nil {
		p.opts = *opts
	}
	if p.opts.Group == "" {
		p.opts.Group = "projection"
	}
	if p.opts.Prefix == "" {
		p.opts.Prefix = "swale_projection"
	}
	if p.opts.MaxDepth <= 0 {
		p.opts.MaxDepth = 3
	}
	if p.opts.KeepGone <= 0 {
		p.opts.KeepGone = 24 * time.Hour
	}
	if p.opts.Logger == nil {
		p.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if !prefixName.MatchString(p.opts.Prefix) {
		return nil, fmt.Errorf("projection: prefix %q is not made of a-z, 0-9 and underscores, or too long", p.opts.Prefix)
	}
	for _, declared := range tables {
		if err := p.add(declared); err != nil {
			return nil, err
		}
	}
	for _, t := range p.order {
		for rel, to := range t.Links {
			if p.tables[to] == nil {
				return nil, fmt.Errorf("projection: table %s follows %q into table %q, which isn't declared", t.Name, rel, to)
			}
		}
	}
	for _, o := range p.opts.Origins {
		if err := p.allow(o); err != nil {
			return nil, fmt.Errorf("projection: Options.Origins: %w", err)
		}
	}
	return p, nil
}

func (p *Projection) add(declared Table) error {
	t := &table{Table: declared, p: p}
	if t.Key == "" {
		t.Key = "href"
	}
	switch {
	case !tableName.MatchString(t.Name):
		return fmt.Errorf("projection: table name %q is not made of letters, digits and underscores", t.Name)
	case !columnName.MatchString(t.Key):
		return fmt.Errorf("projection: table %s: key column %q is not made of letters, digits and underscores", t.Name, t.Key)
	case p.tables[t.Name] != nil:
		return fmt.Errorf("projection: table %s is declared twice", t.Name)
	case (t.Row == nil) == (t.Write == nil):
		return fmt.Errorf("projection: table %s needs either Row or Write", t.Name)
	}
	if t.Collection != "" {
		if err := p.allow(t.Collection); err != nil {
			return fmt.Errorf("projection: table %s: collection: %w", t.Name, err)
		}
	}
	p.tables[t.Name] = t
	p.order = append(p.order, t)
	if t.Topic == "" {
		return nil
	}
	var opts resn.ConsumerOptions
	if t.Consumer != nil {
		opts = *t.Consumer
	}
	opts.Collection, opts.Checkpoint = t.Collection, &checkpoint{p: p, name: p.opts.Group + "/" + t.Name}
	opts.Prepare, opts.Unseen = t.prepare, t.unseen
	if opts.Logger == nil {
		opts.Logger = p.opts.Logger
	}
	var err error
	if t.consumer, err = resn.NewConsumer(p.client, t.Topic, p.opts.Group, t.handle, &opts); err != nil {
		return fmt.Errorf("projection: table %s: %w", t.Name, err)
	}
	return nil
}

// allow lets links lead to the origin of a URL.
func (p *Projection) allow(href string) error {
	u, err := url.Parse(href)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%q is no absolute URL", href)
	}
	p.origins[u.Scheme+"://"+u.Host] = true
	return nil
}

// Run keeps the tables current until ctx ends, and then returns nil; see
// [resn.Consumer.Run]. When one table can't be kept, the others end too. It may be
// called once.
func (p *Projection) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var work sync.WaitGroup
	errs := make([]error, len(p.order))
	for i, t := range p.order {
		if t.consumer == nil {
			continue
		}
		work.Go(func() {
			if errs[i] = t.consumer.Run(ctx); errs[i] != nil {
				errs[i] = fmt.Errorf("projection: table %s: %w", t.Name, errs[i])
				cancel()
			}
		})
	}
	<-ctx.Done()
	close(p.ending)
	work.Wait()
	return errors.Join(errs...)
}

// WaitFilled waits until the first fill of every table is over, in this process
// or an earlier one.
func (p *Projection) WaitFilled(ctx context.Context) error {
	for _, t := range p.order {
		if t.consumer == nil {
			continue
		}
		select {
		case <-t.consumer.Filled():
		case <-ctx.Done():
			return fmt.Errorf("projection: table %s isn't filled: %w", t.Name, context.Cause(ctx))
		}
	}
	return nil
}

// State is what one table's consumer is doing.
type State struct {
	Table string
	resn.ConsumerState
}

// States returns the state of every table with a topic, in the order of their
// declaration.
func (p *Projection) States() []State {
	var states []State
	for _, t := range p.order {
		if t.consumer != nil {
			states = append(states, State{t.Name, t.consumer.State()})
		}
	}
	return states
}

// Resync walks through the collection of a table once more.
func (p *Projection) Resync(ctx context.Context, name string) error {
	t := p.tables[name]
	if t == nil || t.consumer == nil {
		return fmt.Errorf("projection: there is no table %q with a topic", name)
	}
	return t.consumer.Resync(ctx)
}

// at lets a test end the process at a step.
func (p *Projection) at(step string) error {
	if p.fault == nil {
		return nil
	}
	return p.fault(step)
}
