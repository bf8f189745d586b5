package etcddiscovery

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/goswale/swale/discovery/driver"
)

// written is a record as this connection wrote it last, which saves asking for it
// before the next write.
type written struct {
	owner string
	ttl   time.Duration
	lease clientv3.LeaseID
	rev   int64
}

// attempts is how often a write is tried when others write the same key.
const attempts = 5

// errConflict says that somebody else wrote first.
var errConflict = errors.New("another process wrote the same record at the same time, again and again")

// Put implements [driver.Driver].
func (c *conn) Put(ctx context.Context, r driver.Record) error {
	body, err := driver.Marshal(r)
	if err != nil {
		return err
	}
	if w, ok := c.last(r.Key); ok && w.owner == r.Owner && w.ttl == r.TTL {
		if done, err := c.replace(ctx, r, string(body), w); done {
			return explain(ctx, err)
		}
	}
	lease, err := c.client.Grant(ctx, seconds(r.TTL))
	if err != nil {
		return explain(ctx, err)
	}
	if err = c.put(ctx, r, string(body), lease.ID); err != nil {
		// Nobody uses the lease; if this fails it ends by itself.
		_, _ = c.client.Revoke(context.WithoutCancel(ctx), lease.ID)
	}
	return explain(ctx, err)
}

// seconds rounds up: etcd counts in seconds.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// replace writes a record over what this connection wrote last, under the same
// lease. It isn't done if that has changed meanwhile.
func (c *conn) replace(ctx context.Context, r driver.Record, body string, w written) (done bool, err error) {
	path := c.path(r.Key)
	resp, err := c.client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(path), "=", w.rev)).
		Then(clientv3.OpPut(path, body, clientv3.WithLease(w.lease))).Commit()
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound) || err == nil && !resp.Succeeded:
		c.forget(r.Key)
		return false, nil
	case err != nil:
		return true, err
	}
	w.rev = resp.Header.Revision
	c.note(r.Key, w)
	_, err = c.client.KeepAliveOnce(ctx, w.lease)
	return true, err
}

// put writes a record under a new lease, unless it is another owner's.
func (c *conn) put(ctx context.Context, r driver.Record, body string, lease clientv3.LeaseID) error {
	path := c.path(r.Key)
	rev := int64(0) // it isn't there
	for range attempts {
		resp, err := c.client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(path), "=", rev)).
			Then(clientv3.OpPut(path, body, clientv3.WithLease(lease))).
			Else(clientv3.OpGet(path)).Commit()
		if err != nil {
			return err
		}
		if resp.Succeeded {
			c.note(r.Key, written{r.Owner, r.TTL, lease, resp.Header.Revision})
			return nil
		}
		rev = 0
		if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
			there, err := driver.Unmarshal(r.Key, kvs[0].Value)
			if err == nil && !there.OwnedBy(r.Owner) {
				return driver.ErrTaken
			}
			rev = kvs[0].ModRevision
		}
	}
	return errConflict
}

// Renew implements [driver.Driver].
func (c *conn) Renew(ctx context.Context, key driver.Key, owner string) error {
	there, err := c.find(ctx, key, owner)
	if err == nil && there == nil {
		c.forget(key)
		return driver.ErrGone
	}
	if err == nil {
		_, err = c.client.KeepAliveOnce(ctx, clientv3.LeaseID(there.Lease))
	}
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		c.forget(key)
		return driver.ErrGone
	}
	return explain(ctx, err)
}

// Delete implements [driver.Driver].
func (c *conn) Delete(ctx context.Context, key driver.Key, owner string) error {
	c.forget(key)
	for range attempts {
		there, err := c.find(ctx, key, owner)
		if err != nil || there == nil {
			return explain(ctx, err)
		}
		path := c.path(key)
		resp, err := c.client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(path), "=", there.ModRevision)).
			Then(clientv3.OpDelete(path)).Commit()
		if err != nil {
			return explain(ctx, err)
		}
		if resp.Succeeded {
			// Nothing hangs on the lease now; if this fails it ends by itself.
			_, _ = c.client.Revoke(ctx, clientv3.LeaseID(there.Lease))
			return nil
		}
	}
	return explain(ctx, errConflict)
}

// find returns the owner's record (whoever's it is if owner is empty), or nil.
func (c *conn) find(ctx context.Context, key driver.Key, owner string) (*mvccpb.KeyValue, error) {
	resp, err := c.client.Get(ctx, c.path(key))
	if err != nil || len(resp.Kvs) == 0 {
		return nil, err
	}
	kv := resp.Kvs[0]
	if r, err := driver.Unmarshal(key, kv.Value); owner != "" && (err != nil || !r.OwnedBy(owner)) {
		return nil, nil //nolint:nilerr // what isn't a record isn't the owner's
	}
	return kv, nil
}

func (c *conn) last(key driver.Key) (written, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, ok := c.written[key]
	return w, ok
}

func (c *conn) note(key driver.Key, w written) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written[key] = w
}

func (c *conn) forget(key driver.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.written, key)
}
