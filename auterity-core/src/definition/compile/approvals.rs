//! Human tasks: `call: approval`.

use serde_json::{Map, Value};

use super::Compiler;
use super::expressions::Secrets;
use crate::definition::approval::{ARGUMENTS, ApprovalArguments};
use crate::definition::mistake::{Finding, Place, pointer_join, pointer_path, suggestion};
use crate::definition::program;
use crate::expression::Template;

impl Compiler<'_> {
    /// Compiles a human task; what stands there without expressions is checked now. Its
    /// arguments are kept, so they name no secrets.
    pub(super) fn approval(
        &mut self,
        given: Option<&Value>,
        pointer: &str,
    ) -> Option<program::TaskKind> {
        let with = pointer_path(pointer, "with");
        let Some(Value::Object(given)) = given else {
            let call = pointer_path(pointer, "call");
            let message = "an approval says what is to be decided";
            let finding = Finding::new("missing_property", call, Place::Value, message);
            self.report(finding.with_hint("add `with:` and a `title:` in it"));
            return None;
        };
        let mut known = true;
        for name in given.keys() {
            if !ARGUMENTS.contains(&name.as_str()) {
                known = false;
                let message = format!("approval has no argument \"{name}\"");
                let hint = suggestion(name, ARGUMENTS, "argument");
                let place = pointer_join(&with, name);
                let finding = Finding::new("unknown_property", place, Place::Key, message);
                self.report(finding.with_hint(hint));
            }
        }
        let template = self.template(&Value::Object(given.clone()), &with, Secrets::Forbidden)?;
        if !known {
            return None;
        }
        if let Err((place, message)) = ApprovalArguments::read(plain(&template, given)) {
            let place = format!("{with}{place}");
            let message = format!("the arguments of approval are wrong: {message}");
            self.report(Finding::new("wrong_argument", place, Place::Value, message));
            return None;
        }
        Some(program::TaskKind::Approval(template))
    }
}

/// Gives the arguments that have no expressions, and in place of others what would be
/// taken there.
fn plain(template: &Template, given: &Map<String, Value>) -> Value {
    let computed = |name: &str| match template {
        Template::Object(entries) => {
            let found = entries.iter().find(|(known, _)| known == name);
            found.is_some_and(|(_, item)| !item.is_literal())
        }
        _ => false,
    };
    let mut plain = given.clone();
    plain.retain(|name, _| !computed(name));
    if computed("title") {
        plain.insert("title".to_owned(), Value::from("a title"));
    }
    if computed("deadline") {
        plain.insert("deadline".to_owned(), Value::from("PT1S"));
    }
    if computed("outcomes") {
        plain.shift_remove("deadline_outcome");
    }
    Value::Object(plain)
}
