use super::{Hot, SeaStore, migration, read_error};
use crate::Error;

/// Which version of a schema a database has, and which this program brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaStatus {
    /// The newest version that the database has; 0 for none.
    pub applied: u32,
    /// The newest version that this program knows.
    pub known: u32,
}

impl SeaStore {
    /// Tells which version of the schema the database has; changes nothing.
    ///
    /// # Errors
    /// Kind [`Unavailable`](crate::ErrorKind::Unavailable) when the database cannot be
    /// reached.
    pub async fn schema_status(&self) -> Result<SchemaStatus, Error> {
        let (table, known) = match &*self.hot {
            Hot::Sqlite(_) => (
                "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = 'migration'",
                migration::SQLITE.len(),
            ),
            Hot::Postgres(_) => (
                "SELECT 1 AS found FROM pg_tables
                 WHERE schemaname = current_schema() AND tablename = 'migration'",
                migration::POSTGRES.len(),
            ),
        };
        let mut applied = 0;
        if self.one(table, Vec::new()).await?.is_some() {
            let newest =
                "SELECT CAST(coalesce(max(version), 0) AS INTEGER) AS version FROM migration";
            if let Some(row) = self.one(newest, Vec::new()).await? {
                let version: i32 = row.try_get("", "version").map_err(|e| read_error(&e))?;
                applied = version.unsigned_abs();
            }
        }
        let known = u32::try_from(known).unwrap_or(u32::MAX);
        Ok(SchemaStatus { applied, known })
    }
}
