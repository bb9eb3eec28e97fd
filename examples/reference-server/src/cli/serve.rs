//! `auterity serve`: the product.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use auterity_core::Routines;
use auterity_core::clock::{Clock, SystemClock};
use auterity_core::engine::Secrets;
use auterity_http::{ServeOptions, Server, Services};
use auterity_tenancy::Identity;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::print;
use crate::config::Settings;
use crate::data_folder::DataFolder;
use crate::demo::Demo;
use crate::failure::Failure;
use crate::{assets, secrets, wiring};

/// How long requests under way may take when the server is asked to stop.
const ANSWER_WITHIN_S: u64 = 4;
/// How long requests and effects under way may take together.
const STOP_WITHIN: Duration = Duration::from_secs(7);
/// How often keys that other processes made are looked for.
const KEYS_EVERY: Duration = Duration::from_mins(1);
/// After how many of those looks ended sessions are deleted and old keys replaced.
const LOOKS_PER_UPKEEP: u32 = 60;

/// How long the databases may take to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

pub(super) async fn serve(settings: Settings) -> Result<ExitCode, Failure> {
    let secrets = secrets::by_tenant(settings.secrets.as_deref())?;
    let signals = Signals::watch()?;
    let at_once = signals.again.clone();
    tokio::select! {
        done = serve_until(settings, secrets, signals.first) => done,
        () = at_once.cancelled() => Err(Failure::work(
            "stopped at once by a second signal; what was under way is done again at the next start",
        )),
    }
}

async fn serve_until(
    settings: Settings,
    secrets: Secrets,
    stop: CancellationToken,
) -> Result<ExitCode, Failure> {
    let listeners = Listeners::bind(&settings).await?;
    let folder = DataFolder::open(&settings.data)?;
    let store = wiring::store(&settings, &folder).await?;
    let control = wiring::control(&settings, &folder).await?;
    let keys = wiring::keys(&settings, &folder, &control).await?;
    let identity = wiring::identity(control, &keys)?;
    let engine = wiring::engine(&settings, &folder, Arc::clone(&store), secrets).await?;
    let routines = Routines::new();
    drop(routines.spawn(
        "maintain",
        maintain(identity.clone(), routines.stopping().clone()),
    ));
    let demo = Demo::new(
        engine.handle(),
        routines.clone(),
        folder.file("demo-tenants"),
    );
    if settings.demo {
        demo.start(&identity).await?;
    }
    let services = Services {
        engine: engine.handle(),
        identity: identity.clone(),
        options: wiring::http_options(&settings, keys),
        metrics: wiring::metrics(engine.handle()),
        on_sign_up: settings.demo.then(|| demo.on_sign_up()),
    };
    listeners.announce()?;
    let clock = SystemClock;
    let deadline = async {
        stop.cancelled().await;
        clock.now() + STOP_WITHIN
    };
    let served = listeners.serve(services, stop.clone(), &routines);
    let (deadline, ()) = tokio::join!(deadline, served);
    let left = Duration::try_from(deadline.duration_since(clock.now())).unwrap_or_default();
    engine.stop(left).await?;
    let (_, (), closed) = tokio::join!(
        routines.stop(CLOSE_WITHIN),
        identity.close(CLOSE_WITHIN),
        tokio::time::timeout(CLOSE_WITHIN, store.close()),
    );
    if closed.is_err() {
        tracing::warn!("the database was still in use when the process ended");
    }
    Ok(ExitCode::SUCCESS)
}

/// The addresses that this process listens on.
struct Listeners {
    /// For everybody; a process that only works has none.
    public: Option<Server>,
    /// For operators.
    admin: Option<Server>,
}

impl Listeners {
    /// Takes the addresses first: one that is taken already ends the process before it
    /// has begun any work.
    async fn bind(settings: &Settings) -> Result<Self, Failure> {
        let public = if settings.answers {
            Some(bind(settings.listen, "--listen").await?)
        } else {
            None
        };
        let admin = match settings.admin_listen {
            Some(address) => Some(bind(address, "--admin-listen").await?),
            None => None,
        };
        Ok(Self { public, admin })
    }

    /// Says that the process is ready: a line of JSON for programs, and one for people.
    #[expect(clippy::print_stderr, reason = "the address, for people on a terminal")]
    fn announce(&self) -> Result<(), Failure> {
        let url = |server: &Server| format!("http://{}", server.local_addr());
        let mut line = Map::new();
        let event = match &self.public {
            Some(_) => "listening",
            None => "working",
        };
        line.insert("event".to_owned(), event.into());
        let named = [("url", &self.public), ("admin_url", &self.admin)];
        for (name, server) in named {
            if let Some(server) = server {
                line.insert(name.to_owned(), url(server).into());
            }
        }
        print(&Value::Object(line).to_string())?;
        if let Some(server) = &self.public
            && std::io::stderr().is_terminal()
        {
            eprintln!("\n  Auterity is ready: {}\n", url(server));
        }
        Ok(())
    }

    /// Serves until the stop is asked for and what is under way has ended. Operators
    /// are answered to the end of that.
    async fn serve(self, services: Services, stop: CancellationToken, routines: &Routines) {
        if let Some(admin) = self.admin {
            let endpoint = auterity_http::mount_admin(services.clone(), stop.clone());
            let over = routines.stopping().clone();
            drop(routines.spawn("admin listener", admin.run(endpoint, over)));
        }
        match self.public {
            Some(server) => {
                let endpoint = auterity_http::mount(services, assets::endpoint());
                server.run(endpoint, stop).await;
            }
            None => stop.cancelled().await,
        }
    }
}

async fn bind(address: SocketAddr, flag: &str) -> Result<Server, Failure> {
    let options = ServeOptions {
        drain_seconds_max: ANSWER_WITHIN_S,
        ..ServeOptions::default()
    };
    let bound = Server::bind(address, options).await;
    bound.map_err(|error| {
        Failure::work(format!(
            "cannot listen on {address}: {error}; choose another address with {flag}"
        ))
    })
}

/// What SIGTERM and SIGINT ask for.
struct Signals {
    /// Fires at the first: stop in order.
    first: CancellationToken,
    /// Fires at the second: stop at once.
    again: CancellationToken,
}

impl Signals {
    fn watch() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let (first, again) = (CancellationToken::new(), CancellationToken::new());
        let fired = [first.clone(), again.clone()];
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        drop(Routines::new().spawn("signals", async move {
            for token in fired {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                tracing::info!("stopping");
                token.cancel();
            }
        }));
        Ok(Self { first, again })
    }
}

async fn maintain(identity: Identity, stop: CancellationToken) {
    let clock = SystemClock;
    for look in 1_u32.. {
        tokio::select! {
            () = clock.sleep_until(clock.now() + KEYS_EVERY) => {}
            () = stop.cancelled() => return,
        }
        let done = if look.is_multiple_of(LOOKS_PER_UPKEEP) {
            identity.maintain().await.map(drop)
        } else {
            identity.reload_keys().await
        };
        if let Err(error) = done {
            tracing::warn!(error = %error, "sessions and keys were not looked after");
        }
    }
}
