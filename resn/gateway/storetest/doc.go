// Package storetest proves implementations of gateway.Store.
//
//	func TestMyStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) gateway.Store { return openMine(t) })
//	}
//
// Each check gets a store of its own, which it expects to be empty.
package storetest
