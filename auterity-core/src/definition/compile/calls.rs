//! Calls: functions, arguments and authentication.

use serde_json::{Map, Value, json};

use super::Compiler;
use super::expressions::{Secrets, secrets_of};
use super::externals::Called;
use crate::definition::approval::APPROVAL;
use crate::definition::call::Call;
use crate::definition::identity::WorkflowRef;
use crate::definition::mistake::{Finding, Place, pointer_join, pointer_path, suggestion};
use crate::definition::program;
use crate::definition::record::Part;

/// Where arguments may have an authentication policy.
const POLICY_PLACES: [&str; 9] = [
    "/authentication",
    "/endpoint/authentication",
    "/document/endpoint/authentication",
    "/service/authentication",
    "/proto/endpoint/authentication",
    "/server/authentication",
    "/agentCard/endpoint/authentication",
    "/transport/http/endpoint/authentication",
    "/script/source/endpoint/authentication",
];

const SCHEMES: [&str; 5] = ["basic", "bearer", "digest", "oauth2", "oidc"];

impl Compiler<'_> {
    pub(super) fn call(&mut self, call: &Call, pointer: &str) -> Option<program::TaskKind> {
        let with = pointer_path(pointer, "with");
        if let Call::Function { name, with: given } = call {
            if let Some(index) = self.defined(name) {
                let arguments = match given {
                    Some(given) => {
                        let given = Value::Object(given.clone());
                        Some(self.template(&given, &with, Secrets::Forbidden)?)
                    }
                    None => None,
                };
                if let Some(caller) = self.function {
                    self.calls
                        .push((caller, index, pointer_path(pointer, "call")));
                }
                return Some(program::TaskKind::CallDefined {
                    body: self.functions[index],
                    arguments,
                });
            }
            if name == program::DURABLE_FUNCTION {
                self.durable_function(given.is_some(), pointer);
                return Some(program::TaskKind::Call(program::Call::bare(name)));
            }
            let given = given.clone().map(Value::Object);
            match self.external_call(name, given.as_ref(), pointer) {
                Called::Elsewhere(kind) => return Some(*kind),
                Called::Wrong => return None,
                Called::Here => {}
            }
            // A host may have a function of its own under this name.
            let is_registered = self.options.functions;
            if name == APPROVAL && !is_registered.is_some_and(|known| known(name)) {
                return self.approval(given.as_ref(), pointer);
            }
            self.check_function(name, &pointer_path(pointer, "call"));
        }
        let function = call.function().to_owned();
        let Some(arguments) = call.arguments() else {
            return Some(program::TaskKind::Call(program::Call::bare(&function)));
        };
        let called = match call {
            Call::AsyncApi(asked) => self.asyncapi(asked, &arguments, &with)?,
            _ => self.arguments(function, &arguments, &with)?,
        };
        Some(program::TaskKind::Call(called))
    }

    /// Finds a function of the definition itself.
    fn defined(&self, name: &str) -> Option<usize> {
        let functions = self.definition.root.reusable.as_ref()?.functions.as_ref()?;
        functions.get_index_of(name)
    }

    /// Checks the task of a definition that stands for a durable function.
    fn durable_function(&mut self, is_given: bool, pointer: &str) {
        let root = &self.definition.root;
        let first = root.tasks.first();
        let alone = first.filter(|_| root.tasks.len() == 1);
        let alone = alone.is_some_and(|task| pointer == pointer_join("/do/0", &task.name));
        let wrong = |message: &str| {
            let pointer = pointer_path(pointer, "call");
            Finding::new("durable_function", pointer, Place::Value, message)
        };
        let function = program::DURABLE_FUNCTION;
        if !alone || is_given {
            let message = format!(
                "a call of \"{function}\" is the only task of its definition, without `with`"
            );
            let hint = "start the workflow of a durable function with `run: workflow`";
            return self.report(wrong(&message).with_hint(hint));
        }
        let document = &root.document;
        let workflow = WorkflowRef {
            namespace: document.namespace.0.clone(),
            name: document.name.0.clone(),
            version: document.version.0.clone(),
        };
        if self
            .options
            .durable
            .is_some_and(|is_registered| !is_registered(&workflow))
        {
            let message = format!(
                "there is no durable function {}/{} {}",
                workflow.namespace, workflow.name, workflow.version
            );
            let hint = "the host registers durable functions in its code";
            self.report(wrong(&message).with_hint(hint));
        }
    }

    fn check_function(&mut self, name: &str, pointer: &str) {
        let Some(is_registered) = self.options.functions else {
            return;
        };
        if is_registered(name) {
            return;
        }
        let reusable = self.definition.root.reusable.as_ref();
        let defined = reusable.and_then(|reusable| reusable.functions.as_ref());
        let defined = defined
            .into_iter()
            .flat_map(indexmap::IndexMap::keys)
            .map(String::as_str);
        let built_in = [
            "http", "openapi", "grpc", "asyncapi", "mcp", "a2a", APPROVAL,
        ];
        let usual = ["echo", "store"].into_iter();
        let usual = usual.filter(|name| is_registered(name));
        let known: Vec<&str> = defined.chain(built_in).chain(usual).collect();
        let message = format!("there is no function \"{name}\"");
        let hint = suggestion(name, known, "function");
        let hint = match hint.strip_suffix('?') {
            Some(near) => format!("{near}? If it is one of the host, the host has to register it"),
            None => format!("{hint}; others are registered by the host"),
        };
        let finding = Finding::new("unknown_function", pointer, Place::Value, message);
        self.report(finding.with_hint(hint));
    }

    /// Compiles a call with its arguments, references to policies and secrets resolved.
    pub(super) fn arguments(
        &mut self,
        function: String,
        arguments: &Value,
        pointer: &str,
    ) -> Option<program::Call> {
        let template = self.template(arguments, pointer, Secrets::Allowed);
        let mut resolved = arguments.clone();
        let mut complete = true;
        for place in POLICY_PLACES {
            let Some(policy) = resolved.pointer_mut(place) else {
                continue;
            };
            let given = policy.take();
            match self.policy(&given, &format!("{pointer}{place}")) {
                Some(replacement) => {
                    if let Some(policy) = resolved.pointer_mut(place) {
                        *policy = replacement;
                    }
                }
                None => complete = false,
            }
        }
        let mut template = template.filter(|_| complete)?;
        if resolved != *arguments {
            // Mistakes in a policy are reported where it stands, under `use`.
            template = self.build(&resolved).ok()?;
        }
        Some(program::Call {
            function,
            arguments: Some(template),
            secrets: secrets_of(&resolved),
            awaited: true,
            foreach: None,
        })
    }

    /// Resolves a policy, or a reference to one.
    fn policy(&mut self, policy: &Value, pointer: &str) -> Option<Value> {
        let Some(name) = policy.get("use").and_then(Value::as_str) else {
            return self.with_secrets(policy, pointer);
        };
        let reusable = self.definition.root.reusable.as_ref();
        let known = reusable.and_then(|reusable| reusable.authentications.as_ref());
        let Some(found) = known.and_then(|known| known.get(name)) else {
            let pointer = pointer_join(pointer, "use");
            self.unknown(
                (
                    "authentications",
                    "unknown_authentication",
                    "authentication policy",
                ),
                name,
                &pointer,
            );
            return None;
        };
        let pointer = pointer_join("/use/authentications", name);
        self.with_secrets(&found.write(), &pointer)
    }

    /// Replaces `{ basic: { use: name } }` by expressions over the secret.
    pub(super) fn with_secrets(&mut self, policy: &Value, pointer: &str) -> Option<Value> {
        let scheme = SCHEMES
            .into_iter()
            .find(|scheme| policy.get(scheme).is_some())?;
        let Some(name) = policy
            .pointer(&format!("/{scheme}/use"))
            .and_then(Value::as_str)
        else {
            return Some(policy.clone());
        };
        self.secret(name, &format!("{pointer}/{scheme}/use"), Place::Value);
        let secret = format!("$secrets[{}]", Value::from(name));
        let property = |property: &str| format!("${{ {secret}.{property} }}");
        let properties = match scheme {
            "basic" | "digest" => json!({
                "username": property("username"),
                "password": property("password"),
            }),
            "bearer" => json!({ "token": property("token") }),
            _ => json!(format!("${{ {secret} }}")),
        };
        let mut resolved = Map::new();
        resolved.insert(scheme.to_owned(), properties);
        Some(Value::Object(resolved))
    }
}
