package sqlconfig

// Dialect is a kind of database: [PostgreSQL] or [SQLite].
type Dialect struct {
	name   string
	schema []string
	// together says that the schema is made in one transaction. In SQLite one
	// that finds a table there has only read, and can't always go on to write.
	together bool
}

// String returns the name of the database for people.
func (d Dialect) String() string { return d.name }

// Everything but the types of columns is the same. Keys are compared by bytes,
// which SQLite does by itself.

// PostgreSQL is the dialect for PostgreSQL 12 or newer.
var PostgreSQL = Dialect{name: "PostgreSQL", together: true, schema: append([]string{
	// CREATE IF NOT EXISTS is no protection against another one at the same time.
	`SELECT pg_advisory_xact_lock(8604113213418827875)`,
}, schema("text", `text COLLATE "C"`)...)}

// SQLite is the dialect for SQLite 3.35 or newer.
var SQLite = Dialect{name: "SQLite", schema: schema("text", "text")}

func schema(text, key string) []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS {t}_head (id int PRIMARY KEY CHECK (id = 1), revision bigint NOT NULL, time bigint NOT NULL)`,
		`INSERT INTO {t}_head (id, revision, time) VALUES (1, 0, -9223372036854775807) ON CONFLICT DO NOTHING`,
		`CREATE TABLE IF NOT EXISTS {t}_commit (revision bigint PRIMARY KEY, author ` + text + ` NOT NULL, message ` + text + ` NOT NULL, time bigint NOT NULL)`,
		`CREATE INDEX IF NOT EXISTS {t}_moment ON {t}_commit (time, revision)`,
		`CREATE TABLE IF NOT EXISTS {t}_version (key ` + key + ` NOT NULL, revision bigint NOT NULL, place int NOT NULL, value ` + text + `, PRIMARY KEY (key, revision))`,
		`CREATE INDEX IF NOT EXISTS {t}_revision ON {t}_version (revision, place)`,
	}
}
