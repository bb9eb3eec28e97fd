//! `listen`: taking events until there are enough, and the iterator over them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::too_large;
use crate::definition::{Foreach, Listen, ReadAs, Strategy, TaskIndex, TaskKind, Until, Wanted};
use crate::expression::Expression;
use crate::interpreter::data_flow::View;
use crate::interpreter::effect::{Filter, FilterCorrelation};
use crate::interpreter::record::size_up_to;
use crate::interpreter::state::{Data, Frame, ListenProgress, Progress, Thread, Waiting};
use crate::interpreter::transition::{Step, Work};
use crate::interpreter::{Effect, Problem, ProblemKind};

impl ListenProgress {
    fn new(effect: u64, slots: usize, until_slots: usize) -> Self {
        Self {
            effect,
            consumed: 0,
            seen: Vec::new(),
            collected: Vec::new(),
            bytes: 0,
            matched: vec![false; slots],
            until_matched: vec![false; until_slots],
            correlations: BTreeMap::new(),
            queue: VecDeque::new(),
            iterating: false,
            closed: false,
            iterations: 0,
        }
    }
}

impl Work<'_> {
    pub(super) fn listen_begin(
        &mut self,
        thread: u32,
        definition: &Listen,
        input: &Data,
    ) -> Result<Step, Problem> {
        let strategy = &definition.strategy;
        let mut filters = self.resolve(thread, strategy, input)?;
        let mut until_slots = 0;
        if let Some(Until::Events(strategy)) = strategy.until() {
            filters.extend(self.resolve(thread, strategy, input)?);
            until_slots = strategy.slots();
        }
        let effect = self.new_effect();
        if let Some(frame) = self
            .state
            .threads
            .get_mut(&thread)
            .and_then(Thread::top_task_mut)
        {
            let progress = ListenProgress::new(effect, strategy.slots(), until_slots);
            frame.progress = Progress::Listen(progress);
        }
        self.out.effects.push(Effect::Listen { effect, filters });
        Ok(self.wait(thread, Waiting::Events))
    }

    /// Turns filters into what a publisher can decide by itself.
    fn resolve(
        &self,
        thread: u32,
        strategy: &Strategy,
        input: &Data,
    ) -> Result<Vec<Filter>, Problem> {
        if strategy.filters().is_empty() {
            return Ok(vec![Filter {
                with: Vec::new(),
                correlate: Vec::new(),
            }]);
        }
        let mut filters = Vec::new();
        for filter in strategy.filters() {
            let mut correlate = Vec::new();
            for (_, correlation) in &filter.correlate {
                if let Some(expect) = &correlation.expect {
                    let expect = self.view().fill(thread, expect, input, &[])?;
                    let from = correlation.from.source().to_owned();
                    correlate.push(FilterCorrelation { from, expect });
                }
            }
            let with = filter
                .with
                .iter()
                .filter_map(|(name, wanted)| match wanted {
                    Wanted::Equal(value) => Some((name.clone(), value.clone())),
                    Wanted::Pattern { .. } | Wanted::Computed(_) => None,
                });
            filters.push(Filter {
                with: with.collect(),
                correlate,
            });
        }
        Ok(filters)
    }

    /// Takes an event for a listening task.
    pub(in crate::interpreter) fn receive(&mut self, effect: u64, event: &Data) {
        let found = self.state.threads.iter().find_map(|(id, thread)| {
            thread
                .stack
                .iter()
                .enumerate()
                .find_map(|(place, frame)| match frame {
                    Frame::Task(frame) => match &frame.progress {
                        Progress::Listen(progress)
                            if progress.effect == effect && !progress.closed =>
                        {
                            Some((*id, place))
                        }
                        _ => None,
                    },
                    Frame::List(_) => None,
                })
        });
        let Some((thread, place)) = found else { return };
        match self.consume(thread, place, event) {
            Ok(false) => {}
            Ok(true) => {
                let idle = self
                    .listen_at(thread, place)
                    .is_some_and(|progress| !progress.iterating);
                if idle {
                    self.ready_listen(thread);
                }
            }
            Err(problem) => {
                self.unwind_to(thread, place);
                self.ready.push_back((thread, Step::Fail(problem)));
            }
        }
    }

    fn ready_listen(&mut self, thread: u32) {
        if let Some(own) = self.state.threads.get_mut(&thread) {
            own.waiting = Waiting::Nothing;
        }
        let step = self.listen_next(thread).unwrap_or_else(Step::Fail);
        self.ready.push_back((thread, step));
    }

    /// Tells whether the event counted.
    fn consume(&mut self, thread: u32, place: usize, event: &Data) -> Result<bool, Problem> {
        let Some(definition) = self.listen_definition(thread, place) else {
            return Ok(false);
        };
        let strategy = &definition.strategy;
        if let Some(Until::Events(until)) = strategy.until()
            && let Some(slot) = self.match_slot(thread, place, until, (event, true))
        {
            let Some(progress) = self.listen_at(thread, place) else {
                return Ok(false);
            };
            progress.until_matched[slot] = true;
            progress.closed = until.is_met(&progress.until_matched);
            return Ok(progress.closed);
        }
        let Some(slot) = self.match_slot(thread, place, strategy, (event, false)) else {
            return Ok(false);
        };
        let most = self.machine.limits.events_collected_max;
        let bytes_max = self.machine.limits.payload_bytes_max;
        let Some(progress) = self.listen_at(thread, place) else {
            return Ok(false);
        };
        if most <= progress.consumed {
            let detail =
                format!("the listen task consumed {most} events (limit events_collected_max)");
            return Err(Problem::new(ProblemKind::Runtime, detail));
        }
        progress.consumed += 1;
        progress.matched[slot] = true;
        progress.closed = strategy.is_met(&progress.matched);
        let read = read(event, definition.read);
        if definition.foreach.is_some() {
            progress.keep(&read, bytes_max)?;
            progress.queue.push_back(Arc::new(read.clone()));
        }
        match strategy.until() {
            Some(Until::Condition(condition)) => {
                progress.keep(&read, bytes_max)?;
                progress.seen.push(read);
                self.check_until(thread, place, condition)?;
            }
            _ if definition.foreach.is_none() => {
                progress.keep(&read, bytes_max)?;
                progress.seen.push(read);
            }
            _ => {}
        }
        Ok(true)
    }

    /// Asks the condition whether the events so far are enough.
    fn check_until(
        &mut self,
        thread: u32,
        place: usize,
        condition: &Expression,
    ) -> Result<(), Problem> {
        let Some(progress) = self.listen_at(thread, place) else {
            return Ok(());
        };
        let seen = Value::Array(std::mem::take(&mut progress.seen));
        let enough = self.view_at(place).holds(thread, condition, &seen, &[]);
        if let (Some(progress), Value::Array(seen)) = (self.listen_at(thread, place), seen) {
            progress.seen = seen;
            progress.closed = enough?;
        }
        Ok(())
    }

    /// Finds the filter that takes the event; with `all`, each filter takes one.
    fn match_slot(
        &mut self,
        thread: u32,
        place: usize,
        strategy: &Strategy,
        (event, until): (&Data, bool),
    ) -> Option<usize> {
        if strategy.filters().is_empty() {
            return Some(0);
        }
        let progress = self.listen_at(thread, place)?;
        let matched = if until {
            &progress.until_matched
        } else {
            &progress.matched
        };
        let (matched, known) = (matched.clone(), progress.correlations.clone());
        for (slot, filter) in strategy.filters().iter().enumerate() {
            if matches!(strategy, Strategy::All(_)) && matched[slot] {
                continue;
            }
            // Who listens must not fail because of what somebody else sent: an event
            // on which an expression fails is not the one that is waited for.
            let passed = self.view_at(place).pass(thread, filter, event, &known);
            if let Ok(Some(correlations)) = passed {
                let progress = self.listen_at(thread, place)?;
                progress.correlations.extend(correlations);
                return Some(slot);
            }
        }
        None
    }

    /// Sees what the listening task at this place of the stack saw when it began.
    fn view_at(&self, place: usize) -> View<'_> {
        View {
            place: Some(place),
            ..self.view()
        }
    }

    /// Takes what a call gave; where it has an iterator, that goes over it.
    pub(in crate::interpreter) fn called(
        &mut self,
        thread: u32,
        effect: u64,
        value: &Data,
    ) -> Step {
        let place = self.top_place(thread);
        let Value::Array(items) = &**value else {
            return Step::Done(Data::clone(value), None);
        };
        if self.foreach(thread, place).is_none() {
            return Step::Done(Data::clone(value), None);
        }
        let items = items.iter().map(|item| Arc::new(item.clone()));
        let progress = ListenProgress {
            queue: items.collect(),
            closed: true,
            ..ListenProgress::new(effect, 0, 0)
        };
        if let Some(frame) = self
            .state
            .threads
            .get_mut(&thread)
            .and_then(Thread::top_task_mut)
        {
            frame.progress = Progress::Listen(progress);
        }
        self.listen_next(thread).unwrap_or_else(Step::Fail)
    }

    /// Takes what the iterator's tasks made of an event.
    pub(in crate::interpreter) fn iterated(&mut self, thread: u32, data: &Data) -> Step {
        self.iterator_output(thread, data)
            .and_then(|()| self.listen_next(thread))
            .unwrap_or_else(Step::Fail)
    }

    fn iterator_output(&mut self, thread: u32, data: &Data) -> Result<(), Problem> {
        let place = self.top_place(thread);
        let Some(foreach) = self.foreach(thread, place) else {
            return Ok(());
        };
        let output = self
            .view()
            .filter_out(thread, &foreach.output, data, "output")?;
        if foreach.export.transform.is_some() || foreach.export.schema.is_some() {
            let context = self
                .view()
                .filter_out(thread, &foreach.export, &output, "context")?;
            self.state.context = context;
        }
        let bytes_max = self.machine.limits.payload_bytes_max;
        if let Some(progress) = self.listen_at(thread, place) {
            progress.iterating = false;
            progress.keep(&output, bytes_max)?;
            progress.collected.push(Value::clone(&output));
        }
        Ok(())
    }

    /// Iterates over the next event, ends the task, or waits for more.
    fn listen_next(&mut self, thread: u32) -> Result<Step, Problem> {
        let place = self.top_place(thread);
        loop {
            let foreach = self.foreach(thread, place);
            let Some(progress) = self.listen_at(thread, place) else {
                return Ok(Step::Wait);
            };
            match (progress.queue.pop_front(), foreach) {
                (Some(item), Some(foreach)) => {
                    progress.forget(&item);
                    progress.iterating = true;
                    let index = progress.iterations;
                    progress.iterations += 1;
                    self.set_iteration(thread, foreach, Arc::clone(&item), index);
                    match foreach.body {
                        Some(body) => {
                            self.push(thread, Frame::list(body, 0, item));
                            return Ok(Step::Next);
                        }
                        None => self.iterator_output(thread, &item)?,
                    }
                }
                _ if progress.closed => {
                    let values = if foreach.is_some() {
                        std::mem::take(&mut progress.collected)
                    } else {
                        std::mem::take(&mut progress.seen)
                    };
                    return Ok(Step::Done(Arc::new(Value::Array(values)), None));
                }
                _ => return Ok(self.wait(thread, Waiting::Events)),
            }
        }
    }

    fn set_iteration(&mut self, thread: u32, foreach: &Foreach, item: Data, index: usize) {
        if let Some(frame) = self
            .state
            .threads
            .get_mut(&thread)
            .and_then(Thread::top_task_mut)
        {
            frame.variables = vec![
                (foreach.item.clone(), item),
                (foreach.at.clone(), Arc::new(Value::from(index))),
            ];
        }
    }

    fn top_place(&self, thread: u32) -> usize {
        self.state
            .threads
            .get(&thread)
            .map_or(0, |own| own.stack.len().saturating_sub(1))
    }

    fn listen_at(&mut self, thread: u32, place: usize) -> Option<&mut ListenProgress> {
        match self.state.threads.get_mut(&thread)?.stack.get_mut(place)? {
            Frame::Task(frame) => match &mut frame.progress {
                Progress::Listen(progress) => Some(progress),
                _ => None,
            },
            Frame::List(_) => None,
        }
    }
}

impl ListenProgress {
    /// Counts a value that is kept, unless all together would be too large.
    fn keep(&mut self, value: &Value, bytes_max: usize) -> Result<(), Problem> {
        let left = bytes_max.saturating_sub(self.bytes);
        let size = size_up_to(value, left)
            .ok_or_else(|| too_large("what the listen task keeps of its events is", bytes_max))?;
        self.bytes += size;
        Ok(())
    }

    /// Counts a value that is kept no longer.
    fn forget(&mut self, value: &Value) {
        let size = size_up_to(value, self.bytes).unwrap_or(self.bytes);
        self.bytes -= size;
    }
}

impl<'a> Work<'a> {
    fn listen_definition(&self, thread: u32, place: usize) -> Option<&'a Listen> {
        match self.kind_at(thread, place)? {
            TaskKind::Listen(definition) => Some(definition),
            _ => None,
        }
    }

    fn foreach(&self, thread: u32, place: usize) -> Option<&'a Foreach> {
        match self.kind_at(thread, place)? {
            TaskKind::Listen(definition) => definition.foreach.as_ref(),
            TaskKind::Call(call) => call.foreach.as_ref(),
            _ => None,
        }
    }

    fn kind_at(&self, thread: u32, place: usize) -> Option<&'a TaskKind> {
        match self.state.threads.get(&thread)?.stack.get(place)? {
            Frame::Task(frame) => Some(&self.machine.program.task(TaskIndex(frame.task)).kind),
            Frame::List(_) => None,
        }
    }
}

/// Gives what the task is to see of an event.
fn read(event: &Value, read: ReadAs) -> Value {
    match read {
        ReadAs::Data => {
            let data = event.get("data").or_else(|| event.get("data_base64"));
            data.cloned().unwrap_or(Value::Null)
        }
        ReadAs::Envelope => event.clone(),
    }
}
