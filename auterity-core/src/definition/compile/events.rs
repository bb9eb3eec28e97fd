//! Waiting for events.

use regex::RegexBuilder;
use serde_json::Value;

use super::Compiler;
use super::expressions::Secrets;
use crate::definition::event::{
    EventFilter, Listen, ReadAs, Strategy, SubscriptionIterator, Until,
};
use crate::definition::mistake::{Finding, Place, pointer_join, pointer_path};
use crate::definition::program;
use crate::definition::record::Part;
use crate::expression::Template;

impl Compiler<'_> {
    pub(super) fn listen(
        &mut self,
        listen: &Listen,
        foreach: Option<&SubscriptionIterator>,
        pointer: &str,
    ) -> Option<program::TaskKind> {
        let strategy = self.strategy(&listen.to, &pointer_path(pointer, "listen/to"));
        let foreach = foreach.map(|each| self.foreach(each, &pointer_path(pointer, "foreach")));
        let read = match listen.read {
            // JSON data has no other raw form here than itself.
            None | Some(ReadAs::Data | ReadAs::Raw) => program::ReadAs::Data,
            Some(ReadAs::Envelope) => program::ReadAs::Envelope,
        };
        Some(program::TaskKind::Listen(program::Listen {
            strategy: strategy?,
            read,
            foreach,
        }))
    }

    pub(super) fn strategy(
        &mut self,
        strategy: &Strategy,
        pointer: &str,
    ) -> Option<program::Strategy> {
        match strategy {
            Strategy::One(filter) => {
                let filter = self.event_filter(filter, &pointer_path(pointer, "one"))?;
                Some(program::Strategy::One(filter))
            }
            Strategy::All(filters) => {
                let pointer = pointer_path(pointer, "all");
                if filters.is_empty() {
                    self.empty_list(&pointer, "there is no event to wait for");
                }
                let filters = self.event_filters(filters, &pointer)?;
                Some(program::Strategy::All(filters))
            }
            // Any of no events stands for each and every event.
            Strategy::Any { filters, until } => {
                let filters = self.event_filters(filters, &pointer_path(pointer, "any"));
                let until = match until {
                    None => None,
                    Some(until) => Some(self.until(until, &pointer_path(pointer, "until"))?),
                };
                let filters = filters?;
                Some(program::Strategy::Any { filters, until })
            }
        }
    }

    fn until(&mut self, until: &Until, pointer: &str) -> Option<program::Until> {
        match until {
            Until::Condition(source) => self
                .expression(source, pointer)
                .map(program::Until::Condition),
            Until::Events(strategy) => {
                let strategy = self.strategy(strategy, pointer)?;
                Some(program::Until::Events(Box::new(strategy)))
            }
        }
    }

    fn event_filters(
        &mut self,
        filters: &[EventFilter],
        pointer: &str,
    ) -> Option<Vec<program::EventFilter>> {
        let mut compiled = Vec::with_capacity(filters.len());
        let mut complete = true;
        for (index, filter) in filters.iter().enumerate() {
            match self.event_filter(filter, &pointer_join(pointer, &index.to_string())) {
                Some(filter) => compiled.push(filter),
                None => complete = false,
            }
        }
        complete.then_some(compiled)
    }

    fn event_filter(
        &mut self,
        filter: &EventFilter,
        pointer: &str,
    ) -> Option<program::EventFilter> {
        let place = pointer_path(pointer, "with");
        let mut with = Vec::new();
        if let Value::Object(attributes) = filter.with.write() {
            if attributes.is_empty() {
                let message = "the event filter asks for nothing";
                let finding = Finding::new("empty_object", place.as_str(), Place::Value, message);
                self.report(finding.with_hint("name at least one attribute, such as type"));
            }
            for (name, wanted) in attributes {
                let template =
                    self.template(&wanted, &pointer_join(&place, &name), Secrets::Forbidden);
                with.extend(template.map(|template| (name, program::Wanted::new(template))));
            }
        }
        with.sort_by_key(|(_, wanted)| matches!(wanted, program::Wanted::Computed(_)));
        let mut correlate = Vec::new();
        for (name, correlation) in filter.correlate.iter().flatten() {
            let place = pointer_join(&pointer_path(pointer, "correlate"), name);
            let from = self.expression(&correlation.from, &pointer_path(&place, "from"));
            let expect = correlation.expect.as_ref().and_then(|expect| {
                let expect = Value::from(expect.as_str());
                self.template(&expect, &pointer_path(&place, "expect"), Secrets::Forbidden)
            });
            correlate.push((
                name.clone(),
                program::Correlate {
                    from: from?,
                    expect,
                },
            ));
        }
        Some(program::EventFilter { with, correlate })
    }

    pub(super) fn foreach(
        &mut self,
        foreach: &SubscriptionIterator,
        pointer: &str,
    ) -> program::Foreach {
        let item = self.variable(
            foreach.item.as_ref(),
            "item",
            &pointer_path(pointer, "item"),
        );
        let at = self.variable(foreach.at.as_ref(), "index", &pointer_path(pointer, "at"));
        let (body, output, export) = self.with_variables(&[&item, &at], |compiler| {
            let tasks = foreach.tasks.as_ref();
            (
                tasks.map(|tasks| compiler.list(tasks, &pointer_path(pointer, "do"))),
                compiler.output(foreach.output.as_ref(), pointer),
                compiler.export(foreach.export.as_ref(), pointer),
            )
        });
        program::Foreach {
            item,
            at,
            body,
            output,
            export,
        }
    }
}

impl program::Wanted {
    fn new(template: Template) -> Self {
        /// How large one compiled pattern may be, in bytes.
        const PATTERN_BYTES_MAX: usize = 256 * 1024;
        match template {
            Template::Literal(Value::String(text)) if is_pattern(&text) => {
                let whole = format!("^(?:{text})$");
                let pattern = RegexBuilder::new(&whole)
                    .size_limit(PATTERN_BYTES_MAX)
                    .build();
                match pattern {
                    Ok(pattern) => Self::Pattern { text, pattern },
                    // A text that only looks like a pattern is itself.
                    Err(_) => Self::Equal(Value::String(text)),
                }
            }
            Template::Literal(value) => Self::Equal(value),
            template => Self::Computed(template),
        }
    }
}

/// Tells whether a text says more as a regular expression than as itself; points
/// alone do not, for every type of event has them.
fn is_pattern(text: &str) -> bool {
    text.contains([
        '\\', '*', '+', '?', '[', ']', '(', ')', '{', '}', '|', '^', '$',
    ])
}
