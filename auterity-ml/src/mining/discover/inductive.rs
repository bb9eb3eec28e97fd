//! The inductive miner for infrequent behaviour.
//!
//! After Leemans, Fahland and van der Aalst, "Discovering block-structured process models
//! from event logs containing infrequent behaviour" (2014). It finds a cut of the
//! directly-follows graph, splits the log along it, and does the same with the parts;
//! where there is no cut, rare edges are left out, and where there is none even then, the
//! part becomes a block that allows more than what was seen. Without noise every trace of
//! the log fits the model. The same log gives the same model, whatever the order of its
//! cases.

use super::cuts::{self, Cut, CutKind};
use super::split::split;
use super::sublog::{Graph, Sublog};
use crate::mining::event_log::EventLog;
use crate::mining::model::ProcessTree;
use crate::num::float;
use crate::{Error, ErrorKind};

/// Tables over all pairs of activities are kept on the way down.
const ACTIVITIES_MAX: usize = 1000;

/// Discovers a process tree. With noise from 0 to 1, edges are left out that are rarer
/// than that part of the most frequent way out of their source, where the model would
/// otherwise have no structure; 0.2 is usual.
///
/// # Errors
/// `Invalid` if the noise is not from 0 to 1; `Limit` if the log has more than a thousand
/// activities.
pub fn discover_tree(log: &EventLog, noise: f64) -> Result<ProcessTree, Error> {
    if !(0.0..=1.0).contains(&noise) {
        let message = format!("noise is a part from 0 to 1, and not {noise}");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    if ACTIVITIES_MAX < log.activities().len() {
        let message = format!(
            "a model is discovered for {ACTIVITIES_MAX} activities at most, and the log has {}: filter it",
            log.activities().len()
        );
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let (sublog, names) = Sublog::of(log);
    let miner = Miner { noise, names };
    Ok(miner.mine(sublog).simplified())
}

struct Miner {
    noise: f64,
    names: Vec<String>,
}

impl Miner {
    fn mine(&self, mut log: Sublog) -> ProcessTree {
        let cases = log.cases();
        let empty = log.take_empty();
        if log.traces.is_empty() {
            return ProcessTree::Silent;
        }
        if self.noise * float(cases) < float(empty) {
            return ProcessTree::Choice(vec![ProcessTree::Silent, self.mine(log)]);
        }
        let graph = Graph::of(&log);
        if let [(trace, _)] = &log.traces[..]
            && let &[activity] = &trace[..]
        {
            return ProcessTree::Activity(self.names[activity as usize].clone());
        }
        match self.cut(&graph) {
            Some(cut) => self.divide(&log, &graph, &cut),
            None => self.fall_through(&log, &graph),
        }
    }

    /// A cut of the graph, or of what is left without rare edges.
    fn cut(&self, graph: &Graph) -> Option<Cut> {
        cuts::find(graph).or_else(|| {
            let noisy = 0.0 < self.noise;
            noisy
                .then(|| cuts::find(&graph.without_noise(self.noise)))
                .flatten()
        })
    }

    fn divide(&self, log: &Sublog, graph: &Graph, cut: &Cut) -> ProcessTree {
        let parts = split(log, graph, cut).into_iter();
        let mut parts: Vec<ProcessTree> = parts.map(|part| self.mine(part)).collect();
        match cut.kind {
            CutKind::Choice => ProcessTree::Choice(parts),
            CutKind::Sequence => ProcessTree::Sequence(parts),
            CutKind::Parallel => ProcessTree::Parallel(parts),
            CutKind::Loop => {
                let body = parts.remove(0);
                ProcessTree::Loop(Box::new(body), Box::new(ProcessTree::Choice(parts)))
            }
        }
    }

    /// A block that allows more than what was seen, as little more as possible.
    fn fall_through(&self, log: &Sublog, graph: &Graph) -> ProcessTree {
        if 1 < graph.len() {
            if let Some(activity) = once_per_trace(log, graph) {
                return self.beside(log, activity);
            }
            if let Some(activity) = self.concurrent(log, graph) {
                return self.beside(log, activity);
            }
        }
        let is = |counts: &[u64], activity: u32| counts[graph.node(activity)] != 0;
        let strict = |before: u32, after: u32| is(&graph.ends, before) && is(&graph.starts, after);
        let loose = |_: u32, after: u32| is(&graph.starts, after);
        let parts = apart(log, strict).or_else(|| apart(log, loose));
        if let Some(parts) = parts {
            let body = Box::new(self.mine(parts));
            return ProcessTree::Loop(body, Box::new(ProcessTree::Silent));
        }
        let name = |&activity: &u32| ProcessTree::Activity(self.names[activity as usize].clone());
        let any = ProcessTree::Choice(graph.nodes.iter().map(name).collect());
        ProcessTree::Loop(Box::new(any), Box::new(ProcessTree::Silent))
    }

    /// One activity in parallel to the rest.
    fn beside(&self, log: &Sublog, activity: u32) -> ProcessTree {
        ProcessTree::Parallel(vec![
            self.mine(log.project(|it| it == activity)),
            self.mine(log.project(|it| it != activity)),
        ])
    }

    /// An activity without which the rest has a cut.
    fn concurrent(&self, log: &Sublog, graph: &Graph) -> Option<u32> {
        let rest = |activity: u32| Graph::of(&log.project(|it| it != activity));
        let rests: Vec<Graph> = graph.nodes.iter().map(|&it| rest(it)).collect();
        let found = |find: &dyn Fn(&Graph) -> bool| {
            let mut all = rests.iter().zip(&graph.nodes);
            all.find(|(rest, _)| find(rest))
                .map(|(_, &activity)| activity)
        };
        found(&|rest| cuts::find(rest).is_some())
            .or_else(|| found(&|rest| self.cut(rest).is_some()))
    }
}

/// An activity that each trace has exactly once.
fn once_per_trace(log: &Sublog, graph: &Graph) -> Option<u32> {
    let once = |activity: &u32| {
        log.traces
            .iter()
            .all(|(trace, _)| trace.iter().filter(|it| *it == activity).count() == 1)
    };
    graph.nodes.iter().find(|activity| once(activity)).copied()
}

/// The traces cut wherever a repetition begins; nothing if none does.
fn apart(log: &Sublog, begins: impl Fn(u32, u32) -> bool) -> Option<Sublog> {
    let mut pieces = Vec::new();
    let mut cut = false;
    for (trace, count) in &log.traces {
        let mut from = 0;
        for at in 1..trace.len() {
            if begins(trace[at - 1], trace[at]) {
                pieces.push((trace[from..at].to_vec(), *count));
                from = at;
                cut = true;
            }
        }
        pieces.push((trace[from..].to_vec(), *count));
    }
    cut.then(|| Sublog::collect(pieces.into_iter()))
}
