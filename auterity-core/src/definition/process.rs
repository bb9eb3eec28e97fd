//! What run tasks start.

use serde_json::{Map, Value};

use super::endpoint::ExternalResource;
use super::mistake::Place;
use super::parse::Node;
use super::record::{Closed, Part, Reader, record, words};
use super::text::{Name, VersionOrLatest};
use super::timeout::Duration;
use super::union::one_of;

/// What a run task does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    pub(crate) process: Process,
    pub(crate) awaited: Option<bool>,
    pub(crate) returned: Option<Returned>,
}

/// What is started.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Process {
    Container(Box<Container>),
    Script(Box<Script>),
    Shell(Box<Shell>),
    Workflow(Box<SubWorkflow>),
}

words! {
    /// What of a process is given on.
    Returned, "kind of result" {
        Stdout = "stdout",
        Stderr = "stderr",
        Code = "code",
        All = "all",
        None = "none",
    }
}

record! {
    Container: Closed, "a container" {
        required image: String = "image",
        optional name: String = "name",
        optional command: String = "command",
        optional ports: Map<String, Value> = "ports",
        optional volumes: Map<String, Value> = "volumes",
        optional environment: Map<String, Value> = "environment",
        optional stdin: String = "stdin",
        optional arguments: Vec<String> = "arguments",
        optional lifetime: Lifetime = "lifetime",
        optional pull_policy: PullPolicy = "pullPolicy",
    }
}

record! {
    LifetimeProperties: Closed, "the lifetime" {
        required cleanup: Cleanup = "cleanup",
        optional after: Duration = "after",
    }
}

/// Has `after` exactly if the cleanup is `eventually`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lifetime(pub(crate) LifetimeProperties);

words! {
    Cleanup, "cleanup policy" {
        Always = "always",
        Never = "never",
        Eventually = "eventually",
    }
}

words! {
    PullPolicy, "pull policy" {
        IfNotPresent = "ifNotPresent",
        Always = "always",
        Never = "never",
    }
}

record! {
    ScriptProperties: Closed, "a script" {
        required language: String = "language",
        optional stdin: String = "stdin",
        optional arguments: Vec<String> = "arguments",
        optional environment: Map<String, Value> = "environment",
        optional code: String = "code",
        optional source: ExternalResource = "source",
    }
}

/// Has one of code and source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Script(pub(crate) ScriptProperties);

record! {
    Shell: Closed, "a shell command" {
        required command: String = "command",
        optional stdin: String = "stdin",
        optional arguments: Vec<String> = "arguments",
        optional environment: Map<String, Value> = "environment",
    }
}

record! {
    SubWorkflow: Closed, "a workflow to start" {
        required namespace: Name = "namespace",
        required name: Name = "name",
        required version: VersionOrLatest = "version",
        optional input: Map<String, Value> = "input",
    }
}

impl Part for Lifetime {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let lifetime = LifetimeProperties::read(node, reader)?;
        match (lifetime.cleanup, node.get("after")) {
            (Cleanup::Eventually, None) => {
                let message = "the cleanup \"eventually\" needs \"after\"".to_owned();
                reader.report_at(
                    "missing_property",
                    Place::Key,
                    message,
                    "add `after:` with a duration",
                );
                None
            }
            (Cleanup::Always | Cleanup::Never, Some(_)) => {
                let message = "\"after\" goes with the cleanup \"eventually\" only".to_owned();
                reader.within("after", |reader| {
                    reader.report_at(
                        "contradiction",
                        Place::Key,
                        message,
                        "remove it, or change the cleanup",
                    );
                });
                None
            }
            _ => Some(Self(lifetime)),
        }
    }

    fn write(&self) -> Value {
        self.0.write()
    }
}

impl Part for Script {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let source = one_of(&mut reader.fields(node, "a script")?, &["code", "source"]);
        let script = ScriptProperties::read(node, reader)?;
        source.map(|_| Self(script))
    }

    fn write(&self) -> Value {
        self.0.write()
    }
}

const PROCESSES: [&str; 4] = ["container", "script", "shell", "workflow"];

impl Part for Run {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "run")?;
        let awaited = fields.optional("await");
        let returned = fields.optional("return");
        let process = match one_of(&mut fields, &PROCESSES) {
            Some("container") => fields.optional("container").map(Process::Container),
            Some("script") => fields.optional("script").map(Process::Script),
            Some("shell") => fields.optional("shell").map(Process::Shell),
            Some(_) => fields.optional("workflow").map(Process::Workflow),
            None => return None,
        };
        fields.close();
        Some(Self {
            process: process?,
            awaited,
            returned,
        })
    }

    fn write(&self) -> Value {
        let mut object = Map::new();
        object.insert(self.process.word().to_owned(), self.process.write());
        if let Some(awaited) = self.awaited {
            object.insert("await".to_owned(), awaited.write());
        }
        if let Some(returned) = self.returned {
            object.insert("return".to_owned(), returned.write());
        }
        Value::Object(object)
    }
}

impl Process {
    /// The property that has the process.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Container(_) => "container",
            Self::Script(_) => "script",
            Self::Shell(_) => "shell",
            Self::Workflow(_) => "workflow",
        }
    }

    pub(crate) fn write(&self) -> Value {
        match self {
            Self::Container(part) => part.write(),
            Self::Script(part) => part.write(),
            Self::Shell(part) => part.write(),
            Self::Workflow(part) => part.write(),
        }
    }
}
