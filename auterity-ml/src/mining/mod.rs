//! Process mining: event logs, and what they tell.

mod bottleneck;
mod builder;
mod calendar;
mod civil;
mod columns;
mod conform;
mod directly_follows;
mod discover;
mod event_log;
mod filter;
mod human;
mod labels;
mod layout;
mod map;
mod model;
mod over_time;
mod read;
mod resources;
mod statistics;
mod summary;
mod times;
mod variants;
mod write;

pub use bottleneck::{Causes, Confidence, Finding, FindingKind, bottlenecks};
pub use builder::{Event, LogBuilder};
pub use calendar::{Calendar, Shifts};
pub use civil::rfc3339;
pub use columns::{Column, ValueKind};
pub use conform::{Alignments, Replay, align, precision, replay};
pub use directly_follows::{DirectlyFollows, Edge, EdgeTime};
pub use discover::discover_tree;
pub use event_log::EventLog;
pub use filter::{CaseTest, EventTest, Filter, Value};
pub use human::duration;
pub use labels::{Labels, NO_LABEL};
pub use layout::{Layout, LayoutInput};
pub use map::{MapOptions, process_map};
pub use model::{PetriNet, ProcessTree, Transition};
pub use over_time::{OverTime, rates_per_day};
pub use read::{
    Attributes, BadReason, BadRow, BadRows, Import, ImportReport, Limits, LogFormat, Mapping, Note,
    ReadOptions, read, read_file,
};
pub use resources::{Handover, ResourceLoad, handovers, resource_loads};
pub use statistics::{ActivityTimes, Rework, activity_times, case_durations, rework};
pub use summary::{
    ActivitySummary, AlignmentSummary, EdgeSummary, HandoverPair, HandoverSummary, ModelSummary,
    ReplaySummary, ResourceSummary, StretchSummary, Summary, SummaryOptions, VariantSummary,
};
pub use times::Times;
pub use variants::{Variant, Variants};
pub use write::{write_csv, write_xes};
