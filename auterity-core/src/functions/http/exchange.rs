//! Sending a request and following its redirections.

use std::error::Error as StdError;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION};
use reqwest::{Client, Method, Response, StatusCode};
use url::Url;

use super::guard::{Guard, Refusal};
use super::request::{Call, Outgoing, header_bytes, within};
use super::{HttpOptions, digest};
use crate::interpreter::{Problem, ProblemKind};

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

/// Sends the call's request, follows redirections if it says so, and reads the answer.
///
/// # Errors
/// Gives a problem when nothing may be sent, when no answer comes, when it is not a
/// success, and when it is larger than the limits.
pub(super) async fn exchange(
    client: &Client,
    guard: &Guard,
    call: Call,
    options: &HttpOptions,
) -> Result<Answer, Problem> {
    let mut sent = call.send;
    let home = sent.url.origin();
    let mut redirects = 0;
    let mut answered = false;
    let response = loop {
        guard.check(&sent.url).map_err(refused)?;
        let response = send(client, &sent).await?;
        within(
            "headers of the answer",
            header_bytes(response.headers()),
            options.header_bytes_max,
        )?;
        if let Some(credentials) = &call.digest
            && response.status() == StatusCode::UNAUTHORIZED
            && !std::mem::replace(&mut answered, true)
            && sent.url.origin() == home
            && let Some(header) = digest::answer(
                credentials,
                sent.method.as_str(),
                &sent.url,
                response.headers(),
            )
        {
            sent.headers.insert(AUTHORIZATION, header);
            continue;
        }
        if !call.redirect {
            break response;
        }
        let Some(target) = target(&sent.url, &response)? else {
            break response;
        };
        if redirects == options.redirects_max {
            let detail = format!("the server redirected more than {redirects} times");
            return Err(failed(response.status(), detail));
        }
        redirects += 1;
        sent = next(sent, target, response.status())?;
        if call.digest.is_some() {
            // The answer was for one address.
            sent.headers.remove(AUTHORIZATION);
            answered = false;
        }
    };
    let status = response.status();
    if !(status.is_success() || (call.redirect && status.is_redirection())) {
        return Err(failed(status, format!("the server answered {status}")));
    }
    let headers = response.headers().clone();
    let body = read(response, options.response_bytes_max).await?;
    Ok(Answer {
        sent,
        status,
        headers,
        body,
    })
}

async fn send(client: &Client, send: &Outgoing) -> Result<Response, Problem> {
    let mut request = client
        .request(send.method.clone(), send.url.clone())
        .headers(send.headers.clone());
    if let Some(body) = &send.body {
        request = request.body(body.clone());
    }
    request.send().await.map_err(|error| broken(&error))
}

/// Reads the body up to its limit; what a server announces is not believed.
async fn read(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, Problem> {
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
