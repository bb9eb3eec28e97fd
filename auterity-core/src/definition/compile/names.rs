//! Names that a definition gives: variables, and references to parts under `use`.

use super::Compiler;
use crate::definition::mistake::{Finding, Place, pointer_join, suggestion};

const RESERVED: [&str; 8] = [
    "context",
    "input",
    "output",
    "task",
    "workflow",
    "runtime",
    "secrets",
    "authorization",
];

impl Compiler<'_> {
    /// Gives the name of a variable, or its default; checks the name.
    pub(super) fn variable(
        &mut self,
        given: Option<&String>,
        default: &str,
        pointer: &str,
    ) -> String {
        let Some(name) = given else {
            return default.to_owned();
        };
        let first = name.chars().next();
        let fits = first.is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let wrong = if !fits {
            let hint = "use letters, digits and underscores, and write it without $ here";
            Some((
                "bad_variable_name",
                format!("\"{name}\" cannot name a variable"),
                hint,
            ))
        } else if RESERVED.contains(&name.as_str()) {
            let message = format!("the variable ${name} has a meaning already");
            Some(("reserved_name", message, "choose another name"))
        } else {
            None
        };
        if let Some((code, message, hint)) = wrong {
            let finding = Finding::new(code, pointer, Place::Value, message);
            self.report(finding.with_hint(hint));
        }
        name.clone()
    }

    /// Reports that a name is not in a group under `use`.
    pub(super) fn unknown(
        &mut self,
        (group, code, what): (&str, &'static str, &str),
        name: &str,
        pointer: &str,
    ) {
        let group = self.tree.find(&format!("/use/{group}"));
        let group = group
            .and_then(crate::definition::parse::Node::entries)
            .unwrap_or_default();
        let known: Vec<&str> = group.iter().map(|entry| entry.key.as_str()).collect();
        if known.contains(&name) {
            // It is there and has mistakes of its own, which are reported.
            return;
        }
        let message = format!("there is no {what} \"{name}\"");
        let hint = suggestion(name, known, &format!("{what} under `use`"));
        let finding = Finding::new(code, pointer, Place::Value, message);
        self.report(finding.with_hint(hint));
    }

    /// Checks that a secret is declared.
    pub(super) fn secret(&mut self, name: &str, pointer: &str, place: Place) {
        if self.secrets.contains(name) {
            return;
        }
        let message = format!("the secret \"{name}\" is not declared");
        let hint = if self.secrets.is_empty() {
            format!("add it under `use`: secrets: [{name}]")
        } else {
            suggestion(name, self.secrets.iter().copied(), "secret under `use`")
        };
        let finding = Finding::new("unknown_secret", pointer, place, message);
        self.report(finding.with_hint(hint));
    }

    /// Notes that a part under `use` is referred to; gives its pointer.
    pub(super) fn refer(&mut self, group: &str, name: &str) -> String {
        let pointer = pointer_join(&format!("/use/{group}"), name);
        self.used.insert(pointer.clone());
        pointer
    }
}
