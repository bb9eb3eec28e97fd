//! `listen`: which events count, when there are enough, and the iterator over them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::definition::{
    EventFilter, Foreach, Listen, ReadAs, Strategy, TaskIndex, TaskKind, Until,
};
use crate::expression::Template;
use crate::interpreter::effect::{Filter, FilterCorrelation};
use crate::interpreter::state::{Data, Frame, ListenProgress, Progress, Thread, Waiting};
use crate::interpreter::transition::{Step, Work};
use crate::interpreter::{Effect, Problem, ProblemKind};

impl Strategy {
    fn filters(&self) -> &[EventFilter] {
        match self {
            Self::One(filter) => std::slice::from_ref(filter),
            Self::Any { filters, .. } | Self::All(filters) => filters,
        }
    }

    fn until(&self) -> Option<&Until> {
        match self {
            Self::Any { until, .. } => until.as_ref(),
            _ => None,
        }
    }

    /// Tells whether these matches are all that is waited for.
    fn is_met(&self, matched: &[bool]) -> bool {
        match self {
            Self::All(_) => matched.iter().all(|matched| *matched),
            Self::One(_) | Self::Any { until: None, .. } => matched.iter().any(|matched| *matched),
            Self::Any { until: Some(_), .. } => false,
        }
    }

    /// One slot per filter; an `any` without filters takes every event in one slot.
    fn slots(&self) -> usize {
        self.filters().len().max(1)
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
            frame.progress = Progress::Listen(ListenProgress {
                effect,
                seen: Vec::new(),
                collected: Vec::new(),
                matched: vec![false; strategy.slots()],
                until_matched: vec![false; until_slots],
                correlations: BTreeMap::new(),
                queue: VecDeque::new(),
                iterating: false,
                closed: false,
                iterations: 0,
            });
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
                    Template::Literal(value) => Some((name.clone(), value.clone())),
                    _ => None,
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
            && let Some(slot) = self.match_slot(thread, place, until, (event, true))?
        {
            let Some(progress) = self.listen_at(thread, place) else {
                return Ok(false);
            };
            progress.until_matched[slot] = true;
            progress.closed = until.is_met(&progress.until_matched);
            return Ok(progress.closed);
        }
        let Some(slot) = self.match_slot(thread, place, strategy, (event, false))? else {
            return Ok(false);
        };
        let most = self.machine.limits.events_collected_max;
        let Some(progress) = self.listen_at(thread, place) else {
            return Ok(false);
        };
        if most <= progress.seen.len() {
            let detail =
                format!("the listen task consumed {most} events (limit events_collected_max)");
            return Err(Problem::new(ProblemKind::Runtime, detail));
        }
        let read = match definition.read {
            ReadAs::Data => event.get("data").cloned().unwrap_or(Value::Null),
            ReadAs::Envelope | ReadAs::Raw => Value::clone(event),
        };
        progress.matched[slot] = true;
        progress.seen.push(read.clone());
        if definition.foreach.is_some() {
            progress.queue.push_back(Arc::new(read));
        }
        progress.closed = strategy.is_met(&progress.matched);
        if let Some(Until::Condition(condition)) = strategy.until() {
            let seen = Value::Array(progress.seen.clone());
            let enough = self.view().holds(thread, condition, &seen, &[])?;
            if let Some(progress) = self.listen_at(thread, place) {
                progress.closed = enough;
            }
        }
        Ok(true)
    }

    /// Finds the filter that takes the event; with `all`, each filter takes one.
    fn match_slot(
        &mut self,
        thread: u32,
        place: usize,
        strategy: &Strategy,
        (event, until): (&Data, bool),
    ) -> Result<Option<usize>, Problem> {
        if strategy.filters().is_empty() {
            return Ok(Some(0));
        }
        let Some(progress) = self.listen_at(thread, place) else {
            return Ok(None);
        };
        let matched = if until {
            progress.until_matched.clone()
        } else {
            progress.matched.clone()
        };
        let known = progress.correlations.clone();
        for (slot, filter) in strategy.filters().iter().enumerate() {
            let taken = matches!(strategy, Strategy::All(_)) && matched[slot];
            if taken || !self.attributes_match(thread, filter, event)? {
                continue;
            }
            if let Some(correlations) = self.correlate(thread, filter, event, &known)? {
                if let Some(progress) = self.listen_at(thread, place) {
                    progress.correlations.extend(correlations);
                }
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    fn attributes_match(
        &self,
        thread: u32,
        filter: &EventFilter,
        event: &Value,
    ) -> Result<bool, Problem> {
        for (name, wanted) in &filter.with {
            let actual = event.get(name).unwrap_or(&Value::Null);
            let passes = match wanted {
                Template::Literal(value) => value == actual,
                template => {
                    let value = self.view().fill(thread, template, actual, &[])?;
                    value == Value::Bool(true) || value == *actual
                }
            };
            if !passes {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Checks the correlations; gives the values that are expected from now on.
    fn correlate(
        &self,
        thread: u32,
        filter: &EventFilter,
        event: &Value,
        known: &BTreeMap<String, Value>,
    ) -> Result<Option<Vec<(String, Value)>>, Problem> {
        let mut learnt = Vec::new();
        let input = self.view().listening_input(thread);
        for (name, correlation) in &filter.correlate {
            let actual = self
                .view()
                .evaluate(thread, &correlation.from, event, &[])?;
            let expected = match (&correlation.expect, known.get(name)) {
                (Some(template), _) => Some(self.view().fill(thread, template, &input, &[])?),
                (None, known) => known.cloned(),
            };
            match expected {
                Some(expected) if expected != actual => return Ok(None),
                Some(_) => {}
                None => learnt.push((name.clone(), actual)),
            }
        }
        Ok(Some(learnt))
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
        if let Some(progress) = self.listen_at(thread, place) {
            progress.iterating = false;
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

impl<'a> Work<'a> {
    fn listen_definition(&self, thread: u32, place: usize) -> Option<&'a Listen> {
        match self.state.threads.get(&thread)?.stack.get(place)? {
            Frame::Task(frame) => match &self.machine.program.task(TaskIndex(frame.task)).kind {
                TaskKind::Listen(definition) => Some(definition),
                _ => None,
            },
            Frame::List(_) => None,
        }
    }

    fn foreach(&self, thread: u32, place: usize) -> Option<&'a Foreach> {
        self.listen_definition(thread, place)?.foreach.as_ref()
    }
}
