//! Parameters of operations: where they go and how they are written.

use serde_json::Value;

use super::document::{Document, Operation, Standard};
use super::wrong;
use crate::functions::http::request::plain;
use crate::interpreter::Problem;

/// Headers that OpenAPI 3 describes elsewhere and not as parameters.
const NO_PARAMETERS: [&str; 3] = ["accept", "authorization", "content-type"];

/// Where a parameter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
    Cookie,
    /// A field of a form (Swagger 2.0).
    Field,
    /// The whole body (Swagger 2.0).
    Body,
}

/// How a parameter is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style<'d> {
    /// Members are separated; exploded ones stand for themselves.
    Separated {
        by: char,
        explode: bool,
    },
    /// `name[member]=value`
    Deep,
    Json,
    Unknown(&'d str),
}

/// A parameter as the document declares it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter<'d> {
    pub(super) name: &'d str,
    pub(super) place: Place,
    pub(super) required: bool,
    /// The schema of a body.
    pub(super) schema: Option<&'d Value>,
    style: Style<'d>,
}

/// Lists the parameters of an operation, those of its path, and API keys.
pub(super) fn declared<'d>(
    document: &'d Document,
    operation: &Operation<'d>,
) -> Result<Vec<Parameter<'d>>, Problem> {
    let mut declared: Vec<Parameter<'d>> = Vec::new();
    // What comes first counts: the operation's own parameters replace the path's.
    let mut add = |parameter: Parameter<'d>| {
        let is_known =
            |known: &Parameter<'_>| known.name == parameter.name && known.place == parameter.place;
        if !declared.iter().any(is_known) {
            declared.push(parameter);
        }
    };
    for holder in [operation.value, operation.item] {
        let list = holder.get("parameters").and_then(Value::as_array);
        for value in list.into_iter().flatten() {
            let value = document.resolve(value)?;
            if let Some(parameter) = Parameter::read(value, document.standard)? {
                add(parameter);
            }
        }
    }
    for scheme in document.schemes() {
        if scheme.get("type").and_then(Value::as_str) == Some("apiKey")
            && let Some(parameter) = Parameter::read(scheme, Standard::Swagger2)?
        {
            add(parameter);
        }
    }
    Ok(declared)
}

impl<'d> Parameter<'d> {
    fn read(value: &'d Value, standard: Standard) -> Result<Option<Self>, Problem> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let flag = |name: &str| value.get(name).and_then(Value::as_bool);
        let (Some(name), Some(place)) = (text("name"), text("in")) else {
            return Err(wrong(
                "the document has a parameter without 'name' and 'in'",
            ));
        };
        let place = match place {
            "path" => Place::Path,
            "query" => Place::Query,
            "header" => Place::Header,
            "cookie" => Place::Cookie,
            "formData" => Place::Field,
            "body" => Place::Body,
            _ => {
                return Err(wrong(format!(
                    "the document puts the parameter \"{name}\" into \"{place}\", which is no place"
                )));
            }
        };
        let style = match standard {
            Standard::Swagger2 => match text("collectionFormat") {
                None | Some("csv") => separated(',', false),
                Some("ssv") => separated(' ', false),
                Some("tsv") => separated('\t', false),
                Some("pipes") => separated('|', false),
                Some("multi") => separated(',', true),
                Some(other) => Style::Unknown(other),
            },
            Standard::OpenApi3 => {
                let ignored = NO_PARAMETERS
                    .iter()
                    .any(|one| name.eq_ignore_ascii_case(one));
                if place == Place::Header && ignored {
                    return Ok(None);
                }
                let usual = match place {
                    Place::Query | Place::Cookie => "form",
                    _ => "simple",
                };
                let style = text("style").unwrap_or(usual);
                let explode = flag("explode").unwrap_or(style == "form");
                match style {
                    _ if value.get("content").is_some() => Style::Json,
                    "form" | "simple" => separated(',', explode),
                    "spaceDelimited" => separated(' ', explode),
                    "pipeDelimited" => separated('|', explode),
                    "deepObject" => Style::Deep,
                    other => Style::Unknown(other),
                }
            }
        };
        Ok(Some(Self {
            name,
            place,
            required: place == Place::Path || flag("required").unwrap_or(false),
            schema: value.get("schema"),
            style,
        }))
    }

    /// Writes a value as one text.
    pub(super) fn text(&self, value: &Value) -> Result<String, Problem> {
        let (by, explode) = match self.style {
            Style::Separated { by, explode } => (by, explode),
            Style::Json => return Ok(value.to_string()),
            Style::Deep => return Err(self.unwritable("a deep object stands in the query only")),
            Style::Unknown(style) => return Err(self.unknown(style)),
        };
        let parts = match value {
            Value::Array(items) => self.items(items)?,
            Value::Object(members) => {
                let mut parts = Vec::new();
                for (name, member) in members.iter().filter(|(_, member)| !member.is_null()) {
                    let member = self.item(member)?;
                    if explode {
                        parts.push(format!("{name}={member}"));
                    } else {
                        parts.extend([name.clone(), member]);
                    }
                }
                parts
            }
            single => vec![self.item(single)?],
        };
        Ok(parts.join(&by.to_string()))
    }

    /// Writes a value as names with their texts, for a query.
    pub(super) fn pairs(&self, value: &Value) -> Result<Vec<(String, Vec<String>)>, Problem> {
        let own = |texts: Vec<String>| vec![(self.name.to_owned(), texts)];
        let exploded = matches!(self.style, Style::Separated { explode: true, .. });
        match (value, self.style) {
            (Value::Array(items), _) if exploded => Ok(own(self.items(items)?)),
            (Value::Object(members), style) if exploded || style == Style::Deep => {
                let members = members.iter().filter(|(_, member)| !member.is_null());
                members
                    .map(|(name, member)| {
                        let texts = match member {
                            Value::Array(items) => self.items(items)?,
                            single => vec![self.item(single)?],
                        };
                        let name = match style {
                            Style::Deep => format!("{}[{name}]", self.name),
                            _ => name.clone(),
                        };
                        Ok((name, texts))
                    })
                    .collect()
            }
            (Value::Array(_) | Value::Object(_), _) => Ok(own(vec![self.text(value)?])),
            (_, Style::Deep) => Ok(own(vec![self.item(value)?])),
            _ => Ok(own(vec![self.text(value)?])),
        }
    }

    fn items(&self, items: &[Value]) -> Result<Vec<String>, Problem> {
        let items = items.iter().filter(|item| !item.is_null());
        items.map(|item| self.item(item)).collect()
    }

    fn item(&self, value: &Value) -> Result<String, Problem> {
        plain(value).ok_or_else(|| self.unwritable("its members are no texts, numbers or booleans"))
    }

    fn unknown(&self, style: &str) -> Problem {
        self.unwritable(&format!("the style {style} is not supported"))
    }

    fn unwritable(&self, why: &str) -> Problem {
        wrong(format!(
            "the parameter \"{}\" cannot be written: {why}",
            self.name
        ))
    }
}

fn separated(by: char, explode: bool) -> Style<'static> {
    Style::Separated { by, explode }
}
