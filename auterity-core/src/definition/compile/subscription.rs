//! Subscriptions of `asyncapi` calls: expressions that are evaluated while messages come,
//! and the iterator over them.

use serde_json::{Map, Value};

use super::Compiler;
use crate::definition::call::AsyncApiArguments;
use crate::definition::mistake::pointer_path;
use crate::definition::program;
use crate::expression::{Expression, Template};

/// What is evaluated for each message, and where it stands in the subscription.
const DEFERRED: [&str; 3] = ["filter", "consume/while", "consume/until"];

impl Compiler<'_> {
    /// Compiles an `asyncapi` call. Expressions over messages are handed to the function
    /// with the values of the variables that they use.
    pub(super) fn asyncapi(
        &mut self,
        with: &AsyncApiArguments,
        arguments: &Value,
        pointer: &str,
    ) -> Option<program::Call> {
        let mut arguments = arguments.clone();
        let mut deferred = Vec::new();
        let mut complete = true;
        let inside = pointer_path(pointer, "subscription");
        if let Some(subscription) = arguments.get_mut("subscription") {
            if let Value::Object(subscription) = subscription {
                subscription.shift_remove("foreach");
            }
            for path in DEFERRED {
                let Some(source) = take(subscription, path) else {
                    continue;
                };
                match self.expression(&source, &pointer_path(&inside, path)) {
                    Some(expression) => deferred.push((path, expression)),
                    None => complete = false,
                }
            }
        }
        let mut call = self.arguments("asyncapi".to_owned(), &arguments, pointer)?;
        let subscription = with.0.subscription.as_ref();
        let foreach = subscription.and_then(|subscription| subscription.foreach.as_ref());
        call.foreach =
            foreach.map(|foreach| self.foreach(foreach, &pointer_path(&inside, "foreach")));
        for (path, expression) in deferred {
            let path: Vec<&str> = std::iter::once("subscription")
                .chain(path.split('/'))
                .collect();
            let handed = self.handed(&expression)?;
            let template = call.arguments.take()?;
            call.arguments = Some(insert(template, &path, handed));
        }
        complete.then_some(call)
    }

    /// Makes `{ source, variables }` of an expression.
    fn handed(&self, expression: &Expression) -> Option<Template> {
        let mut variables = Vec::new();
        for name in self.variables.iter().filter(|name| expression.uses(name)) {
            let value = Expression::compile(&format!("${name}"), &self.variables).ok()?;
            variables.push((name.clone(), Template::Expression(value)));
        }
        let source = Value::String(expression.source().to_owned());
        Some(Template::Object(vec![
            ("source".to_owned(), Template::Literal(source)),
            ("variables".to_owned(), Template::Object(variables)),
        ]))
    }
}

/// Takes a text out of an object.
fn take(holder: &mut Value, path: &str) -> Option<String> {
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    if !rest.is_empty() {
        return take(holder.get_mut(name)?, rest);
    }
    match holder.as_object_mut()?.shift_remove(name)? {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// Puts a template into a template of objects.
fn insert(template: Template, path: &[&str], value: Template) -> Template {
    let Some((name, rest)) = path.split_first() else {
        return value;
    };
    let mut entries = match template {
        Template::Object(entries) => entries,
        Template::Literal(Value::Object(object)) => object
            .into_iter()
            .map(|(name, value)| (name, Template::Literal(value)))
            .collect(),
        other => return other,
    };
    match entries.iter().position(|(known, _)| known == name) {
        Some(place) => {
            let (known, inner) = entries.remove(place);
            entries.insert(place, (known, insert(inner, rest, value)));
        }
        None => {
            let inner = Template::Literal(Value::Object(Map::new()));
            entries.push(((*name).to_owned(), insert(inner, rest, value)));
        }
    }
    Template::Object(entries)
}
