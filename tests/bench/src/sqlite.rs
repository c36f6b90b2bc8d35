//! The registry as a table in an in-memory SQLite.

use rusqlite::{Connection, Result, params};

use crate::workload::{ENV, Seed, TIER, ZONE};

/// Which instances to index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Indexes {
    /// The key, the deadline, and two columns to select by: the least a registry needs.
    Few,
    /// The key, the deadline, and every column that the query reads, each on its own: for selectors not known beforehand.
    Columns,
    /// The key, the deadline, and one index over the very columns of the one query.
    ThisQuery,
}

/// A table of instances.
pub struct Table(Connection);

impl Table {
    pub fn new(indexes: Indexes) -> Result<Self> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
            CREATE TABLE instance (
                service TEXT NOT NULL, id TEXT NOT NULL, host TEXT NOT NULL, port INTEGER NOT NULL,
                region TEXT NOT NULL, zone TEXT NOT NULL, version TEXT NOT NULL,
                major INTEGER NOT NULL, minor INTEGER NOT NULL, patch INTEGER NOT NULL,
                env TEXT NOT NULL, tier TEXT NOT NULL, team TEXT NOT NULL, build TEXT NOT NULL,
                deadline INTEGER NOT NULL);
            CREATE UNIQUE INDEX by_key ON instance (service, id);
            CREATE INDEX by_deadline ON instance (deadline);",
        )?;
        connection.execute_batch(match indexes {
            Indexes::Few => "CREATE INDEX by_env ON instance (env); CREATE INDEX by_zone ON instance (zone);",
            Indexes::Columns => {
                "CREATE INDEX by_env ON instance (env); CREATE INDEX by_tier ON instance (tier);
                CREATE INDEX by_zone ON instance (zone); CREATE INDEX by_version ON instance (major, minor);"
            }
            Indexes::ThisQuery => "CREATE INDEX by_query ON instance (env, tier, zone, major, minor);",
        })?;
        Ok(Self(connection))
    }

    /// Adds instances, or replaces those of the same key, in one transaction.
    pub fn register(&mut self, seeds: &[Seed], deadline: u64) -> Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO instance VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")?;
            for seed in seeds {
                let (major, minor, patch) = seed.version;
                insert.execute(params![
                    seed.service,
                    seed.id,
                    seed.host,
                    seed.port,
                    seed.region,
                    seed.zone,
                    seed.version_text(),
                    major as i64,
                    minor as i64,
                    patch as i64,
                    seed.env,
                    seed.tier,
                    seed.team,
                    seed.build,
                    deadline as i64,
                ])?;
            }
        }
        transaction.commit()
    }

    /// Lets the planner know how the data is spread.
    pub fn analyze(&self) -> Result<()> {
        self.0.execute_batch("ANALYZE")
    }

    /// Sets the deadline of one instance.
    pub fn renew(&self, row: i64, deadline: u64) -> Result<usize> {
        self.0.prepare_cached("UPDATE instance SET deadline = ? WHERE rowid = ?")?.execute(params![deadline as i64, row])
    }

    /// The rows that the query of the workload asks for.
    pub fn query(&self) -> Result<Vec<i64>> {
        let mut select =
            self.0.prepare_cached("SELECT rowid FROM instance WHERE env = ? AND tier = ? AND zone = ? AND major = 2 AND minor >= 3")?;
        select.query_map([ENV, TIER, ZONE], |row| row.get(0))?.collect()
    }

    /// What its pages take.
    pub fn bytes(&self) -> Result<u64> {
        let ask = |pragma: &str| self.0.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
        Ok((ask("page_count")? * ask("page_size")?) as u64)
    }
}
