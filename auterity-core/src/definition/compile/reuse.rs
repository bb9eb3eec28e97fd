//! Parts under `use`.

use std::collections::HashSet;

use serde_json::Value;

use super::Compiler;
use super::expressions::Secrets;
use crate::definition::document::{Extended, Use};
use crate::definition::mistake::{Finding, Place, pointer_join, pointer_path};
use crate::definition::parse::{Node, NodeValue};
use crate::definition::program::{self, ListIndex};
use crate::definition::record::Part;
use crate::definition::task::{ErrorDefinition, TaskKind, TaskList};
use crate::definition::timeout::Referenced;
use crate::expression::Template;

/// Tells whether an extension is for tasks of this kind.
fn extends(extended: Extended, kind: &TaskKind) -> bool {
    match extended {
        Extended::All => true,
        Extended::Call => matches!(kind, TaskKind::Call(_)),
        Extended::Composite => matches!(kind, TaskKind::Do(_) | TaskKind::Fork(_)),
        Extended::Emit => matches!(kind, TaskKind::Emit(_)),
        Extended::For => matches!(kind, TaskKind::For { .. }),
        Extended::Listen => matches!(kind, TaskKind::Listen { .. }),
        Extended::Raise => matches!(kind, TaskKind::Raise(_)),
        Extended::Run => matches!(kind, TaskKind::Run(_)),
        Extended::Set => matches!(kind, TaskKind::Set(_)),
        Extended::Switch => matches!(kind, TaskKind::Switch(_)),
        Extended::Try => matches!(kind, TaskKind::Try { .. }),
        Extended::Wait => matches!(kind, TaskKind::Wait(_)),
    }
}

impl Compiler<'_> {
    /// Compiles the functions, each into a list of one task.
    pub(super) fn functions(&mut self) {
        let reusable = self.definition.root.reusable.as_ref();
        let Some(functions) = reusable.and_then(|reusable| reusable.functions.as_ref()) else {
            return;
        };
        // Functions may call each other, so all have their list before the first is compiled.
        for _ in functions {
            self.lists.push(Vec::new());
            let index = super::lists::index_of(self.lists.len() - 1);
            self.functions.push(ListIndex(index));
        }
        for (index, (name, task)) in functions.iter().enumerate() {
            self.function = Some(index);
            self.tasks_met += 1;
            let pointer = pointer_join("/use/functions", name);
            let task = self.task(name, task, Some(&super::lists::Names::new()), &pointer);
            let list = self.functions[index].0 as usize;
            self.lists[list] = vec![task];
        }
        self.function = None;
        self.check_cycles(functions.len());
    }

    /// Reports functions that call themselves, directly or through others.
    fn check_cycles(&mut self, count: usize) {
        let calls = std::mem::take(&mut self.calls);
        let mut callees = vec![Vec::new(); count];
        for (caller, callee, _) in &calls {
            callees[*caller].push(*callee);
        }
        for (caller, callee, pointer) in calls {
            let mut reached = vec![false; count];
            let mut open = vec![callee];
            while let Some(function) = open.pop() {
                if std::mem::replace(&mut reached[function], true) {
                    continue;
                }
                open.extend(&callees[function]);
            }
            if reached[caller] {
                let message = "the function calls itself, and would never end";
                let finding = Finding::new("function_cycle", pointer, Place::Value, message);
                self.report(
                    finding.with_hint(
                        "use a loop (`for`, or a jump back), or a workflow that it runs",
                    ),
                );
            }
        }
    }

    /// Checks what is under `use` and referred to by nobody.
    pub(super) fn unused(&mut self) {
        let Some(reusable) = self.definition.root.reusable.as_ref() else {
            return;
        };
        for (name, policy) in reusable.authentications.iter().flatten() {
            let pointer = pointer_join("/use/authentications", name);
            let value = policy.write();
            self.template(&value, &pointer, Secrets::Allowed);
            self.with_secrets(&value, &pointer);
        }
        for (name, error) in reusable.errors.iter().flatten() {
            let pointer = pointer_join("/use/errors", name);
            if !self.used.contains(&pointer) {
                self.template(&error.write(), &pointer, Secrets::Forbidden);
            }
        }
        for (name, policy) in reusable.retries.iter().flatten() {
            let pointer = pointer_join("/use/retries", name);
            if !self.used.contains(&pointer) {
                self.with_variables(&["error"], |compiler| {
                    compiler.retry_policy(policy, &pointer)
                });
            }
        }
        for (name, timeout) in reusable.timeouts.iter().flatten() {
            let pointer = pointer_join("/use/timeouts", name);
            if !self.used.contains(&pointer) {
                self.length(&timeout.after, &pointer_path(&pointer, "after"));
            }
        }
        self.secrets(reusable);
        self.extending = true;
        self.extensions(reusable);
        self.extending = false;
    }

    fn secrets(&mut self, reusable: &Use) {
        let secrets = reusable.secrets.as_deref().unwrap_or_default();
        let mut known = HashSet::with_capacity(secrets.len());
        for (index, secret) in secrets.iter().enumerate() {
            let pointer = pointer_join("/use/secrets", &index.to_string());
            if secret.is_empty() {
                let is_text = |node: &Node| matches!(node.value, NodeValue::Text(_));
                if !self.tree.find(&pointer).is_some_and(is_text) {
                    // Not a text, which is reported as such.
                    continue;
                }
                let finding =
                    Finding::new("empty_text", pointer, Place::Value, "the name is empty");
                self.report(finding.with_hint("give the secret's name"));
            } else if !known.insert(secret) {
                let message = format!("the secret \"{secret}\" is there twice");
                let finding = Finding::new("duplicate_secret", pointer, Place::Value, message);
                self.report(finding.with_hint("remove one of them"));
            }
        }
    }

    fn extensions(&mut self, reusable: &Use) {
        let extensions = reusable.extensions.as_deref().unwrap_or_default();
        for (index, extension) in extensions.iter().enumerate() {
            let pointer = pointer_join("/use/extensions", &index.to_string());
            let pointer = pointer_join(&pointer, &extension.name);
            let extension = &extension.value;
            let mut list = |tasks: Option<&TaskList>, name: &str| {
                let pointer = pointer_path(&pointer, name);
                tasks.map(|tasks| self.list(tasks, &pointer))
            };
            let (before, after) = (
                list(extension.before.as_ref(), "before"),
                list(extension.after.as_ref(), "after"),
            );
            let when = self.optional_expression(extension.when.as_ref(), &pointer, "when");
            self.extensions.push(program::Extension {
                when,
                before,
                after,
            });
        }
    }

    /// Finds the extensions of a kind of task.
    pub(super) fn extended_by(&self, kind: &TaskKind) -> Vec<u32> {
        let reusable = self.definition.root.reusable.as_ref();
        let extensions = reusable.and_then(|reusable| reusable.extensions.as_deref());
        let extensions = extensions.filter(|_| !self.extending).unwrap_or_default();
        let places = extensions.iter().enumerate();
        let places = places.filter(|(_, extension)| extends(extension.value.extend, kind));
        places
            .map(|(place, _)| super::lists::index_of(place))
            .collect()
    }

    /// Compiles an error that is raised: its object with expressions.
    pub(super) fn error(
        &mut self,
        error: &Referenced<ErrorDefinition>,
        pointer: &str,
    ) -> Option<Template> {
        let (value, pointer): (Value, String) = match error {
            Referenced::Inline(error) => (error.write(), pointer.to_owned()),
            Referenced::Name(name) => {
                let reusable = self.definition.root.reusable.as_ref();
                let known = reusable.and_then(|reusable| reusable.errors.as_ref());
                let Some(found) = known.and_then(|known| known.get(name)) else {
                    self.unknown(("errors", "unknown_error", "error"), name, pointer);
                    return None;
                };
                (found.write(), self.refer("errors", name))
            }
        };
        self.template(&value, &pointer, Secrets::Forbidden)
    }
}
