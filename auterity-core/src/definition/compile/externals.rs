//! Functions of catalogs and schemas that are kept elsewhere.

use serde_json::{Value, json};

use super::Compiler;
use super::lists::{Names, index_of};
use crate::definition::endpoint::Endpoint;
use crate::definition::externals::{Cataloged, External, function_address};
use crate::definition::mistake::{Finding, Place, pointer_join};
use crate::definition::parse::{Node, Source, build};
use crate::definition::program::{ListIndex, TaskKind};
use crate::definition::record::{Part, Reader};
use crate::definition::schema::SchemaCheck;
use crate::definition::task::Task;
use crate::definition::text::is_expression;

/// A function of a catalog, compiled once for all its calls.
#[derive(Debug)]
pub(super) struct ExternalFunction {
    name: String,
    body: ListIndex,
    /// The place that its tasks have in the program.
    pointer: String,
    tree: Node,
    /// Whether its compilation has not ended: a call of it is one by itself.
    open: bool,
}

/// What a name in a call is of.
pub(super) enum Called {
    /// A function of the definition or the host.
    Here,
    /// A function that is kept elsewhere.
    Elsewhere(Box<TaskKind>),
    /// Nothing: its mistake has been reported.
    Wrong,
}

/// The host's own catalog.
const DEFAULT: &str = "default";

impl Compiler<'_> {
    /// Compiles a call of a function that is kept elsewhere.
    pub(super) fn external_call(
        &mut self,
        name: &str,
        with: Option<&Value>,
        pointer: &str,
    ) -> Called {
        let called = pointer_join(pointer, "call");
        let address = if name.contains("://") {
            (function_address(name), Value::Null)
        } else if name.contains('@') {
            match self.catalog(name, &called) {
                Ok(Some(address)) => address,
                // The host's: a function like any other that it registers.
                Ok(None) => return Called::Here,
                Err(()) => return Called::Wrong,
            }
        } else {
            return Called::Here;
        };
        let text = self.options.externals.and_then(|known| known.get(name));
        let Some(text) = text else {
            self.miss(name, address, &called);
            // Where nothing is fetched, as in a check of the text alone, this stands for it.
            return Called::Elsewhere(Box::new(TaskKind::Switch(Vec::new())));
        };
        let text = text.to_owned();
        let body = self.external_function(name, &text, &called);
        let arguments = match with {
            Some(with) => {
                let with_pointer = pointer_join(pointer, "with");
                self.template(with, &with_pointer, super::expressions::Secrets::Forbidden)
                    .map(Some)
            }
            None => Some(None),
        };
        let (Some(body), Some(arguments)) = (body, arguments) else {
            return Called::Wrong;
        };
        Called::Elsewhere(Box::new(TaskKind::CallDefined { body, arguments }))
    }

    /// Finds where a function of a catalog is; none for one of the host.
    fn catalog(&mut self, name: &str, pointer: &str) -> Result<Option<(String, Value)>, ()> {
        let Some(cataloged) = Cataloged::read(name) else {
            let message = format!("\"{name}\" is no function of a catalog");
            let finding = Finding::new("bad_value", pointer, Place::Value, message);
            self.report(finding.with_hint("write it as name:version@catalog"));
            return Err(());
        };
        let reusable = self.definition.root.reusable.as_ref();
        let catalogs = reusable.and_then(|reusable| reusable.catalogs.as_ref());
        let Some(catalog) = catalogs.and_then(|catalogs| catalogs.get(cataloged.catalog)) else {
            if cataloged.catalog == DEFAULT {
                return Ok(None);
            }
            let what = ("catalogs", "unknown_catalog", "catalog");
            self.unknown(what, cataloged.catalog, pointer);
            return Err(());
        };
        let pointer = pointer_join("/use/catalogs", cataloged.catalog);
        let found = self.literal(&catalog.endpoint, &pointer);
        let (uri, policy) = found.ok_or(())?;
        Ok(Some((cataloged.address(&uri), policy)))
    }

    /// Gives the address and the policy of an endpoint that is needed before anything is
    /// executed.
    fn literal(&mut self, endpoint: &Endpoint, pointer: &str) -> Option<(String, Value)> {
        let (uri, policy) = match endpoint {
            Endpoint::Uri(uri) => (uri, None),
            Endpoint::Configured(configured) => {
                (&configured.uri, configured.authentication.as_ref())
            }
        };
        let uri = uri.write().as_str().unwrap_or_default().to_owned();
        if is_expression(&uri) {
            let message = "this address must be known before anything is executed";
            let finding = Finding::new("expression_not_allowed", pointer, Place::Value, message);
            self.report(finding.with_hint("write the address itself"));
            return None;
        }
        Some((uri, policy.map_or(Value::Null, Part::write)))
    }

    /// Notes that something has to be fetched.
    pub(super) fn miss(&mut self, name: &str, (uri, policy): (String, Value), pointer: &str) {
        if self.missing.iter().any(|missing| missing.name == name) {
            return;
        }
        let mut endpoint = json!({ "uri": uri });
        if !policy.is_null() {
            endpoint["authentication"] = policy;
        }
        let arguments = json!({
            "method": "get", "endpoint": endpoint, "redirect": true, "output": "raw",
        });
        if let Some(call) = self.arguments("http".to_owned(), &arguments, pointer)
            && let Some(arguments) = call.arguments
        {
            self.missing.push(External {
                name: name.to_owned(),
                arguments,
                secrets: call.secrets,
            });
        }
    }

    fn external_function(&mut self, name: &str, text: &str, called: &str) -> Option<ListIndex> {
        if let Some(known) = self.externals.iter().find(|known| known.name == name) {
            if known.open {
                let message = format!("the function \"{name}\" calls itself, and would never end");
                let finding = Finding::new("function_cycle", called, Place::Value, message);
                self.report(finding.with_hint("it is its catalog's to mend"));
                return None;
            }
            return Some(known.body);
        }
        let (tree, task) = match self.read_function(text) {
            Ok(read) => read,
            Err(message) => {
                self.report_external(name, &message, called);
                return None;
            }
        };
        self.lists.push(Vec::new());
        let body = ListIndex(index_of(self.lists.len() - 1));
        let pointer = pointer_join("/use/functions", name);
        self.externals.push(ExternalFunction {
            name: name.to_owned(),
            body,
            pointer: pointer.clone(),
            tree,
            open: true,
        });
        let place = self.externals.len() - 1;
        let before = self.findings.len();
        let index = self.apart(|compiler| {
            compiler.tasks_met += 1;
            compiler.task(name, &task, Some(&Names::new()), &pointer)
        });
        self.lists[body.0 as usize] = vec![index];
        self.externals[place].open = false;
        let wrong = self.findings.split_off(before.min(self.findings.len()));
        if let Some(first) = wrong.first() {
            let inner = first
                .pointer
                .strip_prefix(&pointer)
                .unwrap_or(&first.pointer);
            let message = format!("at \"{inner}\": {}", first.message);
            self.report_external(name, &message, called);
        }
        Some(body)
    }

    /// Compiles with only the variables that are there everywhere, and as no part of a
    /// function or extension of the definition.
    fn apart<R>(&mut self, compile: impl FnOnce(&mut Self) -> R) -> R {
        let variables = std::mem::take(&mut self.variables);
        self.variables = ["context", "input", "workflow", "runtime", "task"]
            .map(str::to_owned)
            .to_vec();
        let function = self.function.take();
        let extending = std::mem::replace(&mut self.extending, false);
        let result = compile(self);
        self.variables = variables;
        self.function = function;
        self.extending = extending;
        result
    }

    fn read_function(&self, text: &str) -> Result<(Node, Task), String> {
        let limits = &self.options.limits;
        if limits.text_bytes_max < text.len() {
            return Err(format!("it is longer than {} bytes", limits.text_bytes_max));
        }
        let source = Source::new(text);
        let (tree, mistakes) = build(text, &source, limits);
        if let Some(mistake) = mistakes.first() {
            return Err(mistake.to_string());
        }
        let tree = tree.ok_or("it is empty")?;
        let mut reader = Reader::new(1);
        let task = Task::read(&tree, &mut reader);
        match (task, reader.into_findings().first()) {
            (Some(task), None) => Ok((tree, task)),
            (_, Some(finding)) => Err(format!("at \"{}\": {}", finding.pointer, finding.message)),
            (None, None) => Err("it is no task".to_owned()),
        }
    }

    fn report_external(&mut self, name: &str, message: &str, called: &str) {
        let message = format!("what was fetched for \"{name}\" has a mistake: {message}");
        let finding = Finding::new("bad_external", called, Place::Value, message);
        self.report(
            finding.with_hint("it is to be mended where it is kept, or another version called"),
        );
    }

    /// Compiles a schema that is kept elsewhere.
    pub(super) fn external_schema(
        &mut self,
        endpoint: &Endpoint,
        pointer: &str,
    ) -> Option<SchemaCheck> {
        let text = self.options.externals.and_then(|known| known.get(pointer));
        let Some(text) = text else {
            if let Some(address) = self.literal(endpoint, pointer) {
                self.miss(pointer, address, pointer);
            }
            return None;
        };
        let document = crate::definition::read_data(text, &self.options.limits);
        let compiled = document
            .and_then(|document| SchemaCheck::compile(&document).map_err(|(_, message)| message));
        match compiled {
            Ok(check) => Some(check),
            Err(message) => {
                self.report_external("the schema", &message, pointer);
                None
            }
        }
    }

    /// Finds a node of the definition, or of a function that is kept elsewhere.
    pub(super) fn find(&self, pointer: &str) -> Option<&Node> {
        let external = self.externals.iter().find_map(|external| {
            let rest = pointer.strip_prefix(&external.pointer)?;
            (rest.is_empty() || rest.starts_with('/')).then_some((&external.tree, rest))
        });
        match external {
            Some((tree, rest)) => tree.find(rest),
            None => self.tree.find(pointer),
        }
    }
}
