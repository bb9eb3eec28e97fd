//! `auterity serve`: the product.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use auterity_core::Routines;
use auterity_core::clock::{Clock, SystemClock};
use auterity_http::{ServeOptions, Server, Services};
use auterity_tenancy::Identity;
use tokio_util::sync::CancellationToken;

use super::print;
use crate::config::Settings;
use crate::demo::Demo;
use crate::failure::Failure;
use crate::{assets, wiring};

/// How long requests and effects under way may take when the server is asked to stop.
const STOP_WITHIN: Duration = Duration::from_secs(8);
/// How often ended sessions are deleted.
const MAINTAIN_EVERY: Duration = Duration::from_hours(1);

pub(super) async fn serve(settings: Settings) -> Result<ExitCode, Failure> {
    let stop = stop_signal()?;
    let folder = wiring::DataFolder::open(&settings.data)?;
    let store = wiring::store(&settings, &folder).await?;
    let identity = wiring::identity(&settings, &folder).await?;
    let engine = wiring::engine(&settings, &folder, store).await?;
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
    if settings.answers {
        let seeded = settings.demo.then(|| demo.on_sign_up());
        let services = Services {
            engine: engine.handle(),
            identity,
            options: wiring::http_options(&settings, &folder)?,
            on_sign_up: seeded,
        };
        let endpoint = auterity_http::mount(services, assets::endpoint());
        let server = Server::bind(settings.listen, ServeOptions::default())
            .await
            .map_err(|error| {
                Failure::work(format!("cannot listen on {}: {error}", settings.listen))
            })?;
        announce(&server)?;
        server.run(endpoint, stop.clone()).await;
    } else {
        print(&serde_json::json!({ "event": "working" }).to_string())?;
        stop.cancelled().await;
    }
    engine.stop(STOP_WITHIN).await?;
    routines.stop(Duration::from_secs(1)).await;
    Ok(ExitCode::SUCCESS)
}

/// Says that the server is ready: a line of JSON for programs, and one for people.
#[expect(clippy::print_stderr, reason = "the address, for people on a terminal")]
fn announce(server: &Server) -> Result<(), Failure> {
    let url = format!("http://{}", server.local_addr());
    print(&serde_json::json!({ "event": "listening", "url": url }).to_string())?;
    if std::io::stderr().is_terminal() {
        eprintln!("\n  Auterity is ready: {url}\n");
    }
    Ok(())
}

/// Fires at SIGTERM and SIGINT.
fn stop_signal() -> Result<CancellationToken, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let token = CancellationToken::new();
    let fired = token.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    drop(Routines::new().spawn("signals", async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        fired.cancel();
    }));
    Ok(token)
}

async fn maintain(identity: Identity, stop: CancellationToken) {
    let clock = Arc::new(SystemClock);
    loop {
        tokio::select! {
            () = clock.sleep_until(clock.now() + MAINTAIN_EVERY) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = identity.maintain().await {
            tracing::warn!(error = %error, "ended sessions were not deleted");
        }
    }
}
