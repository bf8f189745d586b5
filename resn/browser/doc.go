// Package browser hands notices to web pages, by server-sent events and by
// WebSocket, so that a page asks again for exactly what changed. It hands on that
// something changed, never what it became: the page fetches that with the rights
// of whoever looks at it.
//
//	h, err := browser.Open(ctx, b, []string{"restaurants", "orders"}, &browser.Options{
//		Authorize: func(r *http.Request, topic string) error { … },
//	})
//	…
//	mux.Handle("GET /changes", h)
//	defer h.Shutdown(ctx)
//
// In the page:
//
//	const changes = new EventSource('/changes?topic=restaurants');
//	changes.addEventListener('notice', (e) => refetch(JSON.parse(e.data).href));
//	changes.addEventListener('reset', () => location.reload()); // or fetch anew what is shown
//	changes.addEventListener('live', (e) => …); // from here on nothing is missed
//	changes.addEventListener('lost', (e) => …); // something may be
//
// A page that fetches when the first live comes has missed nothing: what changed
// before is in what it fetches, what changes after is announced. By WebSocket the
// same events come as JSON: {"event":"notice","id":"…","data":{…}}.
//
// # Events
//
// notice holds a notice in its bare form, see PROTOCOL.md of package resn. reset
// says that notices of a topic were missed, or may have been, and that the page
// must start over with what it shows of the topic. live and lost say whether
// every change of a topic is being heard, with the reason. heartbeat says that
// the connection stands, every 15 seconds, and holds nothing.
//
// # Resuming
//
// The id of an event says how far the page has come in every topic. A browser
// sends it back by itself as Last-Event-ID when it reconnects an EventSource; a
// WebSocket takes it as the parameter last-event-id. What came since is replayed
// from a bounded buffer. If it isn't there any more, or nobody can tell, the page
// gets a reset: it is never left to believe that nothing happened.
//
// Ids of topics whose notices are numbered, as those of an outbox are, hold
// across restarts and across servers, which need no state in common. Ids of
// topics without numbers hold only at the process that gave them; elsewhere they
// mean a reset.
//
// # Slow pages
//
// A page reads at its own pace from the buffer that all share. While it lags,
// several notices of one href become one. When it falls out of the buffer it is
// reset; when it takes nothing for Options.WriteTimeout it is disconnected.
//
// # Trust
//
// Only the topics given to Open can be asked for, each by those whom
// Options.Authorize lets, and of each notice Options.Visible has the last word.
// Requests that carry the Origin of another site are refused unless it is listed.
// After Options.MaxAge a connection ends, and is authorized anew when the page
// comes back.
package browser
