//! `grpc`: calls a method of a service that a proto document describes.
//!
//! Where the standard leaves room:
//! - `proto` is a document in the protobuf language, whose imports are looked for beside
//!   it, or a compiled descriptor set. An address of the form `grpc://HOST:PORT` (or
//!   `grpcs://`) asks that server for the description (server reflection).
//! - Port 443, which is also the default, is spoken to by TLS, any other in plain text.
//! - A method that streams to the server takes the list `messages` of `arguments`; one
//!   that streams from it gives the list of all that came.
//! - Messages are as in the JSON mapping of protobuf, and every field is there in what
//!   comes back. The idempotency key is the metadata `idempotency-key`.

mod channel;
mod codec;
mod proto;
mod reflection;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use prost_reflect::{DynamicMessage, MethodDescriptor, SerializeOptions};
use serde_json::{Map, Value};
use tokio_stream::StreamExt;
use tonic::metadata::MetadataValue;
use url::Url;

use self::channel::Service;
use self::codec::Messages;
use self::proto::{Pool, Source};
use super::documents::Documents;
use super::http::Http;
use super::http::request::{parse, within};
use super::{Function, Invocation};
use crate::definition::suggestion;
use crate::interpreter::{Problem, ProblemKind};

/// How many messages one call sends or receives at most.
const MESSAGES_MAX: usize = 10_000;

/// Calls methods of gRPC services.
pub struct Grpc {
    http: Arc<Http>,
    pools: Documents<Pool>,
}

impl Grpc {
    /// Makes the function; services are reached within the options of `http`.
    #[must_use]
    pub fn new(http: Arc<Http>) -> Self {
        Self {
            http,
            pools: Documents::default(),
        }
    }

    async fn perform(&self, invocation: &Invocation) -> Result<Value, Problem> {
        let Value::Object(arguments) = &invocation.arguments else {
            return Err(wrong("the arguments of a grpc call must be an object"));
        };
        let Some(Value::Object(service)) = arguments.get("service") else {
            return Err(wrong("a grpc call needs the object 'service'"));
        };
        let method = text(arguments, "method")?;
        let source = Source::read(arguments, invocation)?;
        let pool = source.pool(&self.pools, &self.http, invocation).await?;
        let method = find(&pool, text(service, "name")?, method)?;
        let sent = messages(&method, arguments.get("arguments"))?;
        let policy = service
            .get("authentication")
            .filter(|policy| !policy.is_null());
        let mut request = tonic::Request::new(tokio_stream::iter(sent));
        if let Some(policy) = policy {
            let tenant = invocation.scope.tenant();
            let header = self.http.authorization(policy, tenant).await?;
            let value = header
                .to_str()
                .ok()
                .and_then(|text| MetadataValue::try_from(text).ok());
            let value = value.ok_or_else(|| wrong("the credentials fit no metadata"))?;
            request.metadata_mut().insert("authorization", value);
        }
        if let Ok(key) = MetadataValue::try_from(&invocation.key) {
            request.metadata_mut().insert("idempotency-key", key);
        }
        let most = self.http.options().response_bytes_max;
        let mut service = Service::connect(&self.http, &address(service)?).await?;
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let codec = Messages::new(method.output());
        let mut answers = service.call(request, &path, codec).await?;
        let (mut received, mut bytes) = (Vec::new(), 0);
        while let Some(message) = answers.next().await {
            let message = message.map_err(|status| channel::refusal(&status))?;
            bytes += prost_reflect::prost::Message::encoded_len(&message);
            within("answer", bytes, most)?;
            within("number of messages", received.len() + 1, MESSAGES_MAX)?;
            received.push(json(&message)?);
        }
        if method.is_server_streaming() {
            return Ok(Value::Array(received));
        }
        received.pop().ok_or_else(|| {
            let detail = "the server answered without a message";
            Problem::new(ProblemKind::Communication, detail).with_status(502)
        })
    }
}

impl fmt::Debug for Grpc {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Grpc").finish_non_exhaustive()
    }
}

#[async_trait]
impl Function for Grpc {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        self.http.in_time(self.perform(&invocation)).await
    }
}

/// Finds a method.
fn find(pool: &Pool, service: &str, method: &str) -> Result<MethodDescriptor, Problem> {
    let services: Vec<_> = pool.pool.services().collect();
    let Some(found) = services.iter().find(|one| one.full_name() == service) else {
        let known: Vec<&str> = services
            .iter()
            .map(prost_reflect::ServiceDescriptor::full_name)
            .collect();
        let hint = suggestion(service, known, "service");
        return Err(wrong(format!(
            "the proto document has no service \"{service}\"; {hint}"
        )));
    };
    let methods: Vec<_> = found.methods().collect();
    methods
        .iter()
        .find(|one| one.name() == method)
        .cloned()
        .ok_or_else(|| {
            let known: Vec<&str> = methods.iter().map(MethodDescriptor::name).collect();
            let hint = suggestion(method, known, "method");
            wrong(format!("the service has no method \"{method}\"; {hint}"))
        })
}

/// Makes the messages to be sent.
fn messages(
    method: &MethodDescriptor,
    arguments: Option<&Value>,
) -> Result<Vec<DynamicMessage>, Problem> {
    let none = Value::Object(Map::new());
    let arguments = arguments
        .filter(|arguments| !arguments.is_null())
        .unwrap_or(&none);
    if !method.is_client_streaming() {
        return Ok(vec![message(method, arguments)?]);
    }
    let Some(Value::Array(list)) = arguments.get("messages") else {
        return Err(wrong(
            "the method takes a stream: give the list 'messages' in 'arguments'",
        ));
    };
    within("number of messages", list.len(), MESSAGES_MAX)?;
    list.iter().map(|one| message(method, one)).collect()
}

/// Reads a message. What is wrong is told by field, never by value.
fn message(method: &MethodDescriptor, value: &Value) -> Result<DynamicMessage, Problem> {
    let input = method.input();
    if let Ok(message) = DynamicMessage::deserialize(input.clone(), value) {
        return Ok(message);
    }
    let name = input.full_name().to_owned();
    let Value::Object(fields) = value else {
        return Err(wrong(format!("a message {name} must be an object")));
    };
    for (field, value) in fields {
        let alone = Map::from_iter([(field.clone(), value.clone())]);
        if DynamicMessage::deserialize(input.clone(), &Value::Object(alone)).is_ok() {
            continue;
        }
        let known: Vec<String> = input
            .fields()
            .map(|field| field.json_name().to_owned())
            .collect();
        if known.contains(field) || input.get_field_by_name(field).is_some() {
            return Err(wrong(format!(
                "the field \"{field}\" of {name} has a value of another type"
            )));
        }
        let hint = suggestion(field, known.iter().map(String::as_str), "field");
        return Err(wrong(format!(
            "the message {name} has no field \"{field}\"; {hint}"
        )));
    }
    Err(wrong(format!("the arguments are no message {name}")))
}

fn json(message: &DynamicMessage) -> Result<Value, Problem> {
    let options = SerializeOptions::new().skip_default_fields(false);
    let serializer = serde_json::value::Serializer;
    message
        .serialize_with_options(serializer, &options)
        .map_err(|_| {
            Problem::new(ProblemKind::Communication, "the answer has no form in JSON")
                .with_status(502)
        })
}

/// Gives the service's address.
fn address(service: &Map<String, Value>) -> Result<Url, Problem> {
    let host = text(service, "host")?;
    let port = match service.get("port") {
        None | Some(Value::Null) => 443,
        Some(port) => port
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .ok_or_else(|| wrong("'port' of the service is no port"))?,
    };
    let scheme = if port == 443 { "https" } else { "http" };
    let is_host = !host.is_empty() && !host.contains(['/', '@', '?', '#', '\\']);
    if !is_host {
        return Err(wrong("'host' of the service is no host"));
    }
    parse(&format!("{scheme}://{host}:{port}/"))
}

fn text<'a>(holder: &'a Map<String, Value>, name: &str) -> Result<&'a str, Problem> {
    let found = holder.get(name).and_then(Value::as_str);
    found.ok_or_else(|| wrong(format!("a grpc call needs the text '{name}'")))
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Configuration, detail)
}
