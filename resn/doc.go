// Package resn keeps HTTP caches coherent by notices: the owner of a resource
// announces on a bus that it changed, never what it became (Representational
// State Notification).
//
// A reader needs one call. The client that it gets caches what it may, and
// subscribes by itself to the topics that responses name:
//
//	client, err := resn.NewClient(b, nil)
//	…
//	resp, err := client.HTTP().Get("https://api.example/restaurants/203")
//
// An owner says in its responses which topic announces their changes, by
// [Stamp] (with [Tag], if its handlers make no entity tags) or by hand:
//
//	Cache-Control: max-age=5, resn="restaurants"
//
// and appends a notice to the outbox in the transaction that makes the change:
//
//	notices := resn.Announcer{Topic: "restaurants", Origins: []string{"https://api.example"}}
//	e, err := notices.Notice(resn.Event{Type: resn.Update, Href: href, ETag: etag})
//	…
//	err = box.Append(ctx, tx, "restaurants", e)
//
// The relay of package outbox numbers and publishes it, and writes watermarks:
//
//	relay := outbox.NewRelay(box, b, &outbox.RelayOptions{
//		Topics:    []string{"restaurants"},
//		Watermark: resn.Watermarks[outbox.Watermark]("/restaurants"),
//	})
//	…
//	err = resn.RunOwned(ctx, resn.NewBusLease(b), []string{"restaurants"}, relay.Run,
//		&resn.OwnershipOptions{Owner: "restaurants-service"})
//
// An owner without a database uses a [Publisher], which promises less. Two who
// publish one topic would vouch without knowing of each other's changes, so a
// topic has one owner at a time ([Own]); a Publisher and [RunOwned] see to that.
//
// # What is promised
//
// While a topic is live, its entries are reused without asking, whatever their
// max-age. After a notice no read returns the old representation. When notices
// may have been missed (a hole in the numbers, a new epoch, silence for longer
// than the lease, a lost connection) entries fall back to their ordinary HTTP
// freshness or are revalidated; nothing is flushed. A vouched answer is
// therefore never older than the lease plus the tolerance for the owner's
// clock. [Listener.Topics] states the bound of the moment.
//
// The protocol is written down, for other languages too, in PROTOCOL.md.
//
// # Consumers and streams
//
// A [Consumer] keeps something else than a cache current: it fills from a
// collection, hands over what changes, durably, and makes up for what was missed.
// Package projection keeps tables of a SQL database that way. A [Stream] carries
// values without identity, which may have a payload, apart from notices.
//
// # Trust
//
// What comes over the bus can make a cache ask more often, not less: a notice
// touches only entries of its href's origin, a watermark vouches only for
// entries whose own response named the topic. Who may publish a topic is for
// the bus's access control to say.
//
// # Shutdown
//
// Close the client before the bus.
package resn
