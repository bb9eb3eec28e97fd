//! `http`: calls an HTTP endpoint, as the Serverless Workflow DSL describes it.
//!
//! Where the standard leaves room:
//! - `redirect`: the schema says only that it tells whether statuses from 300 to 399
//!   "should be treated as errors"; the reference text says that such a status is an
//!   error while `redirect` is `false`, the default, and none when it is `true`. So
//!   without it nothing is followed, and with it redirections are followed, each
//!   checked like the endpoint itself, and what cannot be followed is the answer.
//! - URI templates know `{name}` with the task input's properties (RFC 6570, level 1).
//! - A body that is a text goes as it is, anything else as JSON, or as a form where
//!   `Content-Type` says `application/x-www-form-urlencoded`.
//! - `content` gives data for JSON, text for text, `null` for an empty body and base64
//!   for other bytes.
//! - `response` hides request headers that by their names hold credentials. The
//!   address is shown whole: secrets belong into headers.
//! - A token for `oauth2` or `oidc` is kept for its tenant and policy until shortly
//!   before it ends. When the endpoint refuses it, one new token is tried.
//! - Every status outside the allowed ones is a communication error with that status,
//!   401 and 403 included.

mod authentication;
mod digest;
mod exchange;
mod guard;
pub(super) mod request;
pub(super) mod response;
pub(super) mod template;
mod token;
mod tokens;

use std::fmt;
#[cfg(feature = "asyncapi-nats")]
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use reqwest::Client;
use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
#[cfg(feature = "grpc")]
use tokio::net::TcpStream;
use url::Url;

#[cfg(feature = "grpc")]
use self::authentication::{Authentication, Later};
use self::exchange::Answer;
pub(super) use self::exchange::{Opened, chunk, read as read_answer};
use self::guard::Guard;
use self::request::{Call, Caller, endpoint, parse};
use self::tokens::Tokens;
use super::{Function, Invocation};
#[cfg(feature = "grpc")]
use crate::TenantId;
use crate::interpreter::{Problem, ProblemKind};
use crate::{Error, ErrorKind};

/// What calls may reach and take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOptions {
    /// Whether private and loopback addresses may be called, for tests, development and
    /// hosts whose definitions are all trusted. Link-local addresses, where clouds keep
    /// their metadata services, multicast and reserved ones are refused all the same.
    pub private_addresses: bool,
    /// The ports that may be called; empty: all but those of other protocols.
    pub ports: Vec<u16>,
    /// The time for a whole call, redirections and body included.
    pub time_max: SignedDuration,
    /// The time to connect.
    pub connect_time_max: SignedDuration,
    /// The largest body of a request, in bytes.
    pub request_bytes_max: usize,
    /// The largest body of an answer, in bytes.
    pub response_bytes_max: usize,
    /// The largest headers of a request or an answer, all together, in bytes.
    pub header_bytes_max: usize,
    /// How many redirections one call follows.
    pub redirects_max: u32,
    /// How many unused connections are kept for each server.
    pub idle_connections_max: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            private_addresses: false,
            ports: Vec::new(),
            time_max: SignedDuration::from_secs(60),
            connect_time_max: SignedDuration::from_secs(10),
            request_bytes_max: 4 << 20,
            response_bytes_max: 4 << 20,
            header_bytes_max: 64 << 10,
            redirects_max: 10,
            idle_connections_max: 8,
        }
    }
}

impl HttpOptions {
    /// Checks that the options make sense together.
    ///
    /// # Errors
    /// Gives an error of kind [`Invalid`](ErrorKind::Invalid) that names the option.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |message: &str| Err(Error::new(ErrorKind::Invalid, message));
        if !self.time_max.is_positive() || !self.connect_time_max.is_positive() {
            return wrong("time_max and connect_time_max of http calls must be positive");
        }
        if self.response_bytes_max == 0 || self.request_bytes_max == 0 || self.header_bytes_max == 0
        {
            return wrong("the byte limits of http calls must be positive");
        }
        Ok(())
    }
}

/// Calls HTTP endpoints.
pub struct Http {
    options: HttpOptions,
    guard: Guard,
    tokens: Tokens,
    /// Made by the first call: reading the machine's root certificates takes a while.
    client: OnceLock<Client>,
}

impl Http {
    /// Makes the function.
    #[must_use]
    pub fn new(options: HttpOptions) -> Self {
        let guard = Guard::new(options.private_addresses, options.ports.clone());
        Self {
            options,
            guard,
            tokens: Tokens::default(),
            client: OnceLock::new(),
        }
    }

    pub(super) fn options(&self) -> &HttpOptions {
        &self.options
    }

    /// Sends a call and reads the answer, in whatever time it takes.
    pub(super) async fn exchange(&self, call: Call) -> Result<Answer, Problem> {
        exchange::exchange(self, call).await
    }

    /// Sends a call; its answer is read by the caller, whatever its status.
    pub(super) async fn open(&self, call: Call) -> Result<Opened, Problem> {
        exchange::open(self, call).await
    }

    /// Gives the `Authorization` header of a policy, for protocols other than HTTP.
    #[cfg(feature = "grpc")]
    pub(super) async fn authorization(
        &self,
        policy: &Value,
        tenant: TenantId,
    ) -> Result<HeaderValue, Problem> {
        match authentication::read(policy, tenant)? {
            Authentication::Header(header) => Ok(header),
            Authentication::Later(Later::Token(request)) => {
                let token = exchange::token(self, &request).await?;
                Ok(token.header.clone())
            }
            Authentication::Later(Later::Digest(_)) => {
                let detail = "digest authentication is one of HTTP only";
                Err(Problem::new(ProblemKind::Configuration, detail))
            }
        }
    }

    /// Gives the addresses of a server that may be called.
    #[cfg(feature = "asyncapi-nats")]
    pub(super) async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, Problem> {
        exchange::addresses(self, url).await
    }

    /// Connects to a server that may be called.
    #[cfg(feature = "grpc")]
    pub(super) async fn connect(&self, url: &Url) -> Result<TcpStream, Problem> {
        exchange::connect(self, url).await
    }

    /// Fetches an external resource (`endpoint`, perhaps with `name`), redirections
    /// followed; gives where it was found and what it is.
    pub(super) async fn resource(
        &self,
        resource: &Value,
        invocation: &Invocation,
        accept: &str,
    ) -> Result<(Url, Vec<u8>), Problem> {
        let Value::Object(resource) = resource else {
            let detail = "a resource must be an object with 'endpoint'";
            return Err(Problem::new(ProblemKind::Configuration, detail));
        };
        let (uri, policy) = endpoint(resource)?;
        let url = parse(&template::expand(uri, &invocation.input)?)?;
        self.fetch((url, policy), invocation, accept).await
    }

    /// Fetches a document.
    pub(super) async fn fetch(
        &self,
        from: (Url, Option<&Value>),
        invocation: &Invocation,
        accept: &str,
    ) -> Result<(Url, Vec<u8>), Problem> {
        let arguments = json!({
            "method": "get",
            "headers": {"accept": accept},
            "redirect": true,
        });
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        let call = Call::to(from, &arguments, Caller::reading(invocation), &self.options)?;
        let answer = self.exchange(call).await?;
        Ok((answer.sent.url, answer.body))
    }

    /// Ends work that takes longer than a whole call may.
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let time_max = self.options.time_max;
        tokio::time::timeout(time_max.unsigned_abs(), work)
            .await
            .map_err(|_| {
                let detail = format!("the call took longer than {time_max:#}");
                Problem::new(ProblemKind::Timeout, detail)
            })?
    }

    fn client(&self) -> Result<&Client, Problem> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // No proxy from the environment: it would resolve names itself, unguarded.
        let built = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .dns_resolver(Arc::new(self.guard.clone()))
            .connect_timeout(self.options.connect_time_max.unsigned_abs())
            .pool_max_idle_per_host(self.options.idle_connections_max)
            .pool_idle_timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| {
                tracing::error!(error = &error as &dyn std::error::Error, "no http client");
                let detail = "this host cannot make HTTP calls; has it root certificates?";
                Problem::new(ProblemKind::Configuration, detail)
            })?;
        Ok(self.client.get_or_init(|| built))
    }
}

/// Tells whether a content type is of this kind, whatever its parameters.
pub(super) fn has_media(kind: Option<&HeaderValue>, media: &str) -> bool {
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(media)
}

impl Default for Http {
    fn default() -> Self {
        Self::new(HttpOptions::default())
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Http")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Function for Http {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        let call = Call::read(&invocation, &self.options)?;
        let output = call.output;
        let answer = self.in_time(self.exchange(call)).await?;
        response::output(answer, output)
    }
}
