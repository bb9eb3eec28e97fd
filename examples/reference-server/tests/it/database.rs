//! A PostgreSQL database of a test's own.

/// A database of the test's own.
#[derive(Debug)]
pub(crate) struct Database {
    name: String,
    pub(crate) url: String,
}

impl Database {
    /// Makes a database beside the one that the address names.
    pub(crate) async fn create(purpose: &str, url: &str) -> Self {
        let name = format!("auterity_{purpose}_{}", std::process::id());
        execute(url, &format!("CREATE DATABASE {name}")).await;
        let (base, query) = url
            .split_once('?')
            .map_or((url, ""), |(base, query)| (base, query));
        let (server, _) = base.rsplit_once('/').expect("a database in the URL");
        let query = if query.is_empty() {
            String::new()
        } else {
            format!("?{query}")
        };
        let url = format!("{server}/{name}{query}");
        Self { name, url }
    }

    pub(crate) async fn drop(self, url: &str) {
        execute(url, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

async fn execute(url: &str, text: &str) {
    use sqlx::{Connection, Executor};
    let mut connection = sqlx::PgConnection::connect(url)
        .await
        .expect("PostgreSQL answers");
    connection
        .execute(sqlx::AssertSqlSafe(text.to_owned()))
        .await
        .expect("executed");
}
