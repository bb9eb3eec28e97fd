//! `AsyncAPI` documents: which server, which channel.

use serde_json::{Map, Value};
use url::Url;

use super::subscription::Message;
use super::wrong;
use crate::definition::{Limits, read_data, suggestion};
use crate::functions::documents::Document;
use crate::functions::http::request::plain;
use crate::interpreter::Problem;

/// How many references may lead to one another.
const REFERENCES_MAX: usize = 16;

/// A document that was read.
#[derive(Debug)]
pub(super) struct Description {
    root: Value,
    /// Version 3 has its channels by id and its operations apart.
    is_third: bool,
    bytes: usize,
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Nats,
}

/// Where messages go to or come from.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) protocol: Protocol,
    /// The server, without the channel's address.
    pub(super) server: Url,
    /// The channel's address.
    pub(super) address: String,
}

impl Document for Description {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Description {
    /// Reads JSON or YAML. May take a while.
    pub(super) fn read(body: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(body).map_err(|_| wrong("the document is no UTF-8"))?;
        let limits = Limits {
            text_bytes_max: usize::MAX,
            depth_max: 128,
            nodes_max: 1_000_000,
            mistakes_max: 1,
            ..Limits::default()
        };
        let root = match serde_json::from_str(text) {
            Ok(root) => root,
            Err(_) => read_data(text, &limits).map_err(|mistake| {
                wrong(format!("the document is neither JSON nor YAML: {mistake}"))
            })?,
        };
        let version = root.get("asyncapi").and_then(plain).unwrap_or_default();
        let is_third = version.starts_with("3.");
        if !is_third && !version.starts_with("2.") {
            return Err(wrong("the document is none of AsyncAPI 2 or 3"));
        }
        Ok(Self {
            root,
            is_third,
            bytes: body.len(),
        })
    }

    /// Finds where the messages of a call go to or come from.
    pub(super) fn target(
        &self,
        arguments: &Map<String, Value>,
        message: Option<&Message>,
    ) -> Result<Target, Problem> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str);
        let (name, channel) = match (text("operation"), text("channel")) {
            (Some(operation), _) => self.channel_of(operation)?,
            (None, Some(channel)) => self.channel(channel)?,
            (None, None) => {
                return Err(wrong("an asyncapi call needs 'operation' or 'channel'"));
            }
        };
        let address = match channel.get("address") {
            Some(address) => address.as_str().unwrap_or(name),
            None => name,
        };
        let address = self.expand(address, channel, message)?;
        let (protocol, server) = self.server(arguments, channel)?;
        Ok(Target {
            protocol,
            server,
            address,
        })
    }

    fn channel(&self, wanted: &str) -> Result<(&str, &Value), Problem> {
        let channels = self.members("channels");
        let trimmed = wanted.trim_start_matches('/');
        let mut known = Vec::new();
        for (name, channel) in channels {
            let channel = self.resolve(channel)?;
            let address = channel.get("address").and_then(Value::as_str);
            let is_it = |text: &str| text.trim_start_matches('/') == trimmed;
            if is_it(name) || address.is_some_and(is_it) {
                return Ok((name, channel));
            }
            known.push(name.as_str());
        }
        let hint = suggestion(wanted, known, "channel");
        Err(wrong(format!(
            "the document has no channel \"{wanted}\"; {hint}"
        )))
    }

    fn channel_of(&self, wanted: &str) -> Result<(&str, &Value), Problem> {
        let mut known = Vec::new();
        if self.is_third {
            for (name, operation) in self.members("operations") {
                known.push(name.as_str());
                if name != wanted {
                    continue;
                }
                let operation = self.resolve(operation)?;
                let channel = operation.get("channel").unwrap_or(&Value::Null);
                let reference = channel
                    .get("$ref")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let name = reference.rsplit('/').next().unwrap_or_default();
                return Ok((self.channel_name(name), self.resolve(channel)?));
            }
        } else {
            for (name, channel) in self.members("channels") {
                let channel = self.resolve(channel)?;
                for way in ["publish", "subscribe"] {
                    let id = channel.get(way).and_then(|way| way.get("operationId"));
                    match id.and_then(Value::as_str) {
                        Some(id) if id == wanted => return Ok((name, channel)),
                        Some(id) => known.push(id),
                        None => {}
                    }
                }
            }
        }
        let hint = suggestion(wanted, known, "operation");
        Err(wrong(format!(
            "the document has no operation \"{wanted}\"; {hint}"
        )))
    }

    fn channel_name(&self, escaped: &str) -> &str {
        let name = escaped.replace("~1", "/").replace("~0", "~");
        let found = self.members("channels").find(|(known, _)| **known == name);
        found.map_or("", |(known, _)| known.as_str())
    }

    /// Puts values into the parameters of an address.
    fn expand(
        &self,
        address: &str,
        channel: &Value,
        message: Option<&Message>,
    ) -> Result<String, Problem> {
        let mut expanded = String::with_capacity(address.len());
        let mut rest = address;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| wrong("the channel's address has a '{' without its '}'"))?;
            expanded.push_str(before);
            let parameter = channel.get("parameters").and_then(|all| all.get(name));
            let parameter = parameter
                .map(|parameter| self.resolve(parameter))
                .transpose()?;
            let location = parameter.and_then(|parameter| parameter.get("location"));
            let given = location
                .and_then(Value::as_str)
                .and_then(|location| message?.at(location))
                .and_then(plain);
            let default = || {
                let parameter = parameter?;
                let schema = parameter.get("schema").unwrap_or(parameter);
                schema.get("default").and_then(plain)
            };
            let value = given.or_else(default).ok_or_else(|| {
                wrong(format!(
                    "the channel's parameter \"{name}\" has neither a value nor a default"
                ))
            })?;
            // A value must stay one part of the address.
            if value.contains(['/', '?', '#', '.', ' ', '*', '>']) || value.is_empty() {
                return Err(wrong(format!(
                    "the channel's parameter \"{name}\" has a value of several parts"
                )));
            }
            expanded.push_str(&value);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn server(
        &self,
        arguments: &Map<String, Value>,
        channel: &Value,
    ) -> Result<(Protocol, Url), Problem> {
        let asked = arguments.get("server");
        let wanted = asked
            .and_then(|server| server.get("name"))
            .and_then(Value::as_str);
        let protocol = arguments.get("protocol").and_then(Value::as_str);
        let own = channel.get("servers").and_then(Value::as_array);
        let mut unsupported = None;
        let mut known = Vec::new();
        for (name, server) in self.members("servers") {
            known.push(name.as_str());
            let is_own = own.is_none_or(|own| own.iter().any(|one| names(one, name)));
            if wanted.is_some_and(|wanted| wanted != name) || (wanted.is_none() && !is_own) {
                continue;
            }
            let server = self.resolve(server)?;
            let spoken = server
                .get("protocol")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if protocol.is_some_and(|protocol| {
                !spoken
                    .trim_end_matches('s')
                    .eq_ignore_ascii_case(protocol.trim_end_matches('s'))
            }) {
                continue;
            }
            let kind = match spoken.to_ascii_lowercase().as_str() {
                "http" | "https" => Protocol::Http,
                "nats" => Protocol::Nats,
                _ => {
                    unsupported = Some(spoken);
                    continue;
                }
            };
            let variables = asked.and_then(|asked| asked.get("variables"));
            return Ok((kind, address(server, spoken, variables)?));
        }
        if let Some(spoken) = unsupported {
            let detail = format!("the protocol {spoken} is not supported; http and nats are");
            return Err(wrong(detail).with_status(501));
        }
        let hint = suggestion(wanted.unwrap_or_default(), known, "server");
        Err(wrong(format!(
            "the document has no server for the call; {hint}"
        )))
    }

    fn members(&self, name: &str) -> impl Iterator<Item = (&String, &Value)> {
        let members = self.root.get(name).and_then(Value::as_object);
        members.into_iter().flatten()
    }

    /// Follows references within the document.
    fn resolve<'d>(&'d self, value: &'d Value) -> Result<&'d Value, Problem> {
        let mut value = value;
        for _ in 0..REFERENCES_MAX {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return Ok(value);
            };
            let found = reference
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer));
            value = found.ok_or_else(|| {
                wrong(format!(
                    "the document refers to \"{reference}\", which it does not have"
                ))
            })?;
        }
        Err(wrong("the document's references lead in a circle"))
    }
}

/// Tells whether an entry of a channel's servers means this one.
fn names(entry: &Value, name: &str) -> bool {
    let reference = entry.get("$ref").and_then(Value::as_str);
    let named = reference.and_then(|reference| reference.rsplit('/').next());
    named.or_else(|| entry.as_str()) == Some(name)
}

/// Gives a server's address.
fn address(server: &Value, spoken: &str, variables: Option<&Value>) -> Result<Url, Problem> {
    let text = |name: &str| server.get(name).and_then(Value::as_str);
    let mut whole = match (text("url"), text("host")) {
        (Some(url), _) => url.to_owned(),
        (None, Some(host)) => format!("{host}{}", text("pathname").unwrap_or_default()),
        (None, None) => return Err(wrong("the document's server has no address")),
    };
    let declared = server.get("variables").and_then(Value::as_object);
    for (name, variable) in declared.into_iter().flatten() {
        let given = variables.and_then(|given| given.get(name)).and_then(plain);
        let default = variable.get("default").and_then(plain);
        if let Some(value) = given.or(default) {
            whole = whole.replace(&format!("{{{name}}}"), &value);
        }
    }
    if whole.contains('{') {
        return Err(wrong(
            "the address of the document's server has a variable without a value",
        ));
    }
    if !whole.contains("://") {
        whole = format!("{}://{whole}", spoken.to_ascii_lowercase());
    }
    Url::parse(&whole)
        .map_err(|error| wrong(format!("the document's server is no address: {error}")))
}
