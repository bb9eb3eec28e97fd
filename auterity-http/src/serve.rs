//! The accept loop: connections, their limits, and the way down.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auterity_core::Routines;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, EndpointExt as _, Request, Response};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The pause after an accept that failed for want of something, such as descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// How long connections that were cut may take to notice.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);

/// Limits of connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeOptions {
    /// How long a request's head may take to arrive, in milliseconds; also how long a
    /// connection may be idle between two requests.
    pub header_ms_max: u64,
    /// Header fields of a request.
    pub headers_max: usize,
    /// Bytes of a connection's read buffer, which a request's head must fit into.
    pub buffer_bytes_max: usize,
    /// Connections open at the same time; more wait in the system's queue.
    pub connections_max: usize,
    /// How long readiness is off before intake stops, so that balancers notice, in
    /// seconds.
    pub readiness_seconds: u64,
    /// How long requests under way may take when the server goes down, in seconds.
    pub drain_seconds_max: u64,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            header_ms_max: 10_000,
            headers_max: 64,
            buffer_bytes_max: 64 * 1024,
            connections_max: 10_000,
            readiness_seconds: 0,
            drain_seconds_max: 10,
        }
    }
}

/// Tells the parts of a server that it goes down. Clones share the word.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drain {
    token: CancellationToken,
}

impl From<CancellationToken> for Drain {
    fn from(token: CancellationToken) -> Self {
        Self { token }
    }
}

impl Drain {
    pub(crate) fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }
}

/// A listener with the limits of its connections.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local: SocketAddr,
    options: ServeOptions,
}

impl Server {
    /// Takes an address; port 0 takes any free port.
    ///
    /// # Errors
    /// What the system says when the address cannot be taken.
    pub async fn bind(address: SocketAddr, options: ServeOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        Ok(Self {
            listener,
            local,
            options,
        })
    }

    /// Gives the address that was taken.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves the endpoint until the shutdown fires, and then until the requests under
    /// way are answered or the time for that is over: readiness goes off, event
    /// streams say goodbye, intake stops, connections close after their answer.
    ///
    /// # Cancel safety
    /// Dropping the future stops intake; open connections go on without a limit.
    pub async fn run<E>(self, endpoint: E, shutdown: CancellationToken)
    where
        E: Endpoint + 'static,
    {
        let endpoint = Arc::new(endpoint.map_to_response());
        let places = Arc::new(Semaphore::new(self.options.connections_max));
        let connections = Routines::new();
        let cut = CancellationToken::new();
        let stop = async {
            shutdown.cancelled().await;
            tokio::time::sleep(Duration::from_secs(self.options.readiness_seconds)).await;
        };
        tokio::pin!(stop);
        loop {
            let next = tokio::select! {
                () = &mut stop => break,
                next = accept(&self.listener, &places) => next,
            };
            let Some((stream, remote, place)) = next else {
                continue;
            };
            let connection = Connection {
                local: self.local,
                remote,
                drain: Drain::from(shutdown.clone()),
                closing: connections.stopping().clone(),
                cut: cut.clone(),
                _place: place,
            };
            let work = connection.serve(stream, Arc::clone(&endpoint), self.options.clone());
            drop(connections.spawn("connection", work));
        }
        drop(self.listener);
        let within = Duration::from_secs(self.options.drain_seconds_max);
        if !connections.stop(within).await {
            tracing::warn!("connections were cut at the end of the drain time");
            cut.cancel();
            connections.stop(CUT_TIMEOUT).await;
        }
    }
}

/// Takes the next connection once there is a place for it; nothing after an error.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, remote)) => {
            // Small answers and events must not wait for the acknowledgement of
            // the last packet.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection keeps its send delay");
            }
            Some((stream, remote, place))
        }
        Err(error) if is_of_the_connection(&error) => None,
        Err(error) => {
            tracing::error!(%error, "connections cannot be accepted; trying again in a second");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Tells whether the error concerns one connection only, so that the next is fine.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

struct Connection {
    local: SocketAddr,
    remote: SocketAddr,
    drain: Drain,
    /// Fires when no further request is taken.
    closing: CancellationToken,
    /// Fires when the time is over.
    cut: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve<E>(self, stream: TcpStream, endpoint: Arc<E>, options: ServeOptions)
    where
        E: Endpoint<Output = Response> + 'static,
    {
        let (local, remote, drain) = (self.local, self.remote, self.drain);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (endpoint, drain) = (Arc::clone(&endpoint), drain.clone());
            async move {
                let local = LocalAddr(local.into());
                let remote = RemoteAddr(remote.into());
                let mut request = Request::from((request, local, remote, Scheme::HTTP));
                request.set_data(drain);
                let response = endpoint.get_response(request).await;
                Ok::<_, Infallible>(hyper::Response::from(response))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(options.header_ms_max))
            .max_headers(options.headers_max)
            .max_buf_size(options.buffer_bytes_max)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.closing.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = self.cut.cancelled() => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, remote = %self.remote, "a connection broke");
        }
    }
}
