// Package discoverytest proves that a driver keeps the registry's promises.
// Drivers in this repository run it, and so does anybody who writes another one:
//
//	func TestConformance(t *testing.T) {
//		discoverytest.Run(t, func(t *testing.T) driver.Driver {
//			d, err := mydiscovery.Connect(t.Context(), url)
//			if err != nil {
//				t.Fatal(err)
//			}
//			return d
//		}, discoverytest.Features{})
//	}
//
// Each call of open makes another connection to the same store, as another
// process would; the suite closes it. It uses services of its own, whose names it
// never uses again. A check that fails says which rule it is that the driver
// breaks. It imports nothing but the standard library and discovery.
package discoverytest
