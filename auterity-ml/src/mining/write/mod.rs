//! Writers of event logs.

mod csv;
mod xes;

pub use self::csv::write_csv;
pub(super) use self::xes::escape;
pub use self::xes::write_xes;

/// The keys of what every event has.
const OWN: [&str; 5] = [
    "case:concept:name",
    "concept:name",
    "time:timestamp",
    "start_timestamp",
    "org:resource",
];

/// The key of an attribute: one that has the key of something else gets another.
fn key(name: &str) -> std::borrow::Cow<'_, str> {
    if OWN.contains(&name) {
        format!("{name} (attribute)").into()
    } else {
        name.into()
    }
}
