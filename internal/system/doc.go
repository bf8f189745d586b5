// Package system holds the proof that the whole keeps its promises: owners,
// outboxes, relays, a bus, caches and readers together, against the guarantees of
// DESIGN.md section 4. It has tests only.
//
// # Simulated
//
// TestSimulator runs the real relay and outbox, the real publisher, the real
// listener and the real cache inside a bubble of testing/synctest, between a
// database and a bus that do everything that a database and a bus may do to them.
// A seed decides what happens in which order, and every run of it is the same.
//
//	go test ./internal/system -run 'TestSimulator$'                 # thousands of seeds
//	go test ./internal/system -run 'TestSimulator$' -sim.seeds=1e6  # as many as you like
//	go test ./internal/system -run 'TestSimulator$' -sim.seed=4711  # one, with its timeline
//
// After each step every answer is compared with the truth, which is the history of
// the database: nothing of what judges knows how the parts work. TestSimulatorCatches
// takes the mechanisms away one at a time, and the simulator has to notice each.
//
// # Where what is
//
//	simulator_test.go   the seeds, and what has to happen often enough
//	world_test.go       a seed's world and the steps it takes
//	history_test.go     resources and what was true of them when
//	database_test.go    a database that an outbox can live in
//	trouble_test.go     what goes wrong
//	owner_test.go       the services that own: processes with relays or publishers
//	tenure_test.go      who owns a topic
//	broker_test.go      the bus, which delays, repeats, loses and parts
//	process_test.go     the services that read
//	turns_test.go       who acts at which nanosecond, so that runs repeat
//	repeat_test.go      that they do
//	exchange_test.go    requests on their way to the owner and back
//	judge_test.go       what is allowed: the guarantees
//	rest_test.go        what they are for: at rest nobody asks
//	timeline_test.go    what happened, for people
//	mutations_test.go   what is taken away
//
// # On real brokers
//
// TestStalenessIsBoundedOnRealBrokers, in the files drill_*_test.go, does with real
// servers and processes what can be done to them, and measures how old answers from
// memory are.
package system
