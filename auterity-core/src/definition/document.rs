//! The whole definition.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::auth::AuthenticationPolicy;
use super::data::{Input, Output};
use super::endpoint::Catalog;
use super::parse::Node;
use super::record::{Closed, Part, Reader, record, words};
use super::retry::RetryPolicy;
use super::schedule::Schedule;
use super::task::{ErrorDefinition, Task, TaskList};
use super::text::{DslVersion, Name, Version};
use super::timeout::{Referenced, Timeout};
use super::union::Named;
use super::yaml;

/// A workflow definition: a document of the Serverless Workflow DSL 1.0.
///
/// Two definitions are equal when they say the same, whatever their layout,
/// comments and order of properties.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    pub(crate) root: Root,
}

record! {
    Root: Closed, "a definition" {
        lenient document: Document = "document",
        optional input: Input = "input",
        optional reusable: Use = "use",
        lenient tasks: TaskList = "do",
        optional timeout: Referenced<Timeout> = "timeout",
        optional output: Output = "output",
        optional schedule: Schedule = "schedule",
        optional evaluate: Evaluate = "evaluate",
    }
}

record! {
    /// What the workflow is.
    Document: Closed, "the document" {
        required dsl: DslVersion = "dsl",
        required namespace: Name = "namespace",
        required name: Name = "name",
        required version: Version = "version",
        optional title: String = "title",
        optional summary: String = "summary",
        optional tags: Map<String, Value> = "tags",
        optional metadata: Map<String, Value> = "metadata",
    }
}

record! {
    /// Parts that others refer to by name.
    Use: Closed, "use" {
        optional authentications: IndexMap<String, AuthenticationPolicy> = "authentications",
        optional errors: IndexMap<String, ErrorDefinition> = "errors",
        optional extensions: Vec<Named<Extension>> = "extensions",
        optional functions: IndexMap<String, Task> = "functions",
        optional retries: IndexMap<String, RetryPolicy> = "retries",
        optional secrets: Vec<String> = "secrets",
        optional timeouts: IndexMap<String, Timeout> = "timeouts",
        optional catalogs: IndexMap<String, Catalog> = "catalogs",
    }
}

record! {
    /// Tasks around other tasks.
    Extension: Closed, "an extension" {
        required extend: Extended = "extend",
        optional when: String = "when",
        optional before: TaskList = "before",
        optional after: TaskList = "after",
    }
}

words! {
    Extended, "kind of task" {
        Call = "call",
        Composite = "composite",
        Emit = "emit",
        For = "for",
        Listen = "listen",
        Raise = "raise",
        Run = "run",
        Set = "set",
        Switch = "switch",
        Try = "try",
        Wait = "wait",
        All = "all",
    }
}

record! {
    /// How expressions are told from plain texts.
    Evaluate: Closed, "evaluate" {
        optional language: Language = "language",
        optional mode: EvaluateMode = "mode",
    }
}

words! {
    Language, "expression language" { Jq = "jq" }
}

words! {
    EvaluateMode, "evaluation mode" {
        Strict = "strict",
        Loose = "loose",
    }
}

/// Stands for a document with mistakes, so that reading goes on.
impl Default for Document {
    fn default() -> Self {
        Self {
            dsl: DslVersion(String::new()),
            namespace: Name(String::new()),
            name: Name(String::new()),
            version: Version(String::new()),
            title: None,
            summary: None,
            tags: None,
            metadata: None,
            rest: Closed,
        }
    }
}

impl Definition {
    /// Reads what can be read; mistakes are with the reader.
    pub(crate) fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        Root::read(node, reader).map(|root| Self { root })
    }

    /// Gives the definition as JSON; properties come in a fixed order.
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.root.write()
    }

    /// Gives the definition as YAML text.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        yaml::write(&self.to_value())
    }

    /// Gives the definition as indented JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        format!("{:#}", self.to_value())
    }

    /// Gives the workflow's namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.root.document.namespace.0
    }

    /// Gives the workflow's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.root.document.name.0
    }

    /// Gives the workflow's semantic version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.root.document.version.0
    }
}
