//! The way to a service: one connection, to an address that was checked.

use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use prost_reflect::DynamicMessage;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_stream::Stream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status, Streaming};
use url::{Position, Url};

use super::codec::Messages;
use super::wrong;
use crate::functions::http::Http;
use crate::interpreter::{Problem, ProblemKind};

/// How much of a server's own words a problem repeats.
const MESSAGE_CHARS_MAX: usize = 500;

/// A connected service.
pub(super) struct Service {
    client: tonic::client::Grpc<Channel>,
}

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Service {
    /// Connects to an `http` (plain text) or `https` address.
    pub(super) async fn connect(http: &Http, url: &Url) -> Result<Self, Problem> {
        let stream = http.connect(url).await?;
        let connection: Box<dyn Connection> =
            if url.scheme() == "https" {
                let host = url.host_str().unwrap_or_default().to_owned();
                let name = ServerName::try_from(host)
                    .map_err(|_| wrong("the host has no name for TLS"))?;
                let connected = tls()?.connect(name, stream).await;
                Box::new(connected.map_err(|_| {
                    unreachable("no secure connection to the service could be made")
                })?)
            } else {
                Box::new(stream)
            };
        let whole = &url[..Position::AfterPort];
        let plain = whole.replacen("https://", "http://", 1);
        let origin: Uri = whole
            .parse()
            .map_err(|_| wrong("the service's address is none"))?;
        let most = http.options().response_bytes_max;
        let endpoint = Endpoint::from_shared(plain)
            .map_err(|_| wrong("the service's address is none"))?
            .origin(origin);
        // The connection is there already; a second one is not made.
        let slot = Arc::new(Mutex::new(Some(connection)));
        let connector = tower::service_fn(move |_: Uri| {
            let taken = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            let connection = taken.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
            std::future::ready(connection.map(TokioIo::new))
        });
        let channel = endpoint.connect_with_connector(connector).await;
        let channel = channel.map_err(|_| unreachable("the service does not speak HTTP/2"))?;
        let client = tonic::client::Grpc::new(channel)
            .max_decoding_message_size(most)
            .max_encoding_message_size(http.options().request_bytes_max);
        Ok(Self { client })
    }

    /// Calls a method of any kind.
    pub(super) async fn call(
        &mut self,
        request: Request<impl Stream<Item = DynamicMessage> + Send + 'static>,
        path: &str,
        codec: Messages,
    ) -> Result<Streaming<DynamicMessage>, Problem> {
        let path = path
            .parse()
            .map_err(|_| wrong("the method's name is none"))?;
        let ready = self.client.ready().await;
        ready.map_err(|_| unreachable("the connection to the service broke"))?;
        let answer = self.client.streaming(request, path, codec).await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| refusal(&status))
    }
}

fn tls() -> Result<TlsConnector, Problem> {
    let mut roots = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // One that this library does not take is none to trust.
        let _refused = roots.add(certificate);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| wrong("this host cannot speak TLS"))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn unreachable(detail: &str) -> Problem {
    Problem::new(ProblemKind::Communication, detail).with_status(503)
}

/// Makes a problem of a call's status: codes of gRPC as those of HTTP.
pub(super) fn refusal(status: &Status) -> Problem {
    if status.source().is_some() {
        return unreachable("the connection to the service broke before it answered");
    }
    let code = match status.code() {
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::Aborted | Code::AlreadyExists => 409,
        Code::ResourceExhausted => 429,
        Code::Cancelled => 499,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        _ => 500,
    };
    let message: String = status.message().chars().take(MESSAGE_CHARS_MAX).collect();
    let detail = format!("the service answered {:?}: {message}", status.code());
    Problem::new(ProblemKind::Communication, detail).with_status(code)
}
