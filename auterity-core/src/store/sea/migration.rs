//! The schema's versions, as SQL texts that are executed once and in order.

/// The texts for PostgreSQL; the place in the list, from 1, is the version.
pub(super) const POSTGRES: &[&str] = &[concat!(
    include_str!("migration/postgres_0001.sql"),
    include_str!("migration/postgres_0001_flow.sql"),
    include_str!("migration/postgres_0001_repair.sql"),
    include_str!("migration/postgres_0001_human.sql"),
)];

/// The texts for SQLite.
pub(super) const SQLITE: &[&str] = &[concat!(
    include_str!("migration/sqlite_0001.sql"),
    include_str!("migration/sqlite_0001_flow.sql"),
    include_str!("migration/sqlite_0001_repair.sql"),
    include_str!("migration/sqlite_0001_human.sql"),
)];

/// Where the versions that were executed are noted.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS migration (version INTEGER PRIMARY KEY)";

/// Gives the place of the first text that is still to be executed.
pub(super) fn next(version: i64, known: usize) -> Result<usize, sqlx::Error> {
    match usize::try_from(version) {
        Ok(done) if done <= known => Ok(done),
        _ => {
            let message = format!(
                "the database has schema version {version}, this program knows {known}; \
                 use a newer program"
            );
            Err(sqlx::Error::Configuration(message.into()))
        }
    }
}
