// Package projection keeps tables of a SQL database current with resources that
// somebody else owns: what a service needs to search, join or report over, which
// HTTP alone can't answer.
//
//	restaurants := projection.Table{
//		Name:       "restaurants",
//		Topic:      "restaurants",
//		Collection: "https://api.example/restaurants",
//		Row: func(r *projection.Resource) (projection.Row, error) {
//			var v struct{ Name, City string }
//			if err := r.Decode(&v); err != nil {
//				return nil, err
//			}
//			return projection.Row{"name": v.Name, "city": v.City}, nil
//		},
//	}
//	p, err := projection.New(client, db, projection.PostgreSQL, []projection.Table{restaurants}, nil)
//	…
//	err = p.Migrate(ctx)
//	…
//	err = p.Run(ctx) // until ctx ends
//
// Each table has a [resn.Consumer]: it is filled by walking through the
// collection, follows the notices of its topic, and makes up for missed ones.
// The table is the caller's; it needs a unique column for the href.
//
// # Links
//
// A resource that means little without another declares what is followed:
//
//	Links: map[string]string{"menu": "menus"} // relation: table
//
// What the relation leads to is in its table before the row that links to it, so
// that a foreign key holds, and [Resource.Link] tells its href for that column.
// A table with a topic of its own is kept current by that; one without is read
// again whenever something that links to it changes.
//
// # What is promised
//
// A row, the word that the notice behind it was handled, and the row's version
// are written in one transaction. So a process may die at any step: the next one
// goes on, without filling again and without a gap. What is written was fetched
// after everything that had been written before for the same href, by whichever
// process: one that hung and lost its place in the group can't put an older state
// over a newer one.
//
// The table is behind its owners by as long as a notice, a fetch and a
// transaction take, and rows of different hrefs aren't of one moment.
//
// # Bookkeeping
//
// [Projection.Migrate] makes three tables beside the caller's, named with
// [Options.Prefix]: the version of each resource, how far each consumer is, and
// the numbers of notices that were handled since that was saved.
package projection
