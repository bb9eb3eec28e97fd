//! Puts the crates together: one function per service.

use std::path::Path;
use std::sync::Arc;

use auterity_core::clock::{Clock, SystemClock};
use auterity_core::engine::{Engine, Handle, Options, Ports, Secrets};
use auterity_core::functions::{
    AsyncApi, Functions, Http, HttpOptions, Mcp, Processes, Registration, RunContainer, RunScript,
    RunShell,
};
use auterity_core::store::{SeaOptions, SeaStore, Store};
use auterity_http::{Kind, Metrics};
use auterity_tenancy::{
    ControlDb, ControlOptions, Identity, IdentityOptions, KeyRing, Secret, Vault,
};

use crate::config::{RunKind, Settings};
use crate::data_folder::{DataFolder, VAULT_KEY, random_key};
use crate::failure::{Failure, chain};

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

/// Opens the engine's store and brings its schema up.
pub(crate) async fn store(
    settings: &Settings,
    folder: &DataFolder,
) -> Result<Arc<SeaStore>, Failure> {
    let store = open_store(settings, &folder.file("engine.db")).await?;
    store.migrate().await?;
    Ok(Arc::new(store))
}

/// Opens the engine's store as it is; the file serves where no database is named.
pub(crate) async fn open_store(settings: &Settings, file: &Path) -> Result<SeaStore, Failure> {
    let url = match &settings.database_url {
        Some(url) => url.clone(),
        None => sqlite_url(file),
    };
    let opened = SeaStore::open(&url, SeaOptions::default()).await;
    opened.map_err(|error| {
        let why = chain(&error);
        Failure::work(format!(
            "the database cannot be opened, check --database-url and that it is running: {why}"
        ))
    })
}

/// Writes a path as a URL.
fn sqlite_url(path: &Path) -> String {
    let text = path.display().to_string();
    let text = text
        .replace('%', "%25")
        .replace('?', "%3F")
        .replace('#', "%23");
    format!("sqlite://{text}")
}

/// Opens users, tenants and sessions, and brings their schema up.
pub(crate) async fn control(
    settings: &Settings,
    folder: &DataFolder,
) -> Result<ControlDb, Failure> {
    let db = open_control(settings, &folder.file("control.db")).await?;
    auterity_tenancy::migrate(&db, SystemClock.now()).await?;
    Ok(db)
}

/// Opens the control database as it is; the file serves where no PostgreSQL is named.
pub(crate) async fn open_control(settings: &Settings, file: &Path) -> Result<ControlDb, Failure> {
    let options = match &settings.database_url {
        Some(url) if is_postgres(url) => ControlOptions::postgres(url.as_str()),
        _ => ControlOptions::sqlite(file),
    };
    Ok(ControlDb::connect(options).await?)
}

/// Tells whether a database is named that all processes share.
pub(crate) fn is_shared(settings: &Settings) -> bool {
    settings.database_url.as_deref().is_some_and(is_postgres)
}

/// The keys of a server process.
#[derive(Debug)]
pub(crate) struct Keys {
    signing: KeyRing,
    cursors: Secret,
}

/// Gives the keys: those that all processes on a shared database have, or this one's.
pub(crate) async fn keys(
    settings: &Settings,
    folder: &DataFolder,
    db: &ControlDb,
) -> Result<Keys, Failure> {
    let clock = SystemClock;
    if !is_shared(settings) {
        return Ok(Keys {
            signing: KeyRing::load_or_create(folder.file("signing-keys.json"), &clock)?,
            cursors: folder.cursor_key()?,
        });
    }
    let vault = Vault::new(db.clone(), &vault_key(settings, folder)?)?;
    let signing = KeyRing::in_vault(vault.clone(), &clock).await;
    let signing = signing.map_err(|error| not_shared(settings, folder, &error))?;
    let make = || Ok(Secret::from(random_key()));
    let cursors = vault.kept("cursor-key", clock.now(), make).await?;
    Ok(Keys { signing, cursors })
}

fn vault_key(settings: &Settings, folder: &DataFolder) -> Result<Secret, Failure> {
    let Some(path) = &settings.key_file else {
        return folder.vault_key();
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        let place = path.display();
        Failure::usage(format!("the key file {place} cannot be read: {error}"))
    })?;
    Ok(Secret::from(text))
}

/// Says why a process cannot have the keys of the others.
fn not_shared(
    settings: &Settings,
    folder: &DataFolder,
    error: &auterity_tenancy::Error,
) -> Failure {
    let why = chain(error);
    let own = folder.file(VAULT_KEY);
    Failure::work(match &settings.key_file {
        Some(path) => format!("{why}; --key-file is {}", path.display()),
        None => format!(
            "{why}: all processes on one database need the same --key-file; without it, each uses the one in its data folder, here {}",
            own.display()
        ),
    })
}

/// Users, tenants and sessions.
pub(crate) fn identity(db: ControlDb, keys: &Keys) -> Result<Identity, Failure> {
    let (options, clock) = (IdentityOptions::default(), Arc::new(SystemClock));
    Ok(Identity::new(&options, db, clock, keys.signing.clone())?)
}

/// The settings of the HTTP layer.
pub(crate) fn http_options(settings: &Settings, keys: Keys) -> auterity_http::Options {
    let default = auterity_http::Options::default();
    let trusted = settings.trusted_proxies.clone();
    auterity_http::Options {
        public_url: settings.public_url.clone(),
        trusted_proxies: trusted.unwrap_or(default.trusted_proxies),
        cursor_key: Some(keys.cursors),
        ..default
    }
}

/// What is counted and measured. The HTTP layer adds its requests by itself.
pub(crate) fn metrics(engine: Handle) -> Metrics {
    let metrics = Metrics::default();
    metrics.add(auterity_http::process);
    metrics.add(auterity_http::engine(engine));
    metrics.add(|out| {
        let labels = [("version", env!("CARGO_PKG_VERSION"))];
        out.family(
            "auterity_build_info",
            Kind::Gauge,
            "Always 1; the version is a label.",
        );
        out.sample("auterity_build_info", &labels, 1.0);
    });
    metrics
}

/// The functions that definitions can call.
pub(crate) fn functions(settings: &Settings) -> Result<Functions, Failure> {
    let http = Arc::new(Http::new(HttpOptions {
        private_addresses: settings.private_addresses,
        ..HttpOptions::default()
    }));
    let asyncapi = AsyncApi::new(Arc::clone(&http), settings.asyncapi.clone());
    let mut functions = Functions::over(&http)
        .with("asyncapi", asyncapi)
        .register(Registration::email(&settings.email)?);
    if settings.run_kinds.is_empty() {
        return Ok(functions);
    }
    let processes = Processes::new(settings.run.clone())?;
    let shared = || Arc::clone(&processes);
    for kind in &settings.run_kinds {
        functions = match kind {
            RunKind::Shell => functions.with("run/shell", RunShell::new(shared())),
            RunKind::Script => {
                functions.with("run/script", RunScript::new(shared(), Arc::clone(&http)))
            }
            RunKind::Container => {
                let run = RunContainer::new(shared(), settings.container.clone())?;
                functions.with("run/container", run)
            }
            RunKind::McpStdio => {
                functions.with("mcp", Mcp::new(Arc::clone(&http)).with_stdio(shared()))
            }
        };
    }
    Ok(functions)
}

/// Starts the engine.
pub(crate) async fn engine(
    settings: &Settings,
    folder: &DataFolder,
    store: Arc<SeaStore>,
    secrets: Secrets,
) -> Result<Engine, Failure> {
    let worker_name = match &settings.worker_name {
        Some(name) => name.clone(),
        None => folder.worker_name()?,
    };
    let options = Options {
        worker_name,
        retention: settings.retention,
        ..Options::default()
    };
    let ports = Ports {
        functions: functions(settings)?,
        secrets,
        ..Ports::new(store)
    };
    Ok(if settings.works {
        Engine::start(options, ports).await?
    } else {
        Engine::start_without_worker(options, ports)?
    })
}
