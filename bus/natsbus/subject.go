package natsbus

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"strings"
)

// shard is which of the JetStream streams has the topic.
func (c *conn) shard(topic string) int {
	if c.opts.Shards == 1 {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(topic))
	return int(h.Sum32() % uint32(c.opts.Shards))
}

// streamName is the JetStream stream of a shard. Names can't hold dots.
func (c *conn) streamName(shard int) string {
	name := dotless(c.opts.Prefix) + "-events"
	if c.opts.Shards > 1 {
		name += "-" + strconv.Itoa(shard) + "of" + strconv.Itoa(c.opts.Shards)
	}
	return name
}

// subject is the subject of an event topic.
func (c *conn) subject(topic string) string {
	return c.opts.Prefix + ".e." + strconv.Itoa(c.shard(topic)) + "." + topic
}

// consumerName names the durable consumer of a group. '=' and '@' are in no
// topic and no group, so that names stay apart.
func consumerName(topic, group string) string {
	name := dotless(topic) + "@" + dotless(group)
	if len(name) > 200 { // it becomes a name in the server's file system
		sum := sha256.Sum256([]byte(name))
		name = name[:160] + "@" + hex.EncodeToString(sum[:16])
	}
	return name
}

func dotless(s string) string { return strings.ReplaceAll(s, ".", "=") }

// keyToken writes any key as one token of a subject: letters, digits, '-' and '_'
// as they are, other bytes as '=' and two hexadecimal digits.
func keyToken(key string) string {
	const digits = "0123456789ABCDEF"
	if key == "" {
		return "="
	}
	b := make([]byte, 0, len(key)+8)
	for i := 0; i < len(key); i++ {
		c := key[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			b = append(b, c)
			continue
		}
		b = append(b, '=', digits[c>>4], digits[c&15])
	}
	if len(b) > 400 {
		sum := sha256.Sum256([]byte(key))
		return string(b[:300]) + "==" + hex.EncodeToString(sum[:])
	}
	return string(b)
}
