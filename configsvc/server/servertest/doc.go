// Package servertest is a configuration service in memory, for the tests of what
// reads configuration:
//
//	s := servertest.Start(t)
//	s.Write("base/orders", `{"pool":5}`)
//	client := s.Client("orders", nil)
package servertest
