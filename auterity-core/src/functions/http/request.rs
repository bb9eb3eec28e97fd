//! What to send: the arguments of a call, read and checked.

use reqwest::Method;
use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use serde_json::{Map, Value};
use url::Url;

use super::authentication::{self, Authentication, Later};
use super::{HttpOptions, template};
use crate::TenantId;
use crate::functions::Invocation;
use crate::interpreter::{Problem, ProblemKind};

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Headers that belong to the connection or decide where a request goes.
const RESERVED: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What the task's output is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::functions) enum Output {
    Raw,
    Content,
    Response,
}

/// One call as the definition asks for it. It has no `Debug`, for any part of it may
/// be a secret.
pub(in crate::functions) struct Call {
    pub(super) send: Outgoing,
    /// For the endpoint's own server.
    pub(super) later: Option<Later>,
    pub(in crate::functions) output: Output,
    /// Whether redirections are followed and statuses from 300 to 399 are answers.
    pub(super) redirect: bool,
}

/// What goes to one server.
pub(in crate::functions) struct Outgoing {
    pub(super) method: Method,
    pub(in crate::functions) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
}

/// For whom a call is made, and under which idempotency key.
#[derive(Debug, Clone, Copy)]
pub(in crate::functions) struct Caller<'c> {
    pub(in crate::functions) tenant: TenantId,
    pub(in crate::functions) key: Option<&'c str>,
}

impl<'c> Caller<'c> {
    /// Makes the call under the invocation's own key.
    pub(in crate::functions) fn of(invocation: &'c Invocation) -> Self {
        Self {
            key: Some(&invocation.key),
            ..Self::reading(invocation)
        }
    }

    /// Makes a call that changes nothing, and needs no key.
    pub(in crate::functions) fn reading(invocation: &Invocation) -> Self {
        Self {
            tenant: invocation.scope.tenant(),
            key: None,
        }
    }
}

impl Call {
    pub(super) fn read(invocation: &Invocation, options: &HttpOptions) -> Result<Self, Problem> {
        let Value::Object(arguments) = &invocation.arguments else {
            return Err(wrong("the arguments of an http call must be an object"));
        };
        let (endpoint, policy) = endpoint(arguments)?;
        let url = parse(&template::expand(endpoint, &invocation.input)?)?;
        Self::to((url, policy), arguments, Caller::of(invocation), options)
    }

    /// Makes a call to an endpoint from the other arguments of an http call.
    pub(in crate::functions) fn to(
        (mut url, policy): (Url, Option<&Value>),
        arguments: &Map<String, Value>,
        caller: Caller<'_>,
        options: &HttpOptions,
    ) -> Result<Self, Problem> {
        append_query(&mut url, arguments.get("query"))?;
        let mut headers = headers(arguments.get("headers"))?;
        let body = body(arguments.get("body"), &mut headers)?;
        let policy = policy.map(|policy| authentication::read(policy, caller.tenant));
        let later = match policy.transpose()? {
            None => None,
            Some(Authentication::Header(header)) => {
                headers.insert(AUTHORIZATION, header);
                None
            }
            Some(Authentication::Later(later)) => {
                headers.remove(AUTHORIZATION);
                Some(later)
            }
        };
        if let Some(key) = caller.key
            && !headers.contains_key(IDEMPOTENCY_KEY)
        {
            let name = HeaderName::from_static(IDEMPOTENCY_KEY);
            headers.insert(name, idempotency_key(key)?);
        }
        if !headers.contains_key(USER_AGENT) {
            let agent = concat!("auterity/", env!("CARGO_PKG_VERSION"));
            headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        }
        within(
            "request headers",
            header_bytes(&headers),
            options.header_bytes_max,
        )?;
        within(
            "request body",
            body.as_ref().map_or(0, Vec::len),
            options.request_bytes_max,
        )?;
        let method = method(arguments.get("method"))?;
        let send = Outgoing {
            method,
            url,
            headers,
            body,
        };
        Ok(Self {
            send,
            later,
            output: output(arguments)?,
            redirect: redirect(arguments)?,
        })
    }
}

/// Adds up what headers take, as HTTP/1.1 writes them.
pub(super) fn header_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum()
}

/// Refuses what is larger than its limit.
pub(in crate::functions) fn within(
    what: &str,
    bytes: usize,
    bytes_max: usize,
) -> Result<(), Problem> {
    if bytes <= bytes_max {
        return Ok(());
    }
    let detail = format!("the {what} would take more than {bytes_max} bytes");
    Err(Problem::new(ProblemKind::Runtime, detail))
}

/// Reads the property `endpoint`: its address and its authentication policy.
pub(in crate::functions) fn endpoint(
    holder: &Map<String, Value>,
) -> Result<(&str, Option<&Value>), Problem> {
    let (uri, policy) = match holder.get("endpoint") {
        Some(Value::String(uri)) => return Ok((uri, None)),
        Some(Value::Object(endpoint)) => (endpoint.get("uri"), endpoint.get("authentication")),
        _ => {
            return Err(wrong(
                "an endpoint is needed: a text, or an object with 'uri'",
            ));
        }
    };
    match uri {
        Some(Value::String(uri)) => Ok((uri, policy.filter(|policy| !policy.is_null()))),
        _ => Err(wrong("the endpoint's 'uri' must be a text")),
    }
}

/// Parses the address. The parser itself would drop line breaks and read a backslash
/// as a slash, so that what is called differs from what is written.
pub(in crate::functions) fn parse(text: &str) -> Result<Url, Problem> {
    if text.contains(|found: char| found.is_control() || found == '\\') {
        return Err(wrong(
            "the endpoint contains a control character or a backslash",
        ));
    }
    let mut url =
        Url::parse(text).map_err(|error| wrong(format!("the endpoint is no URI: {error}")))?;
    url.set_fragment(None);
    Ok(url)
}

fn append_query(url: &mut Url, query: Option<&Value>) -> Result<(), Problem> {
    let query = match query {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(query)) if query.is_empty() => return Ok(()),
        Some(Value::Object(query)) => query,
        Some(_) => return Err(wrong("'query' must be an object")),
    };
    let mut pairs = url.query_pairs_mut();
    for (name, value) in query {
        let several = match value {
            Value::Array(several) => several.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in several.iter().filter(|value| !value.is_null()) {
            let value = plain(value).ok_or_else(|| {
                wrong("a value of 'query' is no text, number or boolean, nor an array of these")
            })?;
            pairs.append_pair(name, &value);
        }
    }
    Ok(())
}

fn headers(given: Option<&Value>) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    let given = match given {
        None | Some(Value::Null) => return Ok(headers),
        Some(Value::Object(given)) => given,
        Some(_) => return Err(wrong("'headers' must be an object")),
    };
    for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        let name: HeaderName = name
            .parse()
            .map_err(|_| wrong("the name of a header contains wrong characters"))?;
        if RESERVED.contains(&name.as_str()) {
            return Err(wrong(format!(
                "the header '{name}' cannot be set by a definition"
            )));
        }
        let value = plain(value)
            .and_then(|value| HeaderValue::from_str(&value).ok())
            .ok_or_else(|| {
                wrong(format!(
                    "the header '{name}' has a value that no header can have"
                ))
            })?;
        headers.insert(name, sensitive(value));
    }
    Ok(headers)
}

/// Makes the body. Text goes as it is; anything else as JSON, or as a form where the
/// content type says so.
fn body(given: Option<&Value>, headers: &mut HeaderMap) -> Result<Option<Vec<u8>>, Problem> {
    let media = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let is_form = media.starts_with("application/x-www-form-urlencoded");
    let (body, media) = match given {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => (text.clone().into_bytes(), "text/plain; charset=utf-8"),
        Some(Value::Object(fields)) if is_form => (form(fields)?, ""),
        Some(value) => (value.to_string().into_bytes(), "application/json"),
    };
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    }
    Ok(Some(body))
}

fn form(fields: &Map<String, Value>) -> Result<Vec<u8>, Problem> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let value = plain(value)
            .ok_or_else(|| wrong("a field of the form is no text, number or boolean"))?;
        form.append_pair(name, &value);
    }
    Ok(form.finish().into_bytes())
}

/// Gives the key as it is; what a header cannot carry is encoded, so that every key
/// stays distinct.
fn idempotency_key(key: &str) -> Result<HeaderValue, Problem> {
    let mut text = String::with_capacity(key.len());
    template::encode_unprintable(key, &mut text);
    HeaderValue::from_str(&text)
        .map_err(|_| Problem::new(ProblemKind::Runtime, "the idempotency key fits no header"))
}

fn method(given: Option<&Value>) -> Result<Method, Problem> {
    let Some(Value::String(name)) = given else {
        return Err(wrong("an http call needs the text 'method'"));
    };
    let method = Method::from_bytes(name.to_ascii_uppercase().as_bytes())
        .map_err(|_| wrong("'method' is no method of HTTP"))?;
    if matches!(method, Method::CONNECT | Method::TRACE) {
        return Err(wrong(format!("the method {method} cannot be called")));
    }
    Ok(method)
}

fn output(arguments: &Map<String, Value>) -> Result<Output, Problem> {
    match arguments.get("output") {
        None | Some(Value::Null) => Ok(Output::Content),
        Some(Value::String(word)) => match word.as_str() {
            "raw" => Ok(Output::Raw),
            "content" => Ok(Output::Content),
            "response" => Ok(Output::Response),
            _ => Err(wrong("'output' is none of raw, content and response")),
        },
        Some(_) => Err(wrong("'output' must be a text")),
    }
}

fn redirect(arguments: &Map<String, Value>) -> Result<bool, Problem> {
    match arguments.get("redirect") {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(follow)) => Ok(*follow),
        Some(_) => Err(wrong("'redirect' must be true or false")),
    }
}

/// Gives the text of a value that has a plain one.
pub(in crate::functions) fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Configuration, detail)
}
