package cache

// The coherence simulator.
//
// It runs a Transport in a bubble of testing/synctest inside a small model of
// the world that DESIGN.md section 4 is about: an owner with replicas that
// lag, an intermediary that answers from its own store, a relay, a bus that
// loses, repeats and delays, a listener that does what PROTOCOL.md says, and
// readers and writers of this process. A seed decides what happens in which
// order. After each step every answer is compared with what the model allows
// by G1 to G7.
//
// simulator_*_test.go belong together; other tests of the package don't use
// them.
