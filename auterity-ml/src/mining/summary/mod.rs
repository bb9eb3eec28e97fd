//! Everything that a log tells at a glance, for programs and for people.

mod model;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::model::{AlignmentSummary, ModelSummary, ReplaySummary};
use super::bottleneck::{Finding, bottlenecks};
use super::civil::rfc3339;
use super::directly_follows::{DirectlyFollows, EdgeTime};
use super::event_log::EventLog;
use super::over_time::{OverTime, rates_per_day};
use super::read::ImportReport;
use super::resources::{handovers, resource_loads};
use super::statistics::{activity_times, case_durations, rework};
use super::times::Times;
use super::variants::Variants;
use crate::num::float;

/// How many handovers of work are listed.
const HANDOVERS_MAX: usize = 1000;

/// What a summary holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SummaryOptions {
    /// How many variants and resources are listed, the most frequent ones.
    pub top: usize,
    /// How rare an edge may be to be left out of the model, from 0 to 1; see
    /// [`discover_tree`](super::discover_tree).
    pub noise: f64,
}

impl Default for SummaryOptions {
    fn default() -> Self {
        Self {
            top: 10,
            noise: 0.2,
        }
    }
}

/// Everything that a log tells at a glance. As JSON it has these names; all times are
/// seconds, all moments RFC 3339. As text it is for people.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// How the log was read, and what was left out.
    pub import: ImportReport,
    /// Events.
    pub events: u64,
    /// Cases.
    pub cases: u64,
    /// Different activities.
    pub activities: u64,
    /// Different orders of activities that cases take.
    pub variants: u64,
    /// A digest of all variants with their counts, see [`Variants::digest`].
    pub variants_digest: String,
    /// The first moment.
    pub first: String,
    /// The last moment.
    pub last: String,
    /// Events of each activity.
    pub activity_counts: BTreeMap<String, u64>,
    /// Cases that begin with each activity.
    pub start_activities: BTreeMap<String, u64>,
    /// Cases that end with each activity.
    pub end_activities: BTreeMap<String, u64>,
    /// Cases in which each activity occurs more than once.
    pub rework_cases: BTreeMap<String, u64>,
    /// What comes right after what: the most frequent first.
    pub directly_follows: Vec<EdgeSummary>,
    /// The most frequent variants.
    pub top_variants: Vec<VariantSummary>,
    /// How long cases take.
    pub case_duration: Times,
    /// How long each activity takes, and how long it is waited for.
    pub activity_times: Vec<ActivitySummary>,
    /// Cases that begin a day.
    pub arrivals_per_day: Option<f64>,
    /// Cases that end a day.
    pub completions_per_day: Option<f64>,
    /// What comes, goes and is in progress over time.
    pub over_time: Vec<StretchSummary>,
    /// The resources with most events; nothing if the log names none.
    pub resources: Option<Vec<ResourceSummary>>,
    /// Who hands work to whom; nothing if the log names no resources.
    pub handover: Option<HandoverSummary>,
    /// The model that was discovered, and how the log agrees with it.
    pub model: Option<ModelSummary>,
    /// Why there is no model or some figure of it.
    pub model_missing: Option<String>,
    /// Where time is lost: what costs most first.
    pub bottlenecks: Vec<Finding>,
}

/// One activity right after another.
#[derive(Debug, Clone, Serialize)]
pub struct EdgeSummary {
    /// The earlier activity.
    pub source: String,
    /// The later one.
    pub target: String,
    /// How often.
    pub count: u64,
    /// In how many cases.
    pub cases: u64,
    /// From the end of the earlier event to the end of the later one.
    pub end_to_end: Times,
    /// From the end of the earlier event to the start of the later one, if the log says
    /// when events began.
    pub waiting: Option<Times>,
}

/// A variant.
#[derive(Debug, Clone, Serialize)]
pub struct VariantSummary {
    /// Its activities in order.
    pub activities: Vec<String>,
    /// How many cases have it.
    pub count: u64,
    /// Which part of all cases.
    pub share: f64,
}

/// The times of an activity.
#[derive(Debug, Clone, Serialize)]
pub struct ActivitySummary {
    /// The activity.
    pub activity: String,
    /// From the end of what came before in the case to its start.
    pub waiting: Option<Times>,
    /// From its start to its end.
    pub service: Option<Times>,
    /// From the end of what came before in the case to its end.
    pub sojourn: Option<Times>,
}

/// A stretch of time.
#[derive(Debug, Clone, Serialize)]
pub struct StretchSummary {
    /// When it begins.
    pub from: String,
    /// Cases that begin in it.
    pub arrivals: u64,
    /// Cases that end in it.
    pub completions: u64,
    /// Cases in progress, as the mean over it.
    pub in_progress: f64,
    /// The most cases in progress at one moment of it.
    pub in_progress_max: u64,
}

/// The work of a resource.
#[derive(Debug, Clone, Serialize)]
pub struct ResourceSummary {
    /// The resource.
    pub resource: String,
    /// Its events.
    pub events: u64,
    /// The cases in which it did something.
    pub cases: u64,
}

/// Who hands work to whom.
#[derive(Debug, Clone, Serialize)]
pub struct HandoverSummary {
    /// How many pairs of resources follow each other.
    pub pairs: u64,
    /// The most frequent pairs.
    pub list: Vec<HandoverPair>,
}

/// Work that goes from one resource to another, or stays.
#[derive(Debug, Clone, Serialize)]
pub struct HandoverPair {
    /// Who did the earlier event.
    pub from: String,
    /// Who did the later one.
    pub to: String,
    /// How often.
    pub count: u64,
    /// Which part of all.
    pub share: f64,
}

impl Summary {
    /// Sums up a log.
    #[must_use]
    pub fn of(log: &EventLog, import: ImportReport, options: SummaryOptions) -> Self {
        let graph = DirectlyFollows::of(log);
        let variants = Variants::of(log);
        let counts = |counts: &[u64]| {
            let named = log.activities().iter().zip(counts);
            let named = named.filter(|(_, count)| 0 < **count);
            named
                .map(|(name, count)| (name.to_owned(), *count))
                .collect()
        };
        let again: Vec<u64> = rework(log).iter().map(|it| it.reworked_cases).collect();
        let (first, last) = log.span();
        let (arrivals_per_day, completions_per_day) = rates_per_day(log);
        // A log has at least one case.
        let durations = Times::of(&mut case_durations(log, None));
        let (model, model_missing) = ModelSummary::of(log, &variants, options.noise);
        Self {
            import,
            events: log.events() as u64,
            cases: log.cases() as u64,
            activities: log.activities().len() as u64,
            variants: variants.list().len() as u64,
            variants_digest: variants.digest(log),
            first: rfc3339(first),
            last: rfc3339(last),
            activity_counts: counts(&graph.activities),
            start_activities: counts(&graph.starts),
            end_activities: counts(&graph.ends),
            rework_cases: counts(&again),
            directly_follows: edges(log, &graph),
            top_variants: top_variants(log, &variants, options.top),
            case_duration: durations.unwrap_or_default(),
            activity_times: activities(log),
            arrivals_per_day,
            completions_per_day,
            over_time: stretches(log),
            resources: log.has_resources().then(|| resources(log, options.top)),
            handover: log.has_resources().then(|| handover(log)),
            model,
            model_missing,
            bottlenecks: bottlenecks(log),
        }
    }
}

fn edges(log: &EventLog, graph: &DirectlyFollows) -> Vec<EdgeSummary> {
    let name = |label| log.activities().name(label).to_owned();
    let end_to_end = graph.times(log, EdgeTime::EndToEnd, None);
    let waiting = log
        .has_starts()
        .then(|| graph.times(log, EdgeTime::Waiting, None));
    let numbered = graph.edges.iter().enumerate();
    let mut edges: Vec<EdgeSummary> = numbered
        .map(|(at, edge)| EdgeSummary {
            source: name(edge.source),
            target: name(edge.target),
            count: edge.count,
            cases: edge.cases,
            end_to_end: end_to_end[at],
            waiting: waiting.as_ref().map(|times| times[at]),
        })
        .collect();
    edges.sort_by(|a, b| {
        let names = || (&a.source, &a.target).cmp(&(&b.source, &b.target));
        b.count.cmp(&a.count).then_with(names)
    });
    edges
}

fn top_variants(log: &EventLog, variants: &Variants, top: usize) -> Vec<VariantSummary> {
    let name = |&label: &u32| log.activities().name(label).to_owned();
    let list = variants.list().iter().take(top).enumerate();
    list.map(|(at, variant)| VariantSummary {
        activities: variants.trace(log, at).iter().map(name).collect(),
        count: variant.count,
        share: float(variant.count) / float(log.cases() as u64),
    })
    .collect()
}

fn activities(log: &EventLog) -> Vec<ActivitySummary> {
    let named = log.activities().iter().zip(activity_times(log, None));
    named
        .map(|(name, times)| ActivitySummary {
            activity: name.to_owned(),
            waiting: times.waiting,
            service: times.service,
            sojourn: times.sojourn,
        })
        .collect()
}

fn stretches(log: &EventLog) -> Vec<StretchSummary> {
    let over_time = OverTime::of(log);
    let mut from = over_time.from;
    (0..over_time.arrivals.len())
        .map(|at| {
            let stretch = StretchSummary {
                from: rfc3339(from),
                arrivals: over_time.arrivals[at],
                completions: over_time.completions[at],
                in_progress: over_time.in_progress[at],
                in_progress_max: over_time.in_progress_max[at],
            };
            from += over_time.width;
            stretch
        })
        .collect()
}

fn resources(log: &EventLog, top: usize) -> Vec<ResourceSummary> {
    let loads = resource_loads(log).into_iter().take(top);
    loads
        .map(|load| ResourceSummary {
            resource: log.resources().name(load.resource).to_owned(),
            events: load.events,
            cases: load.cases,
        })
        .collect()
}

fn handover(log: &EventLog) -> HandoverSummary {
    let all = handovers(log);
    let name = |label| log.resources().name(label).to_owned();
    HandoverSummary {
        pairs: all.len() as u64,
        list: all
            .iter()
            .take(HANDOVERS_MAX)
            .map(|it| HandoverPair {
                from: name(it.from),
                to: name(it.to),
                count: it.count,
                share: it.share,
            })
            .collect(),
    }
}
