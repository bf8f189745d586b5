package sqladapter

import "time"

// State is how a database fares, without anything secret: for
// service.Service.Show.
type State struct {
	// Place is the URL without user and parameters, User the one of the
	// configuration.
	Place string `json:"place"`
	User  string `json:"user,omitempty"`
	// Since is when connections began to be opened there, by this user and password.
	Since time.Time `json:"since,omitzero"`
	// Rejected says why the newest configuration isn't in force, if it isn't, or why
	// nobody knows. FromCopy says that this one comes from the copy on disk.
	Rejected string `json:"rejected,omitempty"`
	FromCopy bool   `json:"fromCopy,omitempty"`
	// MaxOpen is the limit, Open, InUse and Idle count connections to all places.
	MaxOpen int `json:"maxOpen"`
	Open    int `json:"open"`
	InUse   int `json:"inUse"`
	Idle    int `json:"idle"`
	// Old are the places before, while connections to them are still used.
	Old []OldPlace `json:"old,omitempty"`
}

// OldPlace is a place that the configuration doesn't name any more.
type OldPlace struct {
	Place string `json:"place"`
	User  string `json:"user,omitempty"`
	Open  int    `json:"open"`
}

// State returns how the database fares.
func (d *Database) State() State {
	stats := d.Stats()
	s := State{MaxOpen: stats.MaxOpenConnections, Open: stats.OpenConnections, InUse: stats.InUse, Idle: stats.Idle}
	if d.watcher != nil {
		status := d.watcher.Status()
		if s.FromCopy = status.FromCopy; status.Err != nil {
			s.Rejected = status.Err.Error()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if g := d.current.Load(); g != nil {
		s.Place, s.User, s.Since = g.config.place(), g.config.User, g.since
	}
	for _, g := range d.old {
		if open := g.inUse(); open > 0 {
			s.Old = append(s.Old, OldPlace{Place: g.config.place(), User: g.config.User, Open: open})
		}
	}
	return s
}
