// Package rediscache is a second level in Redis for Swale's HTTP cache: what
// one process has fetched, the others find, and a process that was restarted
// begins warm.
//
//	second, err := rediscache.Open("redis://localhost:6379/0", nil)
//	if err != nil {
//		return err
//	}
//	defer second.Close()
//	client := &http.Client{Transport: cache.New(nil, &cache.Options{Backing: second})}
//
// # Never in the way
//
// Redis is a convenience here, not a dependency. Every error is a miss, each
// command has a short time, and after a few failures in a row the cache is left
// alone for a moment, so that a Redis that is away or slow costs next to
// nothing. The log says when it went and when it came back; [Cache.Stats]
// counts.
//
// # Coherence
//
// What is found in Redis obeys HTTP's own freshness. It is vouched for only
// after its owner confirmed it, with a 304 as a rule; see [cache.Options].Backing.
// A Delete that didn't reach Redis therefore can't bring back what a notice has
// ended in this process; other processes have their own notices.
//
// # Identities
//
// Keys are digests that tell identities apart, but values hold whole responses
// in plain. Whoever can read this Redis can read what any user was sent.
package rediscache
