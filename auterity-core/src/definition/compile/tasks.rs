//! Tasks, kind by kind.

use std::collections::HashSet;

use serde_json::Value;

use super::Compiler;
use super::expressions::Secrets;
use super::lists::Names;
use crate::definition::mistake::{Finding, Place, pointer_join, pointer_path};
use crate::definition::process::{Process, Run, SubWorkflow};
use crate::definition::program::{self, Case, TaskIndex};
use crate::definition::record::Part;
use crate::definition::retry::{Backoff, RetryPolicy};
use crate::definition::task::{self, Catch, For, Task, TaskKind, TaskList};
use crate::definition::text::is_expression;
use crate::definition::timeout::{Referenced, Timeout};
use crate::definition::union::{Named, ObjectOrText};

impl Compiler<'_> {
    /// Compiles a task and what is inside of it.
    pub(super) fn task(
        &mut self,
        name: &str,
        task: &Task,
        names: Option<&Names<'_>>,
        pointer: &str,
    ) -> TaskIndex {
        let condition = self.optional_expression(task.condition.as_ref(), pointer, "if");
        let input = self.input(task.input.as_ref(), pointer);
        let output = self.output(task.output.as_ref(), pointer);
        let export = self.export(task.export.as_ref(), pointer);
        let timeout = self.timeout(task.timeout.as_ref(), pointer);
        let then = self.flow(task.then.as_ref(), names, &pointer_path(pointer, "then"));
        let kind = self.kind(task, names, pointer);
        // A task with mistakes is never executed: the program is not given out.
        let kind = kind.unwrap_or(program::TaskKind::Switch(Vec::new()));
        self.push(program::Task {
            name: name.to_owned(),
            reference: pointer.to_owned(),
            definition: self.part(pointer),
            condition,
            input,
            output,
            export,
            timeout,
            then,
            kind,
            extensions: self.extended_by(&task.kind),
        })
    }

    fn kind(
        &mut self,
        task: &Task,
        names: Option<&Names<'_>>,
        pointer: &str,
    ) -> Option<program::TaskKind> {
        let at = |path: &str| pointer_path(pointer, path);
        match &task.kind {
            TaskKind::Call(call) => self.call(call, pointer),
            TaskKind::Do(tasks) => Some(program::TaskKind::Do(self.list(tasks, &at("do")))),
            TaskKind::Emit(emit) => {
                let with = emit.event.with.write();
                let template = self.template(&with, &at("emit/event/with"), Secrets::Forbidden)?;
                Some(program::TaskKind::Emit(template))
            }
            TaskKind::For {
                each,
                condition,
                tasks,
            } => self.for_each(each, condition.as_ref(), tasks, pointer),
            TaskKind::Fork(fork) => Some(program::TaskKind::Fork {
                branches: self.branches(&fork.branches, &at("fork/branches")),
                compete: fork.compete.unwrap_or(false),
            }),
            TaskKind::Listen { listen, foreach } => {
                self.listen(listen, foreach.as_deref(), pointer)
            }
            TaskKind::Raise(raise) => {
                let template = self.error(&raise.error, &at("raise/error"))?;
                Some(program::TaskKind::Raise(template))
            }
            TaskKind::Run(run) => self.process(run, &at("run")),
            TaskKind::Set(set) => self.set(set, &at("set")),
            TaskKind::Switch(cases) => Some(self.switch(cases, names, &at("switch"))),
            TaskKind::Try { tasks, catch } => {
                let body = self.list(tasks, &at("try"));
                let catch = self.catch(catch, &at("catch"));
                Some(program::TaskKind::Try { body, catch })
            }
            TaskKind::Wait(duration) => {
                let length = self.length(duration, &at("wait"))?;
                Some(program::TaskKind::Wait(length))
            }
            TaskKind::Unreadable => None,
        }
    }

    fn set(&mut self, set: &ObjectOrText, pointer: &str) -> Option<program::TaskKind> {
        if let ObjectOrText::Text(text) = set
            && !is_expression(text)
        {
            let message = "a set task sets an object, or what an expression gives";
            let finding = Finding::new("expression_expected", pointer, Place::Value, message);
            self.report(finding.with_hint("write it as ${ … }, or name the values to set"));
            return None;
        }
        let template = self.template(&set.write(), pointer, Secrets::Forbidden)?;
        Some(program::TaskKind::Set(template))
    }

    fn for_each(
        &mut self,
        each: &For,
        condition: Option<&String>,
        tasks: &TaskList,
        pointer: &str,
    ) -> Option<program::TaskKind> {
        let inside = pointer_path(pointer, "for");
        let item = self.variable(each.each.as_ref(), "item", &pointer_join(&inside, "each"));
        let at = self.variable(each.at.as_ref(), "index", &pointer_join(&inside, "at"));
        if item == at {
            let message = format!("the item and its index are both named \"{item}\"");
            let finding = Finding::new("contradiction", inside.as_str(), Place::Key, message);
            self.report(finding.with_hint("give `each` and `at` different names"));
        }
        let collection = self.collection(&each.collection, &pointer_join(&inside, "in"));
        let (condition, body) = self.with_variables(&[&item, &at], |compiler| {
            let condition = compiler.optional_expression(condition, pointer, "while");
            (
                condition,
                compiler.list(tasks, &pointer_path(pointer, "do")),
            )
        });
        Some(program::TaskKind::For(program::For {
            each: item,
            at,
            collection: collection?,
            condition,
            body,
        }))
    }

    /// Compiles `for.in`, which must be able to give a list.
    fn collection(&mut self, source: &str, pointer: &str) -> Option<crate::expression::Expression> {
        let inner = source.trim();
        let inner = match inner
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
        {
            Some(inner) => inner.trim(),
            None => inner,
        };
        let literal: Option<Value> = serde_json::from_str(inner).ok();
        if let Some(value) = literal.filter(|value| !value.is_array()) {
            let kind = match value {
                Value::Null => "null",
                Value::Bool(_) => "a boolean",
                Value::Number(_) => "a number",
                Value::String(_) => "a text",
                Value::Array(_) | Value::Object(_) => "an object",
            };
            let message = format!("for needs a list to go through, and this gives {kind}");
            let finding = Finding::new("wrong_type", pointer, Place::Value, message);
            self.report(
                finding.with_hint("write an expression that gives a list, such as .orders"),
            );
            return None;
        }
        self.expression(source, pointer)
    }

    fn switch(
        &mut self,
        cases: &[Named<task::Case>],
        names: Option<&Names<'_>>,
        pointer: &str,
    ) -> program::TaskKind {
        if cases.is_empty() {
            self.empty_list(pointer, "the switch has no case");
        }
        let mut compiled: Vec<Case> = Vec::with_capacity(cases.len());
        let mut known = HashSet::with_capacity(cases.len());
        let mut has_default = false;
        for (index, case) in cases.iter().enumerate() {
            let place = pointer_join(&pointer_join(pointer, &index.to_string()), &case.name);
            let (name, task::Case::Readable(case)) = (&case.name, &case.value) else {
                continue;
            };
            let is_default = case.when.is_none();
            let twice = if !known.insert(name.as_str()) {
                Some(("duplicate_case", "is there twice"))
            } else if is_default && has_default {
                Some(("several_defaults", "is a second one without \"when\""))
            } else {
                None
            };
            has_default |= is_default;
            if let Some((code, what)) = twice {
                let message = format!("the case \"{name}\" {what}");
                let finding = Finding::new(code, place.as_str(), Place::Key, message);
                self.report(finding.with_hint("rename, change or remove it"));
            }
            let when = self.optional_expression(case.when.as_ref(), &place, "when");
            let then = pointer_join(&place, "then");
            let then = self.flow(Some(&case.then), names, &then);
            // Without its condition a case would count as the default one.
            if when.is_some() || case.when.is_none() {
                compiled.push(Case {
                    name: name.clone(),
                    when,
                    then,
                });
            }
        }
        program::TaskKind::Switch(compiled)
    }

    fn catch(&mut self, catch: &Catch, pointer: &str) -> program::Catch {
        let filter = self.error_filter(catch, pointer);
        let variable = self.variable(
            catch.variable.as_ref(),
            "error",
            &pointer_path(pointer, "as"),
        );
        let (when, except_when, retry, body) = self.with_variables(&[&variable], |compiler| {
            let retry = catch.retry.as_ref();
            (
                compiler.optional_expression(catch.when.as_ref(), pointer, "when"),
                compiler.optional_expression(catch.except_when.as_ref(), pointer, "exceptWhen"),
                retry.and_then(|retry| compiler.retry(retry, &pointer_path(pointer, "retry"))),
                catch
                    .tasks
                    .as_ref()
                    .map(|tasks| compiler.list(tasks, &pointer_path(pointer, "do"))),
            )
        });
        program::Catch {
            filter,
            variable,
            when,
            except_when,
            retry,
            body,
        }
    }

    fn error_filter(&mut self, catch: &Catch, pointer: &str) -> Vec<(String, Value)> {
        const KNOWN: [&str; 5] = ["type", "status", "instance", "title", "details"];
        let pointer = pointer_path(pointer, "errors/with");
        let with = catch
            .errors
            .as_ref()
            .and_then(|errors| errors.with.as_ref());
        let Some(Value::Object(object)) = with.map(Part::write) else {
            return Vec::new();
        };
        if object.is_empty() {
            let message = "the error filter asks for nothing";
            let finding = Finding::new("empty_object", pointer.as_str(), Place::Value, message);
            self.report(finding.with_hint("name what the error must have, or remove `with`"));
        }
        for (key, value) in &object {
            let place = pointer_join(&pointer, key);
            if !KNOWN.contains(&key.as_str()) && key != "detail" {
                let message = format!("an error has no property \"{key}\"");
                let hint = crate::definition::mistake::suggestion(key, KNOWN, "property");
                let finding = Finding::new("unknown_property", place, Place::Key, message);
                self.report(finding.with_hint(hint));
            } else if value.as_str().is_some_and(is_expression) {
                let message = "an error filter compares with plain values";
                let finding = Finding::new("wrong_type", place, Place::Value, message);
                self.report(finding.with_hint("write the condition as `when` of the catch"));
            }
        }
        object.into_iter().collect()
    }

    pub(super) fn timeout(
        &mut self,
        timeout: Option<&Referenced<Timeout>>,
        pointer: &str,
    ) -> Option<program::Timeout> {
        let pointer = pointer_path(pointer, "timeout");
        let (timeout, pointer) = match timeout? {
            Referenced::Inline(timeout) => (timeout, pointer),
            Referenced::Name(name) => {
                let known = self.definition.root.reusable.as_ref();
                let known = known.and_then(|reusable| reusable.timeouts.as_ref());
                let Some(timeout) = known.and_then(|known| known.get(name)) else {
                    self.unknown(("timeouts", "unknown_timeout", "timeout"), name, &pointer);
                    return None;
                };
                (timeout, self.refer("timeouts", name))
            }
        };
        let after = self.length(&timeout.after, &pointer_path(&pointer, "after"))?;
        Some(program::Timeout { after })
    }

    fn retry(&mut self, retry: &Referenced<RetryPolicy>, pointer: &str) -> Option<program::Retry> {
        match retry {
            Referenced::Inline(policy) => Some(self.retry_policy(policy, pointer)),
            Referenced::Name(name) => {
                let known = self.definition.root.reusable.as_ref();
                let known = known.and_then(|reusable| reusable.retries.as_ref());
                let Some(policy) = known.and_then(|known| known.get(name)) else {
                    self.unknown(("retries", "unknown_retry", "retry policy"), name, pointer);
                    return None;
                };
                let pointer = self.refer("retries", name);
                Some(self.retry_policy(policy, &pointer))
            }
        }
    }

    pub(super) fn retry_policy(&mut self, policy: &RetryPolicy, pointer: &str) -> program::Retry {
        let limit = policy.limit.as_ref();
        let attempt = limit.and_then(|limit| limit.attempt.as_ref());
        let attempts_max = attempt.and_then(|attempt| attempt.count).and_then(|count| {
            let attempts = u32::try_from(count);
            if attempts.is_err() {
                let message = format!("{count} is no number of attempts");
                let place = pointer_path(pointer, "limit/attempt/count");
                let finding = Finding::new("out_of_range", place, Place::Value, message);
                self.report(finding.with_hint("use 0 for no retry, or a number up to 4294967295"));
            }
            attempts.ok()
        });
        let backoff = match &policy.backoff {
            None | Some(Backoff::Constant(_)) => program::Backoff::Constant,
            Some(Backoff::Linear(linear)) => program::Backoff::Linear {
                increment: self.optional_length(
                    linear.increment.as_ref(),
                    pointer,
                    "backoff/linear/increment",
                ),
            },
            Some(Backoff::Exponential(exponential)) => program::Backoff::Exponential {
                factor: exponential
                    .factor
                    .as_ref()
                    .and_then(|factor| factor.0.as_f64())
                    .unwrap_or(2.0),
                delay_max: self.optional_length(
                    exponential.delay_max.as_ref(),
                    pointer,
                    "backoff/exponential/maxDelay",
                ),
            },
        };
        let jitter = policy.jitter.as_ref().and_then(|jitter| {
            let from = self.length(&jitter.from, &pointer_path(pointer, "jitter/from"))?;
            let to = self.length(&jitter.to, &pointer_path(pointer, "jitter/to"))?;
            Some((from, to))
        });
        let attempt_duration = attempt.and_then(|attempt| attempt.duration.as_ref());
        let duration = limit.and_then(|limit| limit.duration.as_ref());
        program::Retry {
            when: self.optional_expression(policy.when.as_ref(), pointer, "when"),
            except_when: self.optional_expression(
                policy.except_when.as_ref(),
                pointer,
                "exceptWhen",
            ),
            delay: self.optional_length(policy.delay.as_ref(), pointer, "delay"),
            backoff,
            attempts_max,
            attempt_duration: self.optional_length(
                attempt_duration,
                pointer,
                "limit/attempt/duration",
            ),
            duration: self.optional_length(duration, pointer, "limit/duration"),
            jitter,
        }
    }

    fn process(&mut self, run: &Run, pointer: &str) -> Option<program::TaskKind> {
        if let Process::Workflow(workflow) = &run.process {
            return self.workflow(workflow, run.awaited.unwrap_or(true), pointer);
        }
        let mut arguments = run.write();
        if let Value::Object(object) = &mut arguments {
            object.shift_remove("await");
        }
        let function = format!("run/{}", run.process.word());
        let called = self.arguments(function, &arguments, pointer)?;
        Some(program::TaskKind::Call(program::Call {
            awaited: run.awaited.unwrap_or(true),
            ..called
        }))
    }

    fn workflow(
        &mut self,
        workflow: &SubWorkflow,
        awaited: bool,
        pointer: &str,
    ) -> Option<program::TaskKind> {
        let input = match &workflow.input {
            Some(input) => {
                let input = Value::Object(input.clone());
                let pointer = pointer_path(pointer, "workflow/input");
                Some(self.template(&input, &pointer, Secrets::Forbidden)?)
            }
            None => None,
        };
        let version = Some(workflow.version.0.clone()).filter(|version| version != "latest");
        Some(program::TaskKind::RunWorkflow(program::RunWorkflow {
            namespace: workflow.namespace.0.clone(),
            name: workflow.name.0.clone(),
            version,
            input,
            awaited,
        }))
    }
}
