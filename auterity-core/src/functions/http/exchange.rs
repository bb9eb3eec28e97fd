//! Sending a request and following its redirections.

use std::error::Error as StdError;
#[cfg(any(feature = "grpc", feature = "asyncapi-nats"))]
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
#[cfg(feature = "grpc")]
use tokio::net::TcpStream;
#[cfg(any(feature = "grpc", feature = "asyncapi-nats"))]
use url::Host;
use url::Url;

use super::authentication::Later;
use super::guard::Refusal;
use super::request::{Call, Outgoing, header_bytes, within};
use super::token::{Server, TokenRequest};
use super::tokens::Token;
use super::{Http, digest};
use crate::clock::{Clock, SystemClock};
use crate::interpreter::{Problem, ProblemKind};

/// The largest answer of an authorization server, in bytes.
const TOKEN_BYTES_MAX: usize = 256 << 10;

/// What another server may see of the headers that were meant for the first one.
const HARMLESS: [&str; 5] = [
    "accept",
    "accept-language",
    "content-type",
    "idempotency-key",
    "user-agent",
];

/// The last request of a call and what came back.
pub(in crate::functions) struct Answer {
    pub(in crate::functions) sent: Outgoing,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(in crate::functions) body: Vec<u8>,
}

/// What came back, its body not read yet.
pub(in crate::functions) struct Opened {
    pub(in crate::functions) sent: Outgoing,
    pub(in crate::functions) response: Response,
}

/// Sends the call's request, follows redirections if it says so, and reads the answer.
///
/// # Errors
/// Gives a problem when nothing may be sent, when no answer comes, when it is not a
/// success, and when it is larger than the limits.
pub(super) async fn exchange(http: &Http, call: Call) -> Result<Answer, Problem> {
    let redirect = call.redirect;
    let Opened { sent, response } = open(http, call).await?;
    let status = response.status();
    if !(status.is_success() || (redirect && status.is_redirection())) {
        return Err(failed(status, format!("the server answered {status}")));
    }
    let headers = response.headers().clone();
    let body = read(response, http.options.response_bytes_max).await?;
    Ok(Answer {
        sent,
        status,
        headers,
        body,
    })
}

/// Sends the call's request and follows redirections if it says so; whatever status
/// comes in the end is the caller's to judge.
pub(super) async fn open(http: &Http, call: Call) -> Result<Opened, Problem> {
    let mut sent = call.send;
    let home = sent.url.origin();
    let mut redirects = 0;
    let mut session = Session::begin(http, call.later, &mut sent.headers).await?;
    let response = loop {
        let response = send(http, &sent).await?;
        let is_home = sent.url.origin() == home;
        if response.status() == StatusCode::UNAUTHORIZED
            && is_home
            && session.answer(http, &mut sent, &response).await?
        {
            continue;
        }
        if !call.redirect {
            break response;
        }
        let Some(target) = target(&sent.url, &response)? else {
            break response;
        };
        if redirects == http.options.redirects_max {
            let detail = format!("the server redirected more than {redirects} times");
            return Err(failed(response.status(), detail));
        }
        redirects += 1;
        sent = next(sent, target, response.status())?;
        session.moved(&mut sent);
    };
    Ok(Opened { sent, response })
}

/// What a call does about credentials that are not known from the beginning.
struct Session {
    later: Option<Later>,
    token: Option<Arc<Token>>,
    answered: bool,
}

impl Session {
    async fn begin(
        http: &Http,
        later: Option<Later>,
        headers: &mut HeaderMap,
    ) -> Result<Self, Problem> {
        let token = match &later {
            Some(Later::Token(request)) => Some(token(http, request).await?),
            Some(Later::Digest(_)) | None => None,
        };
        if let Some(token) = &token {
            headers.insert(AUTHORIZATION, token.header.clone());
        }
        Ok(Self {
            later,
            token,
            answered: false,
        })
    }

    /// Answers a refusal, once; tells whether there is an answer to it.
    async fn answer(
        &mut self,
        http: &Http,
        sent: &mut Outgoing,
        response: &Response,
    ) -> Result<bool, Problem> {
        let Some(later) = self
            .later
            .as_ref()
            .filter(|_| !std::mem::replace(&mut self.answered, true))
        else {
            return Ok(false);
        };
        let header = match later {
            Later::Digest(credentials) => digest::answer(
                credentials,
                sent.method.as_str(),
                &sent.url,
                response.headers(),
            ),
            Later::Token(request) => {
                if let Some(refused) = &self.token {
                    http.tokens.forget(request.key, refused);
                }
                let renewed = token(http, request).await?;
                let header = renewed.header.clone();
                self.token = Some(renewed);
                Some(header)
            }
        };
        let Some(header) = header else {
            return Ok(false);
        };
        sent.headers.insert(AUTHORIZATION, header);
        Ok(true)
    }

    /// Takes back what was for one address only.
    fn moved(&mut self, sent: &mut Outgoing) {
        if matches!(self.later, Some(Later::Digest(_))) {
            sent.headers.remove(AUTHORIZATION);
            self.answered = false;
        }
    }
}

/// Gives the token that a policy asks for, out of the cache or from its server.
pub(super) async fn token(http: &Http, request: &TokenRequest) -> Result<Arc<Token>, Problem> {
    let fetch = |refresh: Option<String>| async move {
        let url = match &request.server {
            Server::Known(url) => url.clone(),
            Server::Discovered { document, .. } => {
                let sent = Outgoing {
                    method: Method::GET,
                    url: document.clone(),
                    headers: HeaderMap::new(),
                    body: None,
                };
                let answer = ask(http, &sent).await?;
                request.discovered(document, &answer)?
            }
        };
        let sent = request.request(url, refresh.as_deref(), SystemClock.now())?;
        let answer = ask(http, &sent).await?;
        request.token(&answer, SystemClock.now())
    };
    http.tokens
        .get(request.key, SystemClock.now(), fetch)
        .await
        .map_err(|mut problem| {
            let detail = problem.detail.take().unwrap_or_default();
            problem.detail = Some(format!("no token for the endpoint was got: {detail}"));
            problem
        })
}

/// Asks an authorization server.
async fn ask(http: &Http, sent: &Outgoing) -> Result<Vec<u8>, Problem> {
    let response = send(http, sent).await?;
    let status = response.status();
    let body = read(
        response,
        TOKEN_BYTES_MAX.min(http.options.response_bytes_max),
    )
    .await?;
    if status.is_success() {
        return Ok(body);
    }
    let code = error_code(&body);
    let detail = format!("the authorization server answered {status}{code}");
    Err(match status.as_u16() {
        400 | 401 | 403 => Problem::new(ProblemKind::Authentication, detail),
        _ => failed(status, detail),
    })
}

/// Gives the error's code as RFC 6749 has it, and none of the server's other words.
fn error_code(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = body.get("error").and_then(Value::as_str);
    let is_word = |code: &&str| {
        code.len() <= 64
            && code
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    code.filter(is_word)
        .map_or_else(String::new, |code| format!(" ({code})"))
}

/// Sends one request to an address that may be called.
async fn send(http: &Http, send: &Outgoing) -> Result<Response, Problem> {
    http.guard.check(&send.url).map_err(refused)?;
    let mut request = http
        .client()?
        .request(send.method.clone(), send.url.clone())
        .headers(send.headers.clone());
    if let Some(body) = &send.body {
        request = request.body(body.clone());
    }
    let response = request.send().await.map_err(|error| broken(&error))?;
    within(
        "headers of the answer",
        header_bytes(response.headers()),
        http.options.header_bytes_max,
    )?;
    Ok(response)
}

/// Gives the addresses of a server that may be called.
#[cfg(any(feature = "grpc", feature = "asyncapi-nats"))]
pub(super) async fn addresses(http: &Http, url: &Url) -> Result<Vec<SocketAddr>, Problem> {
    http.guard.check(url).map_err(refused)?;
    let port = url.port_or_known_default().unwrap_or_default();
    let found = match url.host() {
        Some(Host::Ipv4(address)) => vec![SocketAddr::from((address, port))],
        Some(Host::Ipv6(address)) => vec![SocketAddr::from((address, port))],
        Some(Host::Domain(name)) => match tokio::net::lookup_host((name, port)).await {
            Ok(found) => found.collect(),
            Err(_) => Vec::new(),
        },
        None => Vec::new(),
    };
    if found.is_empty() {
        let detail = "the endpoint's name cannot be resolved";
        return Err(failed(StatusCode::SERVICE_UNAVAILABLE, detail));
    }
    http.guard.keep(found.into_iter()).map_err(refused)
}

/// Connects to one of the addresses of a server that may be called.
#[cfg(feature = "grpc")]
pub(super) async fn connect(http: &Http, url: &Url) -> Result<TcpStream, Problem> {
    let addresses = addresses(http, url).await?;
    let time_max = http.options.connect_time_max.unsigned_abs();
    let connecting = TcpStream::connect(&*addresses);
    match tokio::time::timeout(time_max, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(_)) | Err(_) => {
            let detail = "no connection to the endpoint could be made";
            Err(failed(StatusCode::SERVICE_UNAVAILABLE, detail))
        }
    }
}

/// Reads the next part of a body; none at its end.
pub(in crate::functions) async fn chunk(
    response: &mut Response,
) -> Result<Option<Vec<u8>>, Problem> {
    let chunk = response.chunk().await.map_err(|error| broken(&error))?;
    Ok(chunk.map(|chunk| chunk.to_vec()))
}

/// Reads the body up to its limit; what a server announces is not believed.
pub(in crate::functions) async fn read(
    mut response: Response,
    bytes_max: usize,
) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        within("answer", body.len() + chunk.len(), bytes_max)?;
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Finds where a redirection leads; none when the answer is to be taken as it is.
fn target(from: &Url, response: &Response) -> Result<Option<Url>, Problem> {
    let status = response.status();
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else {
        return Ok(None);
    };
    let target = location
        .to_str()
        .ok()
        .and_then(|location| from.join(location).ok());
    match target {
        Some(mut target) => {
            target.set_fragment(None);
            Ok(Some(target))
        }
        None => Err(failed(
            status,
            "the server redirected to something that is no address",
        )),
    }
}

/// Makes the request that follows a redirection. Another server gets neither the
/// headers nor the body that were meant for the first, for both may hold secrets.
fn next(mut sent: Outgoing, target: Url, status: StatusCode) -> Result<Outgoing, Problem> {
    let becomes_get = match status {
        StatusCode::SEE_OTHER => sent.method != Method::HEAD,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => sent.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        sent.method = Method::GET;
        sent.body = None;
        sent.headers.remove(CONTENT_TYPE);
    }
    if sent.url.origin() != target.origin() {
        if sent.body.is_some() {
            return Err(failed(
                status,
                "the server redirected the request's body to another server",
            ));
        }
        let harmless = HARMLESS.into_iter().filter_map(|name| {
            let value = sent.headers.get(name)?.clone();
            Some((HeaderName::from_static(name), value))
        });
        sent.headers = harmless.collect();
    }
    sent.url = target;
    Ok(sent)
}

fn failed(status: StatusCode, detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Communication, detail).with_status(status.as_u16())
}

fn refused(refusal: Refusal) -> Problem {
    Problem::new(ProblemKind::Configuration, refusal.to_string())
}

/// Says what went wrong without the library's words, which repeat the address.
fn broken(error: &reqwest::Error) -> Problem {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(found) = cause {
        if let Some(refusal) = found.downcast_ref::<Refusal>() {
            return refused(*refusal);
        }
        cause = found.source();
    }
    let detail = if error.is_dns() {
        "the endpoint's name cannot be resolved"
    } else if error.is_connect() {
        "no connection to the endpoint could be made"
    } else if error.is_body() || error.is_decode() {
        "the connection broke while the answer came"
    } else {
        "the connection broke before an answer came"
    };
    failed(StatusCode::SERVICE_UNAVAILABLE, detail)
}
