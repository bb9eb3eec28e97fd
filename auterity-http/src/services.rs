//! What the host hands in, and how far a request may go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use auterity_core::Routines;
use auterity_core::engine::Handle;
use auterity_tenancy::Identity;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::page::Cursors;

/// Limits and settings of the HTTP layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Bytes of a JSON body.
    pub body_bytes_max: usize,
    /// Bytes of a definition.
    pub definition_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a handler may take, besides the wait that a client asks for.
    pub handler_timeout: Duration,
    /// The longest `wait=` of a start.
    pub wait_max: Duration,
    /// The time between two signs of life on a quiet event stream.
    pub heartbeat: Duration,
    /// Event streams open at the same time.
    pub streams_max: usize,
    /// Whether browsers reach the server by HTTPS: session cookies then carry the
    /// `__Host-` prefix and `Secure`, and answers ask for HTTPS from then on.
    pub https: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            definition_bytes_max: 1 << 20,
            body_timeout: Duration::from_secs(30),
            handler_timeout: Duration::from_secs(30),
            wait_max: Duration::from_mins(1),
            heartbeat: Duration::from_secs(15),
            streams_max: 2_048,
            https: false,
        }
    }
}

/// Tells everybody that the server is going down. Clones share the word.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    started: Arc<AtomicBool>,
    token: CancellationToken,
}

impl Drain {
    /// Makes one that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins: readiness goes off, intake stops, event streams say goodbye.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Tells whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Gives the token that fires when it begins.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    pub(crate) fn mark_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    pub(crate) fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }
}

/// What the resources stand on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Services {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    engine: Handle,
    identity: Identity,
    cursors: Cursors,
    drain: Drain,
    routines: Routines,
    streams: Arc<Semaphore>,
}

impl Services {
    /// Puts the services together. The key authenticates page cursors: processes
    /// behind one address need the same one.
    #[must_use]
    pub fn new(options: Options, engine: Handle, identity: Identity, cursor_key: &[u8]) -> Self {
        let streams = Arc::new(Semaphore::new(options.streams_max));
        Self {
            inner: Arc::new(Inner {
                options,
                engine,
                identity,
                cursors: Cursors::new(cursor_key),
                drain: Drain::new(),
                routines: Routines::new(),
                streams,
            }),
        }
    }

    /// Gives the word that the server goes down.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        &self.inner.drain
    }

    /// Waits for work that clients did not wait for.
    pub async fn stop(&self, within: Duration) -> bool {
        self.inner.routines.stop(within).await
    }

    pub(crate) fn options(&self) -> &Options {
        &self.inner.options
    }

    pub(crate) fn engine(&self) -> &Handle {
        &self.inner.engine
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.inner.identity
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
