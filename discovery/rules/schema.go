package rules

import _ "embed" // the schema is a file, so that editors can use it

//go:embed rules.schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of a Set. Parse and Compile
// refuse more, such as inputs without trust; of what they accept it refuses
// only members that are null or empty and may as well be left out.
func Schema() string { return schema }
