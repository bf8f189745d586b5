package cloudevents_test

import (
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/goswale/swale/bus/cloudevents"
)

func ExampleFromSDK() {
	sdk := event.New()
	sdk.SetID("1")
	sdk.SetSource("/restaurants")
	sdk.SetType("resn.update")
	sdk.SetSubject("/restaurants/203")
	e, err := cloudevents.FromSDK(sdk)
	fmt.Println(e.Type, e.Subject, err)
	// Output: resn.update /restaurants/203 <nil>
}

func ExampleToSDK() {
	sdk := event.New()
	sdk.SetID("1")
	sdk.SetSource("/restaurants")
	sdk.SetType("resn.update")
	e, _ := cloudevents.FromSDK(sdk)
	back, err := cloudevents.ToSDK(e)
	fmt.Println(back.ID(), back.Type(), err)
	// Output: 1 resn.update <nil>
}
