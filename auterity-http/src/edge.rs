//! What surrounds every request: its id, the host check, the time limit, panics,
//! errors as problems, headers and the access log.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auterity_core::clock::{Entropy as _, SystemEntropy};
use futures_util::FutureExt as _;
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Endpoint, IntoResponse as _, Request, Response};

use crate::api::{Address, Addresses};
use crate::error::{Code, Problem};
use crate::security;
use crate::serve::Drain;
use crate::services::Context;

/// Names one request in answers and logs.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    fn generate() -> Self {
        let mut bytes = [0; 12];
        SystemEntropy.fill(&mut bytes);
        let mut text = String::from("req_");
        for byte in bytes {
            for half in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
            }
        }
        Self(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Gives what the edge put into the request.
pub(crate) fn context(request: &Request) -> Result<Context, Problem> {
    let context = request.data::<Context>().cloned();
    context.ok_or_else(|| Problem::internal("an endpoint was mounted without the edge"))
}

/// Gives the id that the edge gave to the request.
pub(crate) fn request_id(request: &Request) -> Result<RequestId, Problem> {
    let id = request.data::<RequestId>().cloned();
    id.ok_or_else(|| Problem::internal("an endpoint was mounted without the edge"))
}

/// Tells whether and when the server goes down; never, where no server runs.
pub(crate) fn drain(request: &Request) -> Drain {
    request.data::<Drain>().cloned().unwrap_or_default()
}

/// The methods of the host's own pages.
const READ_ONLY: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// The outermost endpoint.
pub(crate) struct Edge<E> {
    inner: E,
    addresses: Addresses,
    context: Context,
}

impl<E: Endpoint> Edge<E> {
    pub(crate) fn new(context: Context, addresses: Addresses, inner: E) -> Self {
        Self {
            inner,
            addresses,
            context,
        }
    }

    /// The time within which an answer must begin. A client that waits for an
    /// execution's end gets the longest wait on top.
    fn time_limit(&self, asked: &[(String, String)]) -> Duration {
        let options = self.context.options();
        let waits = asked.iter().any(|(name, _)| name == "wait");
        let extra = if waits {
            options.wait_max()
        } else {
            Duration::ZERO
        };
        options.handler_timeout() + extra
    }

    async fn answer(
        &self,
        request: Request,
        address: Option<&Address>,
    ) -> Result<Response, Problem> {
        check_host(&request)?;
        check_address(&request)?;
        let asked = match request.uri().query() {
            Some(_) => request.params::<Vec<(String, String)>>(),
            None => Ok(Vec::new()),
        };
        let asked = asked.map_err(|error| Problem::from_framework(error.into()))?;
        if let Some(address) = address {
            address.check_query(request.method(), &asked)?;
        }
        let limit = self.time_limit(&asked);
        let work = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        match tokio::time::timeout(limit, work).await {
            Ok(Ok(Ok(output))) => Ok(output.into_response()),
            Ok(Ok(Err(error))) => Err(Problem::from_framework(error)),
            Ok(Err(panic)) => Err(Problem::internal(describe_panic(&*panic))),
            Err(_elapsed) => Err(Problem::new(
                Code::Timeout,
                "the answer was not ready in time; what was begun may still be done",
            )),
        }
    }
}

impl<E: Endpoint> Endpoint for Edge<E> {
    type Output = Response;

    #[expect(
        clippy::disallowed_methods,
        reason = "the duration in the access log is no part of any decision"
    )]
    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let begin = Instant::now();
        let id = RequestId::generate();
        let path = request.uri().path().to_owned();
        let method = request.method().clone();
        let drain = drain(&request);
        let address = self.addresses.find(&path);
        let counted = self.context.metrics().http().begin();
        request.set_data(id.clone());
        request.set_data(self.context.clone());
        let mut response = match self.answer(request, address).await {
            Ok(response) => response,
            Err(problem) => problem.render(id.as_str(), &path),
        };
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            let methods = address.map_or(READ_ONLY, |address| address.methods.clone());
            response
                .headers_mut()
                .entry(header::ALLOW)
                .or_insert(methods);
        }
        if let Ok(value) = HeaderValue::from_str(id.as_str()) {
            response.headers_mut().insert("x-request-id", value);
        }
        security::add_headers(&mut response, self.context.options().https());
        if drain.has_begun() {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let route = address.map(|address| address.template.as_str());
        let took = begin.elapsed();
        counted.end(&method, route, response.status(), took);
        // The query may hold what a log must not: only the path is written.
        tracing::info!(
            target: "auterity::access",
            request_id = id.as_str(),
            %method,
            path,
            status = response.status().as_u16(),
            duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        );
        Ok(response)
    }
}

/// Refuses a request that does not say exactly once which host it means (RFC 9112, 3.2).
fn check_host(request: &Request) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if !host.is_empty() => Ok(()),
        _ => Err(Problem::new(
            Code::InvalidHost,
            "a request must have exactly one Host header",
        )),
    }
}

/// Refuses the null character, which no name and no search text holds and no database
/// takes; it can come in encoded only.
fn check_address(request: &Request) -> Result<(), Problem> {
    let holds_null = |text: &str| text.contains("%00");
    let uri = request.uri();
    if holds_null(uri.path()) || uri.query().is_some_and(holds_null) {
        return Err(Problem::new(
            Code::InvalidParameter,
            "the address holds a null character",
        ));
    }
    Ok(())
}

fn describe_panic(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a handler panicked: {}", text.unwrap_or_default())
}
