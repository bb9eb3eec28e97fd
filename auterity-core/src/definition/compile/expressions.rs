//! Expressions, templates, schemas and lengths of time.

use serde_json::Value;

use super::Compiler;
use crate::definition::data::{Export, Input, Output};
use crate::definition::mistake::{Finding, Place, pointer_join, pointer_path};
use crate::definition::program::{DataFilter, Length};
use crate::definition::record::Part;
use crate::definition::schema::{Schema, SchemaCheck};
use crate::definition::text::is_expression;
use crate::definition::timeout::Duration;
use crate::definition::union::ObjectOrText;
use crate::expression::{CompileError, Expression, Mode, Template, duration};

/// Variables that hold what must not reach the state of an execution.
const PROTECTED: [&str; 2] = ["secrets", "authorization"];

/// Whether secrets may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrets {
    Allowed,
    Forbidden,
}

impl Compiler<'_> {
    /// Compiles a text that is an expression whether or not it is in `${ }`.
    pub(super) fn expression(&mut self, source: &str, pointer: &str) -> Option<Expression> {
        if !self.fits(source, pointer) {
            return None;
        }
        match self.compile(source) {
            Ok(expression) => {
                if PROTECTED.iter().any(|name| expression.uses(name)) {
                    self.forbidden(pointer, source);
                    return None;
                }
                Some(expression)
            }
            Err(error) => {
                self.bad_expression(error, pointer);
                None
            }
        }
    }

    /// Compiles with protected variables in scope only where they are mentioned, so
    /// that other mistakes do not list them among the possible ones.
    fn compile(&mut self, source: &str) -> Result<Expression, CompileError> {
        let protected: &[&str] = if is_protected(source) {
            &PROTECTED
        } else {
            &[]
        };
        self.with_variables(protected, |compiler| {
            Expression::compile(source, &compiler.variables)
        })
    }

    pub(super) fn optional_expression(
        &mut self,
        source: Option<&String>,
        pointer: &str,
        key: &str,
    ) -> Option<Expression> {
        self.expression(source?, &pointer_path(pointer, key))
    }

    /// Compiles a value with expressions inside.
    pub(super) fn template(
        &mut self,
        value: &Value,
        pointer: &str,
        secrets: Secrets,
    ) -> Option<Template> {
        let before = self.findings.len();
        self.check_texts(value, pointer, secrets);
        if before < self.findings.len() {
            return None;
        }
        let compiled = self.build(value);
        match compiled {
            Ok(template) => Some(template),
            Err(errors) => {
                for (inner, error) in errors {
                    self.bad_expression(error, &format!("{pointer}{inner}"));
                }
                None
            }
        }
    }

    /// Compiles a value that was checked before.
    pub(super) fn build(&mut self, value: &Value) -> Result<Template, Vec<(String, CompileError)>> {
        let mode = self.mode;
        let mut is_mentioned = false;
        any_text(value, &mut |text| is_mentioned |= is_protected(text));
        let protected: &[&str] = if is_mentioned { &PROTECTED } else { &[] };
        self.with_variables(protected, |compiler| {
            Template::compile(value, &compiler.variables, mode)
        })
    }

    /// Checks what each text inside a value may be.
    fn check_texts(&mut self, value: &Value, pointer: &str, secrets: Secrets) {
        match value {
            Value::String(text) if is_expression(text) || self.mode == Mode::Loose => {
                if !is_expression(text) && self.options.limits.expression_bytes_max < text.len() {
                    // A long plain text is not meant as an expression.
                } else if self.fits(text, pointer) {
                    self.check_secrets(text, pointer, secrets);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.check_texts(item, &pointer_join(pointer, &index.to_string()), secrets);
                }
            }
            Value::Object(object) => {
                for (key, item) in object {
                    self.check_texts(item, &pointer_join(pointer, key), secrets);
                }
            }
            _ => {}
        }
    }

    fn check_secrets(&mut self, text: &str, pointer: &str, secrets: Secrets) {
        if !is_protected(text) {
            return;
        }
        // One that does not compile is reported with the template.
        let Ok(expression) = self.compile(text) else {
            return;
        };
        if !PROTECTED.iter().any(|name| expression.uses(name)) {
            return;
        }
        if secrets == Secrets::Forbidden {
            self.forbidden(pointer, text);
            return;
        }
        for (offset, name) in secret_names(text) {
            self.secret(&name, pointer, Place::Inside(offset));
        }
    }

    fn forbidden(&mut self, pointer: &str, source: &str) {
        let found = PROTECTED.iter().find_map(|name| {
            let offset = source.find(&format!("${name}"))?;
            Some((offset, *name))
        });
        let (offset, name) = found.unwrap_or((0, "secrets"));
        let message = format!("${name} cannot be used here: its value would be stored");
        let finding = Finding::new(
            "secret_not_allowed_here",
            pointer,
            Place::Inside(offset),
            message,
        );
        self.report(finding.with_hint("use it in the arguments (`with`) of a call"));
    }

    /// Checks the length of an expression, and of all so far.
    fn fits(&mut self, source: &str, pointer: &str) -> bool {
        let limits = &self.options.limits;
        let (one_max, all_max) = (limits.expression_bytes_max, limits.expressions_bytes_max);
        let before = self.expressions_bytes;
        self.expressions_bytes = before.saturating_add(source.len());
        let (code, message, hint) = if one_max < source.len() {
            let message = format!(
                "the expression has {} bytes, and {one_max} are possible",
                source.len()
            );
            let hint = "split it over several tasks (limit expression_bytes_max)";
            ("expression_too_long", message, hint)
        } else if all_max < self.expressions_bytes {
            if all_max < before {
                return false;
            }
            let message = format!("the expressions together have more than {all_max} bytes");
            let hint = "split the workflow into several (limit expressions_bytes_max)";
            ("expressions_too_long", message, hint)
        } else {
            return true;
        };
        let finding = Finding::new(code, pointer, Place::Value, message);
        self.report(finding.with_hint(hint));
        false
    }

    fn bad_expression(&mut self, error: CompileError, pointer: &str) {
        let place = Place::Inside(error.offset);
        let message = format!("bad expression: {}", error.message);
        let mut finding = Finding::new("bad_expression", pointer, place, message);
        let general = "expressions are jq: a field is .name, a text is in double quotes";
        finding.hint = Some(error.hint.unwrap_or_else(|| general.to_owned()));
        self.report(finding);
    }

    pub(super) fn input(&mut self, input: Option<&Input>, pointer: &str) -> DataFilter {
        let pointer = pointer_join(pointer, "input");
        match input {
            Some(input) => {
                self.filter(input.schema.as_ref(), input.from.as_ref(), &pointer, "from")
            }
            None => DataFilter::default(),
        }
    }

    pub(super) fn output(&mut self, output: Option<&Output>, pointer: &str) -> DataFilter {
        let pointer = pointer_join(pointer, "output");
        let Some(output) = output else {
            return DataFilter::default();
        };
        self.with_variables(&["output"], |compiler| {
            compiler.filter(
                output.schema.as_ref(),
                output.transform.as_ref(),
                &pointer,
                "as",
            )
        })
    }

    pub(super) fn export(&mut self, export: Option<&Export>, pointer: &str) -> DataFilter {
        let pointer = pointer_join(pointer, "export");
        let Some(export) = export else {
            return DataFilter::default();
        };
        self.with_variables(&["output"], |compiler| {
            compiler.filter(
                export.schema.as_ref(),
                export.transform.as_ref(),
                &pointer,
                "as",
            )
        })
    }

    fn filter(
        &mut self,
        schema: Option<&Schema>,
        transform: Option<&ObjectOrText>,
        pointer: &str,
        key: &str,
    ) -> DataFilter {
        let schema =
            schema.and_then(|schema| self.schema(schema, &pointer_join(pointer, "schema")));
        let pointer = pointer_join(pointer, key);
        let transform = match transform {
            Some(ObjectOrText::Text(source)) => {
                self.expression(source, &pointer).map(Template::Expression)
            }
            Some(ObjectOrText::Object(object)) => {
                self.template(&Value::Object(object.clone()), &pointer, Secrets::Forbidden)
            }
            None => None,
        };
        DataFilter { schema, transform }
    }

    fn schema(&mut self, schema: &Schema, pointer: &str) -> Option<SchemaCheck> {
        let schema = &schema.0;
        let format = schema.format.as_deref().unwrap_or("json");
        if format.split(':').next() != Some("json") {
            let what = format!("the schema format \"{format}\"");
            self.unsupported(&pointer_join(pointer, "format"), Place::Value, &what);
            return None;
        }
        let Some(document) = &schema.document else {
            let resource = schema.resource.as_ref()?;
            return self.external_schema(&resource.endpoint, &pointer_join(pointer, "resource"));
        };
        let pointer = pointer_join(pointer, "document");
        if !matches!(document, Value::Object(_) | Value::Bool(_)) {
            let message = "a JSON Schema is an object or a boolean";
            let finding = Finding::new("bad_schema", pointer, Place::Value, message);
            self.report(finding.with_hint("write the schema in place, such as { type: object }"));
            return None;
        }
        match SchemaCheck::compile(document) {
            Ok(check) => Some(check),
            Err((inner, message)) => {
                let message = format!("not a valid JSON Schema: {}", cut(&message));
                let hint = if inner.ends_with("/type") {
                    "types are string, number, integer, boolean, object, array and null"
                } else {
                    "references must stay inside the schema, and patterns have no look-around"
                };
                let pointer = format!("{pointer}{inner}");
                let finding = Finding::new("bad_schema", pointer, Place::Value, message);
                self.report(finding.with_hint(hint));
                None
            }
        }
    }

    pub(super) fn length(&mut self, duration: &Duration, pointer: &str) -> Option<Length> {
        match duration {
            Duration::Expression(source) => self.expression(source, pointer).map(Length::Computed),
            literal => match duration::from_value(&literal.write()) {
                Ok(span) => Some(Length::Literal(span)),
                Err(error) => {
                    let message = error.to_string();
                    self.report(Finding::new("bad_duration", pointer, Place::Value, message));
                    None
                }
            },
        }
    }

    pub(super) fn optional_length(
        &mut self,
        duration: Option<&Duration>,
        pointer: &str,
        key: &str,
    ) -> Option<Length> {
        self.length(duration?, &pointer_path(pointer, key))
    }
}

/// Cuts a message that quotes a large part of a schema.
fn cut(message: &str) -> String {
    const LENGTH_MAX: usize = 300;
    let mut cut: String = message.chars().take(LENGTH_MAX).collect();
    if cut.len() < message.len() {
        cut.push('…');
    }
    cut
}

/// Tells whether a text has the name of a protected variable in it.
fn is_protected(text: &str) -> bool {
    text.contains("$secrets") || text.contains("$authorization")
}

/// Calls `visit` with each text inside a value.
fn any_text(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter().for_each(|item| any_text(item, visit)),
        Value::Object(object) => object.values().for_each(|item| any_text(item, visit)),
        _ => {}
    }
}

/// Lists the secrets that the expressions inside a value name.
pub(super) fn secrets_of(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    any_text(value, &mut |text| {
        found.extend(secret_names(text).into_iter().map(|(_, name)| name));
    });
    found.sort_unstable();
    found.dedup();
    found
}

/// Finds the names after `$secrets` in an expression, with their places.
fn secret_names(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (start, matched) in text.match_indices("$secrets") {
        let rest = text.get(start + matched.len()..).unwrap_or_default();
        let rest = rest.trim_start();
        let after_point = rest.strip_prefix('.').map(str::trim_start);
        let after_bracket = after_point
            .unwrap_or(rest)
            .strip_prefix('[')
            .map(str::trim_start);
        let quoted = after_bracket
            .or(after_point)
            .and_then(|rest| rest.strip_prefix('"'));
        let name = match (quoted, after_bracket, after_point) {
            (Some(quoted), _, _) => quoted.split('"').next().unwrap_or_default(),
            (None, None, Some(rest)) => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
            }
            (None, _, _) => "",
        };
        let is_computed = name.contains('\\') || name.is_empty();
        if !is_computed {
            found.push((start, name.to_owned()));
        }
    }
    found
}
