//! Schemas of data.

use serde_json::Value;

use super::endpoint::ExternalResource;
use super::parse::Node;
use super::record::{Closed, Part, Reader, record};

record! {
    /// A JSON Schema in place, or where to find one.
    SchemaDefinition: Closed, "a schema" {
        optional format: String = "format",
        optional document: Value = "document",
        optional resource: ExternalResource = "resource",
    }
}

/// A schema with one source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schema(pub(crate) SchemaDefinition);

impl Part for Schema {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let definition = SchemaDefinition::read(node, reader)?;
        match (node.get("document"), node.get("resource")) {
            (Some(_), Some(_)) => {
                let message = "a schema has both \"document\" and \"resource\"".to_owned();
                reader.report("contradiction", message, "keep one of them");
                None
            }
            (None, None) => {
                let message = "a schema needs \"document\" or \"resource\"".to_owned();
                reader.report(
                    "missing_property",
                    message,
                    "add `document:` with the JSON Schema",
                );
                None
            }
            _ => Some(Self(definition)),
        }
    }

    fn write(&self) -> Value {
        self.0.write()
    }
}

/// How many violations one check gives at most.
const VIOLATIONS_MAX: usize = 100;
/// How large one compiled pattern of a schema may be, in bytes.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// A JSON Schema, compiled.
#[derive(Debug)]
pub(crate) struct SchemaCheck {
    document: Value,
    validator: jsonschema::Validator,
}

impl SchemaCheck {
    /// Compiles a schema. Nothing is fetched, and patterns are matched in linear time.
    ///
    /// # Errors
    /// Gives the place inside the schema as JSON pointer, and what is wrong there.
    pub(crate) fn compile(document: &Value) -> Result<Self, (String, String)> {
        let patterns = jsonschema::PatternOptions::regex().size_limit(PATTERN_BYTES_MAX);
        let validator = jsonschema::options()
            .offline()
            .with_pattern_options(patterns)
            .build(document)
            .map_err(|error| (error.instance_path().to_string(), error.to_string()))?;
        Ok(Self {
            document: document.clone(),
            validator,
        })
    }

    /// Gives the schema itself.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "schemas that are fetched will have no document"
    )]
    pub(crate) fn document(&self) -> Option<&Value> {
        Some(&self.document)
    }

    /// Checks a value; the messages never show it.
    ///
    /// # Errors
    /// Gives each violation as JSON pointer and message.
    pub(crate) fn check(&self, value: &Value) -> Result<(), Vec<(String, String)>> {
        let violations: Vec<_> = self
            .validator
            .iter_errors(value)
            .take(VIOLATIONS_MAX)
            .map(|error| {
                (
                    error.instance_path().to_string(),
                    error.masked().to_string(),
                )
            })
            .collect();
        if violations.is_empty() {
            Ok(())
        } else {
            Err(violations)
        }
    }
}
