//! Lists of tasks: names, jumps, and what can be reached.

use std::collections::HashMap;

use super::Compiler;
use crate::definition::mistake::{Finding, Place, pointer_join, suggestion};
use crate::definition::parse::{Node, NodeValue};
use crate::definition::program::{self, Flow, ListIndex, TaskIndex};
use crate::definition::task::{Case, Task, TaskKind, TaskList};
use crate::definition::union::Named;

/// The positions of a list's tasks by name; a branch list has none to jump to.
pub(super) type Names<'t> = HashMap<&'t str, usize>;

const DIRECTIVES: [&str; 3] = ["continue", "exit", "end"];

impl Compiler<'_> {
    /// Compiles a list of tasks that follow each other.
    pub(super) fn list(&mut self, tasks: &TaskList, pointer: &str) -> ListIndex {
        if tasks.is_empty() {
            self.empty_list(pointer, "the list has no task");
        }
        let names = self.names(tasks, pointer);
        self.check_reachable(tasks, &names, pointer);
        self.members(tasks, Some(&names), pointer)
    }

    /// Compiles the branches of a fork, which all start together.
    pub(super) fn branches(&mut self, tasks: &TaskList, pointer: &str) -> ListIndex {
        if tasks.is_empty() {
            self.empty_list(pointer, "the fork has no branch");
        }
        self.names(tasks, pointer);
        self.members(tasks, None, pointer)
    }

    pub(super) fn empty_list(&mut self, pointer: &str, message: &str) {
        // A list that is missing or no list at all was reported already.
        let is_empty =
            |node: &Node| matches!(&node.value, NodeValue::List(items) if items.is_empty());
        if self.find(pointer).is_some_and(is_empty) {
            let finding = Finding::new("empty_list", pointer, Place::Value, message)
                .with_hint("add at least one member");
            self.report(finding);
        }
    }

    fn members(&mut self, tasks: &TaskList, names: Option<&Names<'_>>, pointer: &str) -> ListIndex {
        let mut list = Vec::with_capacity(tasks.len());
        for (index, task) in tasks.iter().enumerate() {
            self.tasks_met += 1;
            let reference = pointer_join(&pointer_join(pointer, &index.to_string()), &task.name);
            let tasks_max = self.options.limits.tasks_max;
            if tasks_max < self.tasks_met {
                if self.tasks_met == tasks_max + 1 {
                    let message = format!("the definition has more than {tasks_max} tasks");
                    let hint = "split the workflow into several (limit tasks_max)";
                    let finding = Finding::new("too_many_tasks", reference, Place::Key, message);
                    self.report(finding.with_hint(hint));
                }
                break;
            }
            list.push(self.task(&task.name, &task.value, names, &reference));
        }
        self.lists.push(list);
        ListIndex(index_of(self.lists.len() - 1))
    }

    pub(super) fn push(&mut self, task: program::Task) -> TaskIndex {
        self.tasks.push(task);
        TaskIndex(index_of(self.tasks.len() - 1))
    }

    /// Collects the names; reports those that are there twice or mean something else.
    fn names<'t>(&mut self, tasks: &'t [Named<Task>], pointer: &str) -> Names<'t> {
        let mut names = Names::with_capacity(tasks.len());
        for (index, task) in tasks.iter().enumerate() {
            let name = task.name.as_str();
            if name.is_empty() && task.value.kind == TaskKind::Unreadable {
                continue;
            }
            let place = || pointer_join(&pointer_join(pointer, &index.to_string()), name);
            if let Some(first) = names.get(name) {
                let first: &usize = first;
                let message = format!(
                    "the task \"{name}\" is in the list twice: as number {} and number {}",
                    first + 1,
                    index + 1
                );
                let finding = Finding::new("duplicate_task", place(), Place::Key, message)
                    .with_hint("rename one of them");
                self.report(finding);
                continue;
            }
            if DIRECTIVES.contains(&name) {
                let message = format!(
                    "a task cannot be named \"{name}\": as a jump target it means something else"
                );
                let finding = Finding::new("reserved_name", place(), Place::Key, message)
                    .with_hint("rename the task");
                self.report(finding);
            }
            names.insert(name, index);
        }
        names
    }

    /// Resolves where a task or a case goes on.
    pub(super) fn flow(
        &mut self,
        then: Option<&String>,
        names: Option<&Names<'_>>,
        pointer: &str,
    ) -> Flow {
        let target = match then.map(String::as_str) {
            None | Some("continue") => return Flow::Continue,
            Some("exit") => return Flow::Exit,
            Some("end") => return Flow::End,
            Some(target) => target,
        };
        if let Some(index) = names.and_then(|names| names.get(target)) {
            return Flow::Jump(index_of(*index));
        }
        let hint = match names {
            Some(names) => {
                let mut known: Vec<(&usize, &str)> =
                    names.iter().map(|(name, index)| (index, *name)).collect();
                known.sort_unstable();
                let known = known.into_iter().map(|(_, name)| name);
                suggestion(target, known.chain(DIRECTIVES), "task to jump to")
            }
            None => {
                "branches of a fork run beside each other; put the tasks of one branch into a `do`"
                    .to_owned()
            }
        };
        let message = format!("there is no task \"{target}\" in this list");
        let finding = Finding::new("unknown_jump_target", pointer, Place::Value, message);
        self.report(finding.with_hint(hint));
        Flow::Continue
    }

    /// Reports tasks that neither follow another one nor are jumped to.
    fn check_reachable(&mut self, tasks: &TaskList, names: &Names<'_>, pointer: &str) {
        let mut reached = vec![false; tasks.len()];
        for start in 0..tasks.len() {
            if reached[start] {
                continue;
            }
            if 0 < start {
                let name = &tasks[start].name;
                let place = pointer_join(&pointer_join(pointer, &start.to_string()), name);
                let message = format!("the task \"{name}\" can never be reached");
                let hint = "jump to it with `then`, move it, or remove it";
                let finding = Finding::new("unreachable_task", place, Place::Key, message);
                self.report(finding.with_hint(hint));
            }
            let mut open = vec![start];
            while let Some(index) = open.pop() {
                if tasks.len() <= index || reached[index] {
                    continue;
                }
                reached[index] = true;
                successors(&tasks[index].value, index, names, &mut open);
            }
        }
    }
}

/// Finds where the list may go on after a task.
fn successors(task: &Task, index: usize, names: &Names<'_>, found: &mut Vec<usize>) {
    let mut follow = |then: Option<&String>| match then.map(String::as_str) {
        Some("exit" | "end") => {}
        None | Some("continue") => found.push(index + 1),
        Some(target) => found.push(names.get(target).copied().unwrap_or(index + 1)),
    };
    match &task.kind {
        TaskKind::Raise(_) => {}
        TaskKind::Switch(cases) => {
            let mut has_default = false;
            for case in cases {
                match &case.value {
                    Case::Readable(case) => {
                        follow(Some(&case.then));
                        has_default |= case.when.is_none();
                    }
                    Case::Unreadable => follow(None),
                }
            }
            if !has_default {
                follow(task.then.as_ref());
            }
        }
        _ => follow(task.then.as_ref()),
    }
    if task.condition.is_some() {
        // Where the task is skipped, the next one follows.
        found.push(index + 1);
    }
}

/// Makes an index of a place in a list, which the limits keep small.
pub(super) fn index_of(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
