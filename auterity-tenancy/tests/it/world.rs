//! One fresh control database with a clock that stands still.

use std::net::IpAddr;
use std::sync::Arc;

use auterity_core::clock::{Clock as _, Entropy as _, ManualClock, SystemEntropy};
use auterity_tenancy::{
    ControlDb, ControlOptions, Error, Identity, IdentityOptions, KeyRing, SignIn, SignUp, SignedIn,
    Vault, migrate,
};
use jiff::{SignedDuration, Timestamp};
use sea_orm::{ConnectionTrait as _, Database, DbBackend, Statement};
use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "correct horse battery";
const POSTGRES_VARIABLE: &str = "AUTERITY_TEST_POSTGRES_URL";

pub(crate) struct World {
    pub(crate) identity: Identity,
    pub(crate) db: ControlDb,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) folder: TempDir,
    options: ControlOptions,
    postgres: Option<(String, String)>,
}

impl World {
    pub(crate) async fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let options = ControlOptions::sqlite(folder.path().join("control ?%.db"));
        Self::open(folder, options, None).await
    }

    /// Makes a world in a PostgreSQL schema of its own, if there is a server.
    pub(crate) async fn postgres(test: &str) -> Option<Self> {
        let Ok(url) = std::env::var(POSTGRES_VARIABLE) else {
            println!("SKIPPED: {test} on PostgreSQL, because {POSTGRES_VARIABLE} is not set");
            return None;
        };
        let folder = TempDir::new().unwrap();
        let mut random = [0_u8; 8];
        SystemEntropy.fill(&mut random);
        let schema = format!("test_{:016x}", u64::from_le_bytes(random));
        // The name under which the server lists this test's connections.
        let mark = if url.contains('?') { '&' } else { '?' };
        let named = format!("{url}{mark}application_name={schema}");
        let options = ControlOptions::postgres(named).with_schema(schema.clone());
        Some(Self::open(folder, options, Some((url, schema))).await)
    }

    async fn open(
        folder: TempDir,
        options: ControlOptions,
        postgres: Option<(String, String)>,
    ) -> Self {
        let clock = Arc::new(ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap()));
        let db = ControlDb::connect(options.clone()).await.unwrap();
        let keys = KeyRing::load_or_create(folder.path().join("keys.json"), clock.as_ref());
        let identity = Identity::new(
            &IdentityOptions::default(),
            db.clone(),
            Arc::<ManualClock>::clone(&clock),
            keys.unwrap(),
        );
        migrate(&db, clock.now()).await.unwrap();
        Self {
            identity: identity.unwrap(),
            db,
            clock,
            folder,
            options,
            postgres,
        }
    }

    /// Opens the same database once more, with other identity options.
    pub(crate) async fn reopen(&self, options: &IdentityOptions) -> Identity {
        let db = ControlDb::connect(self.options.clone()).await.unwrap();
        let clock = Arc::<ManualClock>::clone(&self.clock);
        let keys =
            KeyRing::load_or_create(self.folder.path().join("keys.json"), self.clock.as_ref());
        Identity::new(options, db, clock, keys.unwrap()).unwrap()
    }

    /// Opens the same database once more, as a process does that shares its keys.
    pub(crate) async fn sharing(&self, key: &str) -> Result<(Identity, Vault), Error> {
        let db = ControlDb::connect(self.options.clone()).await?;
        let clock = Arc::<ManualClock>::clone(&self.clock);
        let vault = Vault::new(db.clone(), &key.into())?;
        let keys = KeyRing::in_vault(vault.clone(), clock.as_ref()).await?;
        let identity = Identity::new(&IdentityOptions::default(), db, clock, keys)?;
        Ok((identity, vault))
    }

    /// Changes rows behind the service's back, as another node would.
    pub(crate) async fn sql(&self, statements: &str) {
        match &self.postgres {
            Some((url, schema)) => {
                let text = format!("SET search_path = {schema}; {statements}");
                let outside = Database::connect(url.as_str()).await.unwrap();
                outside.execute_unprepared(&text).await.unwrap();
                outside.close().await.unwrap();
            }
            None => {
                let mut options = sea_orm::ConnectOptions::new("sqlite://control.db");
                let path = self.folder.path().join("control ?%.db");
                options.map_sqlx_sqlite_opts(move |sqlite| sqlite.filename(&path));
                let outside = Database::connect(options).await.unwrap();
                outside.execute_unprepared(statements).await.unwrap();
                outside.close().await.unwrap();
            }
        }
    }

    /// Asks PostgreSQL until none of this test's connections is in a transaction.
    pub(crate) async fn assert_no_open_transaction(&self) {
        let Some((url, schema)) = &self.postgres else {
            return;
        };
        let outside = Database::connect(url.as_str()).await.unwrap();
        let question = format!(
            "SELECT COUNT(*) AS open FROM pg_stat_activity
             WHERE application_name = '{schema}' AND xact_start IS NOT NULL"
        );
        let mut open = i64::MAX;
        for _ in 0..2_000 {
            let statement = Statement::from_string(DbBackend::Postgres, &question);
            let row = outside.query_one_raw(statement).await.unwrap().unwrap();
            open = row.try_get("", "open").unwrap();
            if open == 0 {
                break;
            }
        }
        outside.close().await.unwrap();
        assert_eq!(open, 0, "transactions left open");
    }

    pub(crate) async fn close(self) {
        self.db.close(std::time::Duration::from_secs(5)).await;
        if let Some((url, schema)) = &self.postgres {
            let outside = Database::connect(url.as_str()).await.unwrap();
            let text = format!("DROP SCHEMA {schema} CASCADE");
            outside.execute_unprepared(&text).await.unwrap();
            outside.close().await.unwrap();
        }
    }

    pub(crate) fn wait(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn sign_up(&self, name: &str) -> SignedIn {
        self.identity.sign_up(sign_up(name), None).await.unwrap()
    }

    pub(crate) async fn sign_in(&self, name: &str, password: &str) -> Result<SignedIn, Error> {
        self.identity.sign_in(sign_in(name, password), None).await
    }
}

pub(crate) fn sign_up(name: &str) -> SignUp {
    SignUp {
        email: format!("{name}@example.com"),
        password: PASSWORD.into(),
        tenant_name: name.to_owned(),
        tenant_slug: format!("{name}-slug"),
    }
}

pub(crate) fn sign_in(name: &str, password: &str) -> SignIn {
    SignIn {
        email: format!("{name}@example.com"),
        password: password.into(),
        tenant: None,
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Writes each behaviour as two tests: on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($(async fn $name:ident($world:ident: &World) $body:block)+) => {$(
        mod $name {
            use super::*;

            async fn behaviour($world: &World) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let world = World::sqlite().await;
                behaviour(&world).await;
                world.close().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(world) = World::postgres(stringify!($name)).await {
                    behaviour(&world).await;
                    world.close().await;
                }
            }
        }
    )+};
}

pub(crate) use on_both;
