//! Carries a state over to another version of its definition.
//!
//! Tasks are the same when their names are, and the names of the tasks around them;
//! their numbers in the lists may differ.

use std::collections::HashMap;

use super::State;
use super::state::{Frame, ListFrame, Progress, TaskFrame};
use crate::definition::{ListIndex, Listen, Program, Strategy, TaskIndex, TaskKind, Until};

/// Reasons that one verdict holds at most.
const REASONS_MAX: usize = 20;

impl State {
    /// Gives the state with its places in another definition.
    ///
    /// # Errors
    /// Gives every reason why a place has no counterpart, in words.
    pub fn mapped(&self, from: &Program, to: &Program) -> Result<Self, Vec<String>> {
        if from.is_durable() || to.is_durable() {
            let why = "a durable function keeps the version that it began with";
            return Err(vec![why.to_owned()]);
        }
        let map = Map {
            from,
            to,
            old: Places::of(from),
            new: Places::of(to),
        };
        let mut state = self.clone();
        let mut reasons = Vec::new();
        for thread in state.threads.values_mut() {
            for frame in &mut thread.stack {
                let mapped = match frame {
                    Frame::List(list) => map.list(list),
                    Frame::Task(task) => map.task(task),
                };
                if let Err(reason) = mapped
                    && !reasons.contains(&reason)
                    && reasons.len() < REASONS_MAX
                {
                    reasons.push(reason);
                }
            }
        }
        if reasons.is_empty() {
            Ok(state.under(to.hash()))
        } else {
            Err(reasons)
        }
    }
}

/// The names of a definition's tasks and lists, each with those around it.
struct Places {
    tasks: HashMap<TaskIndex, String>,
    lists: HashMap<ListIndex, String>,
    task_named: HashMap<String, TaskIndex>,
    list_named: HashMap<String, ListIndex>,
}

impl Places {
    fn of(program: &Program) -> Self {
        let mut places = Self {
            tasks: HashMap::new(),
            lists: HashMap::new(),
            task_named: HashMap::new(),
            list_named: HashMap::new(),
        };
        let mut open = vec![(program.root, "do".to_owned())];
        while let Some((list, name)) = open.pop() {
            if places.lists.contains_key(&list) {
                continue;
            }
            for index in program.list(list) {
                let task = program.task(*index);
                let own = format!("{name}/{}", task.name);
                for (inner, word) in lists_of(&task.kind) {
                    open.push((inner, format!("{own}/{word}")));
                }
                if let TaskKind::CallDefined { body, .. } = &task.kind {
                    // Many calls share one function's list.
                    let function = task.definition.get("call").and_then(|name| name.as_str());
                    open.push((*body, format!("use/{}", function.unwrap_or_default())));
                }
                places.task_named.insert(own.clone(), *index);
                places.tasks.insert(*index, own);
            }
            places.list_named.insert(name.clone(), list);
            places.lists.insert(list, name);
        }
        places
    }
}

/// Gives the lists inside a task, each with the word for its place.
fn lists_of(kind: &TaskKind) -> Vec<(ListIndex, &'static str)> {
    match kind {
        TaskKind::Do(list) => vec![(*list, "do")],
        TaskKind::For(definition) => vec![(definition.body, "for")],
        TaskKind::Fork { branches, .. } => vec![(*branches, "fork")],
        TaskKind::Try { body, catch } => {
            let caught = catch.body.map(|list| (list, "catch"));
            std::iter::once((*body, "try")).chain(caught).collect()
        }
        TaskKind::Listen(definition) => {
            let foreach = definition.foreach.as_ref();
            let body = foreach.and_then(|foreach| foreach.body);
            body.map(|list| (list, "foreach")).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

struct Map<'a> {
    from: &'a Program,
    to: &'a Program,
    old: Places,
    new: Places,
}

impl Map<'_> {
    fn list(&self, frame: &mut ListFrame) -> Result<(), String> {
        let list = ListIndex(frame.list);
        let name = self.old.lists.get(&list).map_or("", String::as_str);
        let Some(new) = self.new.list_named.get(name).copied() else {
            return Err(format!(
                "the list of tasks {name} is not in the new version"
            ));
        };
        let tasks = self.from.list(list);
        let next = tasks.get(frame.position as usize);
        frame.list = new.0;
        if let Some(next) = next {
            let mapped = self.place(*next)?;
            let position = self.to.list(new).iter().position(|one| *one == mapped);
            let position = position.and_then(|place| u32::try_from(place).ok());
            frame.position = position.ok_or_else(|| gone(&self.from.task(*next).reference))?;
        } else {
            // It is at its end.
            frame.position = u32::MAX;
        }
        Ok(())
    }

    fn task(&self, frame: &mut TaskFrame) -> Result<(), String> {
        let index = TaskIndex(frame.task);
        let old = self.from.task(index);
        let new = self.place(index)?;
        let task = self.to.task(new);
        let reference = &old.reference;
        if task.kind.word() != old.kind.word() {
            return Err(format!(
                "the task {reference} is at work and of kind {}, which is {} in the new version",
                old.kind.word(),
                task.kind.word()
            ));
        }
        match (&frame.progress, &old.kind, &task.kind) {
            (
                Progress::Fork { .. },
                TaskKind::Fork { branches: a, .. },
                TaskKind::Fork { branches: b, .. },
            ) => {
                let names = |program: &Program, list: ListIndex| -> Vec<String> {
                    let tasks = program.list(list).iter();
                    tasks.map(|one| program.task(*one).name.clone()).collect()
                };
                if names(self.from, *a) != names(self.to, *b) {
                    return Err(format!(
                        "the fork {reference} is at work and has other branches in the new version"
                    ));
                }
            }
            (Progress::Listen(_), TaskKind::Listen(a), TaskKind::Listen(b))
                if shape(a) != shape(b) =>
            {
                return Err(format!(
                    "the task {reference} listens and has other filters in the new version"
                ));
            }
            _ => {}
        }
        let defined = |kind: &TaskKind| matches!(kind, TaskKind::CallDefined { .. });
        if defined(&old.kind) != defined(&task.kind) {
            return Err(format!(
                "the task {reference} is at work and calls something else in the new version"
            ));
        }
        frame.task = new.0;
        Ok(())
    }

    /// Finds the counterpart of a task.
    fn place(&self, task: TaskIndex) -> Result<TaskIndex, String> {
        let name = self.old.tasks.get(&task);
        let found = name.and_then(|name| self.new.task_named.get(name));
        found
            .copied()
            .ok_or_else(|| gone(&self.from.task(task).reference))
    }
}

fn gone(reference: &str) -> String {
    format!("the task {reference} is at work or comes next and is not in the new version")
}

/// What a listening task's progress depends on: strategy and number of filters.
fn shape(definition: &Listen) -> (u8, usize, Option<(u8, usize)>) {
    fn of(strategy: &Strategy) -> (u8, usize) {
        match strategy {
            Strategy::One(_) => (1, 1),
            Strategy::Any { filters, .. } => (2, filters.len()),
            Strategy::All(filters) => (3, filters.len()),
        }
    }
    let until = match &definition.strategy {
        Strategy::Any {
            until: Some(Until::Events(until)),
            ..
        } => Some(of(until)),
        _ => None,
    };
    let (kind, filters) = of(&definition.strategy);
    (kind, filters, until)
}
