//! Descriptions of APIs: Swagger 2.0 and OpenAPI 3.

use serde_json::{Map, Value};
use url::Url;

use super::wrong;
use crate::definition::{Limits, read_data, suggestion};
use crate::functions::documents;
use crate::interpreter::Problem;

const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];
/// How many references may lead to one another.
const REFERENCES_MAX: usize = 16;

/// Which standard a document follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standard {
    Swagger2,
    OpenApi3,
}

/// A description that was fetched.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) standard: Standard,
    root: Value,
    /// Where it came from, after redirections.
    url: Url,
    bytes: usize,
}

/// One operation of a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation<'d> {
    pub(super) id: &'d str,
    pub(super) method: &'static str,
    pub(super) path: &'d str,
    /// The path's own properties.
    pub(super) item: &'d Value,
    pub(super) value: &'d Value,
}

impl documents::Document for Document {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Document {
    /// Reads JSON or YAML. May take a while.
    pub(super) fn parse(url: Url, body: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(body)
            .map_err(|_| wrong("the document is neither JSON nor YAML: it is no UTF-8"))?;
        let text = text.trim_start_matches('\u{feff}');
        let root = match serde_json::from_str(text) {
            Ok(root) => root,
            Err(_) => yaml(text)?,
        };
        let standard = match (root.get("swagger"), root.get("openapi")) {
            (Some(version), _) if is_version(version, "2.") => Standard::Swagger2,
            (_, Some(version)) if is_version(version, "3.") => Standard::OpenApi3,
            _ => {
                return Err(wrong(
                    "the document describes no API: it is neither Swagger 2.0 nor OpenAPI 3",
                ));
            }
        };
        Ok(Self {
            standard,
            root,
            url,
            bytes: body.len(),
        })
    }

    /// Finds an operation.
    pub(super) fn operation(&self, id: &str) -> Result<Operation<'_>, Problem> {
        let mut known = Vec::new();
        let paths = self.root.get("paths").and_then(Value::as_object);
        for (path, item) in paths.into_iter().flatten() {
            // What cannot be resolved may be another operation's.
            let Ok(item) = self.resolve(item) else {
                continue;
            };
            for method in METHODS {
                let Some(value) = item.get(method) else {
                    continue;
                };
                let Some(found) = value.get("operationId").and_then(Value::as_str) else {
                    continue;
                };
                if found == id {
                    return Ok(Operation {
                        id: found,
                        method,
                        path,
                        item,
                        value,
                    });
                }
                known.push(found);
            }
        }
        let hint = suggestion(id, known, "operation with an id");
        Err(wrong(format!(
            "the document has no operation \"{id}\"; {hint}"
        )))
    }

    /// Follows references within the document.
    pub(super) fn resolve<'d>(&'d self, value: &'d Value) -> Result<&'d Value, Problem> {
        let mut value = value;
        for _ in 0..REFERENCES_MAX {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return Ok(value);
            };
            let pointer = reference.strip_prefix('#').ok_or_else(|| {
                wrong(format!(
                    "the document refers to \"{reference}\"; references to other documents are not followed"
                ))
            })?;
            let pointer = pointer.replace("%7B", "{").replace("%7D", "}");
            value = self.root.pointer(&pointer).ok_or_else(|| {
                wrong(format!(
                    "the document refers to \"{reference}\", which it does not have"
                ))
            })?;
        }
        Err(wrong("the document's references lead in a circle"))
    }

    /// Gives a list of texts of the operation, or else of the document.
    pub(super) fn texts<'d>(&'d self, operation: &Operation<'d>, name: &str) -> Vec<&'d str> {
        let found = operation.value.get(name).or_else(|| self.root.get(name));
        let list = found.and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// Gives the security schemes.
    pub(super) fn schemes(&self) -> impl Iterator<Item = &Value> {
        let schemes = match self.standard {
            Standard::Swagger2 => self.root.get("securityDefinitions"),
            Standard::OpenApi3 => self.root.pointer("/components/securitySchemes"),
        };
        schemes
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Map::values)
    }

    /// Gives the address to which an operation's path is added.
    pub(super) fn server(&self, operation: &Operation<'_>) -> Result<Url, Problem> {
        let mut url = match self.standard {
            Standard::Swagger2 => self.host(operation),
            Standard::OpenApi3 => self.first_server(operation),
        }?;
        url.set_query(None);
        url.set_fragment(None);
        Ok(url)
    }

    fn first_server(&self, operation: &Operation<'_>) -> Result<Url, Problem> {
        let holders = [operation.value, operation.item, &self.root];
        let first = holders
            .into_iter()
            .find_map(|holder| holder.get("servers")?.as_array()?.first());
        let url = first.and_then(|server| server.get("url"));
        let mut text = url.and_then(Value::as_str).unwrap_or("/").to_owned();
        let variables = first.and_then(|server| server.get("variables"));
        for (name, variable) in variables.and_then(Value::as_object).into_iter().flatten() {
            if let Some(default) = variable.get("default").and_then(Value::as_str) {
                text = text.replace(&format!("{{{name}}}"), default);
            }
        }
        if text.contains('{') {
            return Err(wrong(
                "the address of the document's server has a variable without a default",
            ));
        }
        self.url
            .join(&text)
            .map_err(|error| wrong(format!("the document's server is no address: {error}")))
    }

    fn host(&self, operation: &Operation<'_>) -> Result<Url, Problem> {
        let text = |name: &str| self.root.get(name).and_then(Value::as_str);
        let schemes = self.texts(operation, "schemes");
        let scheme = match ["https", "http"]
            .into_iter()
            .find(|one| schemes.contains(one))
        {
            Some(scheme) => scheme,
            None if schemes.is_empty() => self.url.scheme(),
            None => return Err(wrong("the document's API speaks neither https nor http")),
        };
        let host = match text("host") {
            Some(host) if host.contains(['/', '\\', '@', '?', '#']) => {
                return Err(wrong("the document's 'host' is no host"));
            }
            Some(host) => host.to_owned(),
            None => {
                let host = self.url.host_str().unwrap_or_default();
                let port = self.url.port().map(|port| format!(":{port}"));
                format!("{host}{}", port.unwrap_or_default())
            }
        };
        let mut url = Url::parse(&format!("{scheme}://{host}/"))
            .map_err(|error| wrong(format!("the document's 'host' is no host: {error}")))?;
        url.set_path(text("basePath").unwrap_or("/"));
        Ok(url)
    }
}

fn is_version(version: &Value, prefix: &str) -> bool {
    match version {
        Value::String(text) => text.starts_with(prefix),
        // YAML without quotes.
        Value::Number(number) => number.to_string().starts_with(prefix),
        _ => false,
    }
}

fn yaml(text: &str) -> Result<Value, Problem> {
    let limits = Limits {
        text_bytes_max: usize::MAX,
        depth_max: 128,
        nodes_max: 1_000_000,
        mistakes_max: 1,
        ..Limits::default()
    };
    read_data(text, &limits)
        .map_err(|mistake| wrong(format!("the document is neither JSON nor YAML: {mistake}")))
}
