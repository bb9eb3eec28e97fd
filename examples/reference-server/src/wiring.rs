//! Puts the crates together: one function per service.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use auterity_core::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use auterity_core::engine::{Engine, Options, Ports, Secrets};
use auterity_core::functions::{
    AsyncApi, Functions, Http, HttpOptions, Mcp, Processes, RunContainer, RunScript, RunShell,
};
use auterity_core::store::{SeaOptions, SeaStore, Store};
use auterity_core::{Scope, TenantId};
use auterity_tenancy::{ControlDb, ControlOptions, Identity, IdentityOptions, KeyRing, Secret};

use crate::config::{RunKind, Settings};
use crate::failure::Failure;

/// The data folder, held by this process alone.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if it is missing and takes it for this process.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| {
            let place = path.display();
            Failure::work(format!("the data folder {place} cannot be used: {error}"))
        };
        make_private(path).map_err(cannot)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(cannot)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(Failure::work(format!(
                "another process uses the data folder {}; stop it or name another folder with --data",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(cannot(error)),
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a small text that is made once and kept.
    fn kept(&self, name: &str, make: impl FnOnce() -> String) -> Result<String, Failure> {
        let path = self.file(name);
        if let Ok(text) = std::fs::read_to_string(&path) {
            return Ok(text.trim().to_owned());
        }
        let text = make();
        std::fs::write(&path, &text)?;
        Ok(text)
    }

    /// Gives the name that this folder's worker has over restarts.
    pub(crate) fn worker_name(&self) -> Result<String, Failure> {
        self.kept("worker-name", || {
            let mut random = [0_u8; 8];
            SystemEntropy.fill(&mut random);
            format!("node-{:016x}", u64::from_be_bytes(random))
        })
    }

    /// Gives the key that authenticates page cursors.
    fn cursor_key(&self) -> Result<Secret, Failure> {
        let key = self.kept("cursor-key", || {
            let mut random = [0_u8; 32];
            SystemEntropy.fill(&mut random);
            random
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<Vec<_>>()
                .concat()
        })?;
        Ok(Secret::from(key))
    }

    /// Gives the scope of the tenant for work without sign-in.
    pub(crate) fn local_scope(&self) -> Result<Scope, Failure> {
        let text = self.kept("local-tenant", || {
            TenantId::generate(SystemClock.now(), &SystemEntropy).to_string()
        })?;
        let tenant = text.parse().map_err(|_| {
            let place = self.file("local-tenant");
            Failure::work(format!("{} does not hold a tenant's id", place.display()))
        })?;
        Ok(Scope::new(tenant, auterity_core::Actor::Host))
    }
}

/// Makes a folder that only its owner may enter: it holds keys.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

/// Opens the engine's store and brings its schema up.
pub(crate) async fn store(
    settings: &Settings,
    folder: &DataFolder,
) -> Result<Arc<SeaStore>, Failure> {
    let url = match &settings.database_url {
        Some(url) => url.clone(),
        None => sqlite_url(&folder.file("engine.db")),
    };
    let store = SeaStore::open(&url, SeaOptions::default()).await?;
    store.migrate().await?;
    Ok(Arc::new(store))
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
pub(crate) async fn identity(
    settings: &Settings,
    folder: &DataFolder,
) -> Result<Identity, Failure> {
    let options = match &settings.database_url {
        Some(url) if is_postgres(url) => ControlOptions::postgres(url.as_str()),
        _ => ControlOptions::sqlite(folder.file("control.db")),
    };
    let clock = Arc::new(SystemClock);
    let db = ControlDb::connect(options).await?;
    auterity_tenancy::migrate(&db, clock.now()).await?;
    let keys = KeyRing::load_or_create(folder.file("signing-keys.json"), clock.as_ref())?;
    Ok(Identity::new(&IdentityOptions::default(), db, clock, keys)?)
}

/// The settings of the HTTP layer.
pub(crate) fn http_options(
    settings: &Settings,
    folder: &DataFolder,
) -> Result<auterity_http::Options, Failure> {
    Ok(auterity_http::Options {
        public_url: settings.public_url.clone(),
        cursor_key: Some(folder.cursor_key()?),
        ..auterity_http::Options::default()
    })
}

/// The functions that definitions can call.
pub(crate) fn functions(settings: &Settings) -> Result<Functions, Failure> {
    let http = Arc::new(Http::new(HttpOptions {
        private_addresses: settings.private_addresses,
        ..HttpOptions::default()
    }));
    let asyncapi = AsyncApi::new(Arc::clone(&http), settings.asyncapi.clone());
    let mut functions = Functions::over(&http).with("asyncapi", asyncapi);
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
) -> Result<Engine, Failure> {
    let worker_name = match &settings.worker_name {
        Some(name) => name.clone(),
        None => folder.worker_name()?,
    };
    let options = Options {
        worker_name,
        ..Options::default()
    };
    let ports = Ports {
        functions: functions(settings)?,
        secrets: Secrets::fixed(settings.secrets.clone()),
        ..Ports::new(store)
    };
    Ok(if settings.works {
        Engine::start(options, ports).await?
    } else {
        Engine::start_without_worker(options, ports)?
    })
}
