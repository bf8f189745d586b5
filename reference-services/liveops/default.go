package liveops

import _ "embed" // the schema is a file, so that editors can use it

// Key is where the rules are in the configuration.
const Key = "rules/liveops"

//go:embed rules.schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of a [Document]. [Check] refuses
// more, such as rules that never decide.
func Schema() string { return schema }

// Default are the rules while none were written.
const Default = `{"rules":[
	{"id":"not-accepted","kind":"not-accepted","steps":[{"after":"2m","severity":"warning"},{"after":"5m","severity":"critical"}]},
	{"id":"not-ready","kind":"not-ready","steps":[{"after":"25m","severity":"warning"},{"after":"40m","severity":"critical"}]},
	{"id":"no-rider","kind":"no-rider","steps":[{"after":"2m","severity":"warning"},{"after":"6m","severity":"critical"}]},
	{"id":"late","kind":"late","steps":[{"after":"0s","severity":"info"},{"after":"5m","severity":"warning"},{"after":"15m","severity":"critical"}]},
	{"id":"wasted-ride","kind":"wasted-ride","steps":[{"after":"30s","severity":"warning"}]}]}`
