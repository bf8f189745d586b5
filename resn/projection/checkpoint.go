package projection

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/goswale/swale/resn"
)

// checkpoint is a resn.Checkpoint. The numbers of notices that were handled since
// it was saved are rows, written with what the notices brought.
type checkpoint struct {
	p    *Projection
	name string
}

func (c *checkpoint) Load(ctx context.Context) (resn.Position, error) {
	var pos resn.Position
	var numbers, walk string
	err := c.p.db.QueryRowContext(ctx, c.p.in(`SELECT numbers, walk FROM {p}_position WHERE consumer = $1`), c.name).Scan(&numbers, &walk)
	if errors.Is(err, sql.ErrNoRows) {
		return pos, nil
	}
	if err == nil {
		err = errors.Join(json.Unmarshal([]byte(numbers), &pos.Numbers), json.Unmarshal([]byte(walk), &pos.Walk))
	}
	if err != nil {
		return resn.Position{}, fmt.Errorf("projection: load position of %s: %w", c.name, err)
	}
	if pos.Numbers.Epoch == "" {
		return pos, nil
	}
	rows, err := c.p.db.QueryContext(ctx, c.p.in(`SELECT seq FROM {p}_handled WHERE consumer = $1 AND epoch = $2 AND seq > $3 ORDER BY seq`),
		c.name, pos.Numbers.Epoch, int64(pos.Numbers.Low))
	if err != nil {
		return resn.Position{}, fmt.Errorf("projection: load position of %s: %w", c.name, err)
	}
	defer func() { _ = rows.Close() }()
	var seqs []uint64
	for rows.Next() {
		var seq uint64
		if err := rows.Scan(&seq); err != nil {
			return resn.Position{}, fmt.Errorf("projection: load position of %s: %w", c.name, err)
		}
		seqs = append(seqs, seq)
	}
	pos.Numbers = join(pos.Numbers, seqs)
	return pos, rows.Err()
}

// join adds numbers, in order, to those that were saved.
func join(n resn.Numbers, seqs []uint64) resn.Numbers {
	above := n.Above
	n.Above = nil
	for len(above) > 0 || len(seqs) > 0 {
		var next resn.Span
		if len(seqs) == 0 || len(above) > 0 && above[0].First <= seqs[0] {
			next, above = above[0], above[1:]
		} else {
			next, seqs = resn.Span{First: seqs[0], Last: seqs[0]}, seqs[1:]
		}
		last := len(n.Above) - 1
		switch {
		case last < 0 && next.First <= n.Low+1:
			n.Low = max(n.Low, next.Last)
		case last >= 0 && next.First <= n.Above[last].Last+1:
			n.Above[last].Last = max(n.Above[last].Last, next.Last)
		default:
			n.Above = append(n.Above, next)
		}
	}
	return n
}

func (c *checkpoint) SaveNumbers(ctx context.Context, n resn.Numbers) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if err := c.p.at("save numbers"); err != nil {
		return err
	}
	return c.p.inTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, c.p.in(`INSERT INTO {p}_position (consumer, numbers, walk, walk_number, walk_done) VALUES ($1, $2, '{}', 0, 0)
			ON CONFLICT (consumer) DO UPDATE SET numbers = excluded.numbers`), c.name, string(text))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, c.p.in(`DELETE FROM {p}_handled WHERE consumer = $1 AND (epoch <> $2 OR seq <= $3)`),
			c.name, n.Epoch, int64(n.Low))
		if err != nil {
			return err
		}
		return c.p.prune(ctx, tx)
	})
}

func (c *checkpoint) SaveWalk(ctx context.Context, w resn.Walk) error {
	text, err := json.Marshal(w)
	if err != nil {
		return err
	}
	if err := c.p.at("save walk"); err != nil {
		return err
	}
	done := 0
	if w.Done {
		done = 1
	}
	_, err = c.p.db.ExecContext(ctx, c.p.in(`INSERT INTO {p}_position AS p (consumer, numbers, walk, walk_number, walk_done) VALUES ($1, '{}', $2, $3, $4)
		ON CONFLICT (consumer) DO UPDATE SET walk = excluded.walk, walk_number = excluded.walk_number, walk_done = excluded.walk_done
		WHERE p.walk_number < excluded.walk_number OR p.walk_number = excluded.walk_number AND p.walk_done = 0`),
		c.name, string(text), int64(w.Number), done)
	return err
}

// unseen is the consumer's Unseen. It reads a page at a time, so that nothing is
// open while the consumer writes.
func (t *table) unseen(ctx context.Context, walk uint64) iter.Seq2[string, error] {
	const page = 500
	return func(yield func(string, error) bool) {
		last := ""
		for {
			hrefs, err := t.unseenAfter(ctx, walk, last, page)
			if err != nil {
				yield("", err)
				return
			}
			for _, href := range hrefs {
				if !yield(href, nil) {
					return
				}
				last = href
			}
			if len(hrefs) < page {
				return
			}
		}
	}
}

func (t *table) unseenAfter(ctx context.Context, walk uint64, last string, limit int) (hrefs []string, err error) {
	rows, err := t.p.db.QueryContext(ctx, t.p.in(`SELECT href FROM {p}_resource WHERE tab = $1 AND walk < $2 AND gone = 0 AND href > $3 ORDER BY href LIMIT $4`),
		t.Name, int64(walk), last, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var href string
		if err := rows.Scan(&href); err != nil {
			return nil, err
		}
		hrefs = append(hrefs, href)
	}
	return hrefs, rows.Err()
}

// prune forgets, once in a while, what has been gone for long.
func (p *Projection) prune(ctx context.Context, tx *sql.Tx) error {
	now := time.Now()
	p.mu.Lock()
	due := now.Sub(p.pruned) >= p.opts.KeepGone/24
	if due {
		p.pruned = now
	}
	p.mu.Unlock()
	if !due {
		return nil
	}
	_, err := tx.ExecContext(ctx, p.in(`DELETE FROM {p}_resource WHERE gone = 1 AND changed < $1`), now.Add(-p.opts.KeepGone).UnixMilli())
	return err
}
