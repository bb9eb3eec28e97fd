//! From an operation and parameters to an http call.

use serde_json::{Map, Value, json};
use url::Url;

use super::document::{Document, Operation, Standard};
use super::parameter::{Parameter, Place, declared};
use super::wrong;
use crate::definition::suggestion;
use crate::functions::http::template::{encode, expand};
use crate::interpreter::Problem;

const FORM: &str = "application/x-www-form-urlencoded";
/// Media types that one request says it accepts.
const ACCEPTED_MAX: usize = 8;
/// How deep the schema of a body is looked at.
const DEPTH_MAX: usize = 8;

/// Gives the address and the other arguments of the http call.
pub(super) fn request(
    document: &Document,
    operation: &Operation<'_>,
    parameters: &Map<String, Value>,
) -> Result<(Url, Map<String, Value>), Problem> {
    let mut request = Request {
        document,
        operation,
        given: parameters
            .iter()
            .filter(|(_, value)| !value.is_null())
            .collect(),
        missing: Vec::new(),
        path: Map::new(),
        query: Map::new(),
        headers: Map::new(),
        cookies: Vec::new(),
        fields: Map::new(),
        body: None,
    };
    let declared = declared(document, operation)?;
    for parameter in &declared {
        request.place(parameter)?;
    }
    request.fill_body(&declared)?;
    request.check(&declared)?;
    let url = request.url()?;
    Ok((url, request.finish()?))
}

struct Request<'r> {
    document: &'r Document,
    operation: &'r Operation<'r>,
    /// The parameters without a place, by name.
    given: Vec<(&'r String, &'r Value)>,
    missing: Vec<&'r str>,
    path: Map<String, Value>,
    query: Map<String, Value>,
    headers: Map<String, Value>,
    cookies: Vec<String>,
    fields: Map<String, Value>,
    body: Option<Value>,
}

/// The body that an operation takes.
struct Body<'r> {
    name: &'r str,
    required: bool,
    schema: Option<&'r Value>,
}

impl<'r> Request<'r> {
    fn place(&mut self, parameter: &Parameter<'r>) -> Result<(), Problem> {
        if parameter.place == Place::Body {
            return Ok(());
        }
        let name = parameter.name;
        let Some((_, value)) = self.given.iter().find(|(given, _)| *given == name).copied() else {
            if parameter.required {
                self.missing.push(name);
            }
            return Ok(());
        };
        match parameter.place {
            Place::Path => {
                let text = parameter.text(value)?;
                if text.is_empty() {
                    return Err(wrong(format!(
                        "the parameter \"{name}\" of the path is empty"
                    )));
                }
                self.path.insert(name.to_owned(), Value::String(text));
            }
            Place::Query => {
                for (name, texts) in parameter.pairs(value)? {
                    self.query.insert(name, json!(texts));
                }
            }
            Place::Header => {
                let text = parameter.text(value)?;
                self.headers.insert(name.to_owned(), Value::String(text));
            }
            Place::Cookie => {
                let mut cookie = format!("{name}=");
                encode(&parameter.text(value)?, &mut cookie);
                self.cookies.push(cookie);
            }
            Place::Field => {
                let text = parameter.text(value)?;
                self.fields.insert(name.to_owned(), Value::String(text));
            }
            Place::Body => {}
        }
        Ok(())
    }

    /// Takes the body by its name, or else makes it of the parameters that are
    /// properties of it.
    fn fill_body(&mut self, declared: &[Parameter<'r>]) -> Result<(), Problem> {
        let placed = |name: &str| {
            let mut others = declared.iter().filter(|one| one.place != Place::Body);
            others.any(|one| one.name == name)
        };
        self.given.retain(|(name, _)| !placed(name));
        let Some(body) = self.body(declared)? else {
            return Ok(());
        };
        if let Some(at) = self.given.iter().position(|(name, _)| *name == body.name) {
            let (_, value) = self.given.remove(at);
            self.body = Some(value.clone());
            return Ok(());
        }
        let known = match body.schema {
            Some(schema) => self.properties(schema, DEPTH_MAX)?,
            None => None,
        };
        let belongs = |name: &str| known.as_ref().is_none_or(|known| known.contains(&name));
        let (members, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.given)
            .into_iter()
            .partition(|(name, _)| belongs(name));
        self.given = others;
        if !members.is_empty() {
            let members = members.into_iter();
            let members = members.map(|(name, value)| (name.clone(), value.clone()));
            self.body = Some(Value::Object(members.collect()));
        } else if body.required {
            self.missing.push(body.name);
        }
        Ok(())
    }

    fn body(&self, declared: &[Parameter<'r>]) -> Result<Option<Body<'r>>, Problem> {
        if let Some(body) = declared.iter().find(|one| one.place == Place::Body) {
            return Ok(Some(Body {
                name: body.name,
                required: body.required,
                schema: body.schema,
            }));
        }
        let Some(body) = self.request_body()? else {
            return Ok(None);
        };
        let content = body.get("content").and_then(Value::as_object);
        let media = media(content.into_iter().flat_map(Map::keys).map(String::as_str));
        Ok(Some(Body {
            name: "body",
            required: body
                .get("required")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            schema: content.and_then(|content| content.get(media?)?.get("schema")),
        }))
    }

    fn request_body(&self) -> Result<Option<&'r Value>, Problem> {
        match (
            self.document.standard,
            self.operation.value.get("requestBody"),
        ) {
            (Standard::OpenApi3, Some(body)) => self.document.resolve(body).map(Some),
            _ => Ok(None),
        }
    }

    /// Lists the properties of a schema; none where it does not say them all.
    fn properties(&self, schema: &'r Value, depth: usize) -> Result<Option<Vec<&'r str>>, Problem> {
        let schema = self.document.resolve(schema)?;
        let is_open = ["oneOf", "anyOf"]
            .iter()
            .any(|word| schema.get(word).is_some())
            || schema
                .get("additionalProperties")
                .is_some_and(|more| *more != json!(false));
        if is_open || depth == 0 {
            return Ok(None);
        }
        let own = schema.get("properties").and_then(Value::as_object);
        let parts = schema.get("allOf").and_then(Value::as_array);
        if own.is_none() && parts.is_none() {
            return Ok(None);
        }
        let mut names: Vec<&str> = Vec::new();
        names.extend(own.into_iter().flat_map(Map::keys).map(String::as_str));
        for part in parts.into_iter().flatten() {
            match self.properties(part, depth - 1)? {
                Some(more) => names.extend(more),
                None => return Ok(None),
            }
        }
        Ok(Some(names))
    }

    /// Refuses parameters that are missing and those that have no place.
    fn check(&self, declared: &[Parameter<'r>]) -> Result<(), Problem> {
        let id = self.operation.id;
        if !self.missing.is_empty() {
            let missing = self.missing.join("\", \"");
            return Err(wrong(format!(
                "the operation \"{id}\" needs the parameter \"{missing}\""
            )));
        }
        let Some((name, _)) = self.given.first() else {
            return Ok(());
        };
        let known: Vec<&str> = declared.iter().map(|one| one.name).collect();
        let hint = suggestion(name, known, "parameter of it");
        Err(wrong(format!(
            "the operation \"{id}\" has no parameter \"{name}\"; {hint}"
        )))
    }

    fn url(&self) -> Result<Url, Problem> {
        let mut url = self.document.server(self.operation)?;
        let path = self.operation.path;
        if !path.starts_with('/') {
            return Err(wrong(
                "the operation's path in the document does not begin with '/'",
            ));
        }
        let names = path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split_once('}'));
        if let Some((name, _)) = names
            .into_iter()
            .find(|(name, _)| !self.path.contains_key(*name))
        {
            return Err(wrong(format!(
                "the document declares no parameter \"{name}\", which is in the operation's path"
            )));
        }
        let path = expand(path, &Value::Object(self.path.clone()))?;
        let path = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(url)
    }

    fn finish(mut self) -> Result<Map<String, Value>, Problem> {
        if !self.cookies.is_empty() {
            let cookies = self.cookies.join("; ");
            self.headers
                .insert("cookie".to_owned(), Value::String(cookies));
        }
        let is_named = |headers: &Map<String, Value>, wanted: &str| {
            headers.keys().any(|name| name.eq_ignore_ascii_case(wanted))
        };
        if !is_named(&self.headers, "accept")
            && let Some(accepted) = self.accepted()?
        {
            self.headers
                .insert("accept".to_owned(), Value::String(accepted));
        }
        let body = self.written_body()?;
        if let Some((_, media)) = &body
            && !is_named(&self.headers, "content-type")
        {
            self.headers.insert("content-type".to_owned(), json!(media));
        }
        let mut arguments = Map::new();
        arguments.insert("method".to_owned(), json!(self.operation.method));
        arguments.insert("query".to_owned(), Value::Object(self.query));
        arguments.insert("headers".to_owned(), Value::Object(self.headers));
        arguments.insert(
            "body".to_owned(),
            body.map_or(Value::Null, |(body, _)| body),
        );
        Ok(arguments)
    }

    /// Gives the body as http takes it, and its media type.
    fn written_body(&self) -> Result<Option<(Value, String)>, Problem> {
        let types = match self.request_body()? {
            Some(body) => {
                let content = body.get("content").and_then(Value::as_object);
                content
                    .into_iter()
                    .flat_map(Map::keys)
                    .map(String::as_str)
                    .collect()
            }
            None => self.document.texts(self.operation, "consumes"),
        };
        if !self.fields.is_empty() {
            if !types.is_empty() && !types.iter().any(|media| essence(media) == FORM) {
                return Err(wrong(
                    "the operation takes a form of a kind that is not supported",
                ));
            }
            return Ok(Some((Value::Object(self.fields.clone()), FORM.to_owned())));
        }
        let Some(body) = &self.body else {
            return Ok(None);
        };
        let media = media(types.into_iter()).unwrap_or("application/json");
        let written = match (essence(media), body) {
            (essence, body) if is_json(essence) => Value::String(body.to_string()),
            (FORM, body @ Value::Object(_)) | (_, body @ Value::String(_)) => body.clone(),
            (essence, _) => {
                return Err(wrong(format!(
                    "the operation takes {essence}; only a text can be sent as that"
                )));
            }
        };
        let is_any = media.contains('*');
        let media = if is_any { "application/json" } else { media };
        Ok(Some((written, media.to_owned())))
    }

    /// Gives the media types of good answers: those of JSON, or else all.
    fn accepted(&self) -> Result<Option<String>, Problem> {
        let mut types: Vec<&str> = match self.document.standard {
            Standard::Swagger2 => self.document.texts(self.operation, "produces"),
            Standard::OpenApi3 => {
                let responses = self.operation.value.get("responses");
                let mut types = Vec::new();
                for (status, response) in responses.and_then(Value::as_object).into_iter().flatten()
                {
                    if status.starts_with('2') || status == "default" {
                        let content = self.document.resolve(response)?.get("content");
                        let content = content.and_then(Value::as_object);
                        types.extend(content.into_iter().flat_map(Map::keys).map(String::as_str));
                    }
                }
                types
            }
        };
        if types.iter().any(|media| is_json(essence(media))) {
            types.retain(|media| is_json(essence(media)));
        }
        types.sort_unstable();
        types.dedup();
        types.truncate(ACCEPTED_MAX);
        Ok((!types.is_empty()).then(|| types.join(", ")))
    }
}

/// Chooses the media type of a body: JSON, else a form, else the first.
fn media<'m>(types: impl Iterator<Item = &'m str>) -> Option<&'m str> {
    types.min_by_key(|media| match essence(media) {
        essence if is_json(essence) => 0,
        FORM => 1,
        _ => 2,
    })
}

fn essence(media: &str) -> &str {
    media.split(';').next().unwrap_or_default().trim()
}

fn is_json(essence: &str) -> bool {
    matches!(essence, "application/json" | "*/*" | "application/*") || essence.ends_with("+json")
}
