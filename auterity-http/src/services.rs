//! What the host hands in, and how far a request may go.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use auterity_core::clock::{Entropy as _, SystemEntropy};
use auterity_core::engine::Handle;
use auterity_core::{Routines, Scope};
use auterity_tenancy::{Identity, Secret};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::page::Cursors;
use crate::peer::Network;

/// What the resources stand on.
#[derive(Clone)]
pub struct Services {
    /// Definitions and executions.
    pub engine: Handle,
    /// Users, tenants and sessions.
    pub identity: Identity,
    /// Limits and settings.
    pub options: Options,
    /// What is counted and measured; each listener's requests go into the same.
    pub metrics: Metrics,
    /// Called with the new tenant's scope after each sign-up; must not block.
    pub on_sign_up: Option<Arc<dyn Fn(Scope) + Send + Sync>>,
}

impl fmt::Debug for Services {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Services")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Limits and settings of the HTTP layer.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The address that browsers use, such as `https://auterity.example`. With
    /// `https`, session cookies carry the `__Host-` prefix and `Secure`, and answers
    /// ask for HTTPS from then on.
    pub public_url: Option<String>,
    /// Proxies that may say in `X-Forwarded-For` who asked them; unless told otherwise,
    /// those on this machine. What anybody else says there is not believed.
    pub trusted_proxies: Vec<Network>,
    /// Authenticates page cursors. Processes behind one address need the same key;
    /// absent, each process makes its own and its cursors end with it.
    pub cursor_key: Option<Secret>,
    /// Bytes of a JSON body.
    pub body_bytes_max: usize,
    /// Bytes of a JSON body with many items.
    pub batch_bytes_max: usize,
    /// Bytes of a definition.
    pub definition_bytes_max: usize,
    /// How long a body may take to arrive, in seconds.
    pub body_seconds_max: u64,
    /// How long a handler may take besides the wait that a client asks for, in seconds.
    pub handler_seconds_max: u64,
    /// The longest `wait=` of a start, in seconds.
    pub wait_seconds_max: u64,
    /// The time between two signs of life on a quiet event stream, in seconds.
    pub heartbeat_seconds: u64,
    /// Event streams open at the same time.
    pub streams_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            public_url: None,
            trusted_proxies: Network::loopback(),
            cursor_key: None,
            body_bytes_max: 1 << 20,
            batch_bytes_max: 16 << 20,
            definition_bytes_max: 1 << 20,
            body_seconds_max: 30,
            handler_seconds_max: 30,
            wait_seconds_max: 60,
            heartbeat_seconds: 15,
            streams_max: 2_048,
        }
    }
}

impl Options {
    /// Tells whether browsers reach the server by HTTPS.
    pub(crate) fn https(&self) -> bool {
        let url = self.public_url.as_deref();
        url.is_some_and(|url| url.starts_with("https://"))
    }

    pub(crate) fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.body_seconds_max)
    }

    pub(crate) fn handler_timeout(&self) -> Duration {
        Duration::from_secs(self.handler_seconds_max)
    }

    pub(crate) fn wait_max(&self) -> Duration {
        Duration::from_secs(self.wait_seconds_max)
    }

    pub(crate) fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.heartbeat_seconds.max(1))
    }

    fn cursors(&self) -> Cursors {
        match &self.cursor_key {
            Some(key) => Cursors::new(key.expose().as_bytes()),
            None => {
                let mut key = [0; 32];
                SystemEntropy.fill(&mut key);
                Cursors::new(&key)
            }
        }
    }
}

/// The services as the resources share them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    services: Services,
    cursors: Cursors,
    routines: Routines,
    streams: Arc<Semaphore>,
}

impl Context {
    pub(crate) fn new(services: Services) -> Self {
        Self {
            inner: Arc::new(Inner {
                cursors: services.options.cursors(),
                routines: Routines::new(),
                streams: Arc::new(Semaphore::new(services.options.streams_max)),
                services,
            }),
        }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.inner.services.options
    }

    pub(crate) fn engine(&self) -> &Handle {
        &self.inner.services.engine
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.inner.services.identity
    }

    /// Tells the host about a new tenant.
    pub(crate) fn signed_up(&self, scope: Scope) {
        if let Some(call) = &self.inner.services.on_sign_up {
            call(scope);
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.services.metrics
    }

    pub(crate) fn cursors(&self) -> &Cursors {
        &self.inner.cursors
    }

    pub(crate) fn routines(&self) -> &Routines {
        &self.inner.routines
    }

    pub(crate) fn streams(&self) -> &Arc<Semaphore> {
        &self.inner.streams
    }
}
