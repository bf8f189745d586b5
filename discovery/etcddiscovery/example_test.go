package etcddiscovery_test

import (
	"context"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/goswale/swale/discovery/etcddiscovery"
)

func ExampleFromClient() {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://localhost:2379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	r := etcddiscovery.FromClient(client, &etcddiscovery.Options{Prefix: "/city"})
	defer func() { _ = r.Shutdown(context.Background()) }()
	fmt.Println(r.Driver().Name, r.Driver().MinTTL)
	fmt.Println(r.Driver().Authorises)
	// Output:
	// etcd 2s
	// etcd's roles: write permission on the prefix /city/<service>/instances/
}
