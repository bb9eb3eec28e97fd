use auterity_core::engine::{Figures, Handle, Histogram};
use auterity_core::store::Survey;
use jiff::Timestamp;

use super::exposition::{Exposition, Kind};

/// Tenants that have a series of their own; the others count as one.
const TENANTS_MAX: usize = 20;

/// What the tenants without a series of their own count as.
const OTHER: &str = "other";

/// Makes a collector for the figures of an engine.
pub fn engine(handle: Handle) -> impl Fn(&mut Exposition) + Send + Sync + 'static {
    move |out| {
        let figures = handle.figures();
        executions(out, &figures);
        tasks(out, &figures);
        journal(out, &figures);
        if let Some((at, survey)) = &figures.queue {
            queue(out, *at, survey);
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^52, and the format has floats only"
)]
fn float(count: u64) -> f64 {
    count as f64
}

/// Writes a family with one label.
fn by<'a>(
    out: &mut Exposition,
    (name, kind, help): (&str, Kind, &str),
    label: &str,
    values: impl IntoIterator<Item = (&'a str, f64)>,
) {
    out.family(name, kind, help);
    for (word, value) in values {
        out.sample(name, &[(label, word)], value);
    }
}

fn executions(out: &mut Exposition, figures: &Figures) {
    let help = "Executions that were started here.";
    let started = float(figures.started);
    out.single(
        "auterity_executions_started_total",
        Kind::Counter,
        help,
        started,
    );
    let name = "auterity_starts_refused_total";
    let help = "Starts that were refused for now, by why.";
    let values = [
        ("throttled", float(figures.throttled)),
        ("overloaded", float(figures.overloaded)),
    ];
    by(out, (name, Kind::Counter, help), "reason", values);
    let name = "auterity_executions_ended_total";
    let help = "Executions that ended here, by how.";
    let values = [
        ("completed", float(figures.completed)),
        ("faulted", float(figures.faulted)),
        ("cancelled", float(figures.cancelled)),
    ];
    by(out, (name, Kind::Counter, help), "status", values);
    let help = "Executions that the worker claimed.";
    let claims = float(figures.claims);
    out.single("auterity_claims_total", Kind::Counter, help, claims);
    let (in_flight, most) = figures.in_flight;
    let help = "Executions in memory.";
    out.single(
        "auterity_executions_in_flight",
        Kind::Gauge,
        help,
        float(in_flight),
    );
    let help = "Executions in memory at most; 0 without a worker.";
    out.single(
        "auterity_executions_in_flight_max",
        Kind::Gauge,
        help,
        float(most),
    );
}

fn tasks(out: &mut Exposition, figures: &Figures) {
    let tasks = figures.tasks;
    let values = [
        ("completed", float(tasks.completed)),
        ("faulted", float(tasks.faulted)),
        ("cancelled", float(tasks.cancelled)),
        ("skipped", float(tasks.skipped)),
        ("retrying", float(tasks.retrying)),
    ];
    let help = "What became of tasks.";
    by(
        out,
        ("auterity_tasks_total", Kind::Counter, help),
        "state",
        values,
    );
    let errors = figures.errors.iter();
    let values = errors.map(|(kind, times)| (kind.as_str(), float(*times)));
    let help = "Errors of tasks by type, those included that were caught or tried again.";
    by(
        out,
        ("auterity_task_errors_total", Kind::Counter, help),
        "type",
        values,
    );
    let help = "Calls of functions under way.";
    let running = float(figures.functions_running);
    out.single("auterity_functions_running", Kind::Gauge, help, running);
    let help = "The time between a due time and what follows from it.";
    histogram(
        out,
        "auterity_timer_lag_seconds",
        help,
        &figures.timer_lag_seconds,
    );
}

fn journal(out: &mut Exposition, figures: &Figures) {
    let help = "Entries that one commit of the journal held.";
    histogram(
        out,
        "auterity_journal_batch_entries",
        help,
        &figures.batch_entries,
    );
    let help = "The time that a batch of the journal took to be committed.";
    histogram(
        out,
        "auterity_journal_commit_seconds",
        help,
        &figures.commit_seconds,
    );
    let help = "Entries that wait for their commit.";
    let waiting = float(figures.journal_waiting);
    out.single(
        "auterity_journal_waiting_entries",
        Kind::Gauge,
        help,
        waiting,
    );
}

/// Writes what waits: for the tenants with the most a series each, for the rest one.
fn queue(out: &mut Exposition, at: Timestamp, survey: &Survey) {
    let mut lanes = survey.lanes.clone();
    lanes.sort_by_key(|lane| (std::cmp::Reverse(lane.ready), lane.tenant));
    let age = |since: Timestamp| at.duration_since(since).as_secs_f64().max(0.0);
    let mut rows: Vec<(String, f64, f64)> = Vec::new();
    for lane in &lanes {
        let (ready, waits) = (f64::from(lane.ready), age(lane.since));
        if rows.len() < TENANTS_MAX {
            rows.push((lane.tenant.to_string(), ready, waits));
            continue;
        }
        if rows.len() == TENANTS_MAX {
            rows.push((OTHER.to_owned(), 0.0, 0.0));
        }
        if let Some((_, sum, oldest)) = rows.last_mut() {
            *sum += ready;
            *oldest = oldest.max(waits);
        }
    }
    let name = "auterity_queue_ready";
    let help = "Executions that wait for a worker, by tenant, counted up to 10,000.";
    let values = rows
        .iter()
        .map(|(tenant, ready, _)| (tenant.as_str(), *ready));
    by(out, (name, Kind::Gauge, help), "tenant", values);
    let name = "auterity_queue_oldest_seconds";
    let help = "For how long the first of a tenant's executions has waited for a worker.";
    let values = rows
        .iter()
        .map(|(tenant, _, oldest)| (tenant.as_str(), *oldest));
    by(out, (name, Kind::Gauge, help), "tenant", values);
    let help = "Executions that limits hold, counted up to 10,000.";
    out.single(
        "auterity_queue_held",
        Kind::Gauge,
        help,
        f64::from(survey.held),
    );
}

fn histogram(out: &mut Exposition, name: &str, help: &str, read: &Histogram) {
    out.family(name, Kind::Histogram, help);
    let mut count = 0;
    for (place, inside) in read.counts.iter().enumerate() {
        count += inside;
        let bound = read.bounds.get(place);
        let bound = bound.map_or_else(|| "+Inf".to_owned(), f64::to_string);
        out.sample(&format!("{name}_bucket"), &[("le", &bound)], float(count));
    }
    out.sample(&format!("{name}_sum"), &[], read.sum);
    out.sample(&format!("{name}_count"), &[], float(count));
}

#[cfg(test)]
mod tests {
    use auterity_core::TenantId;
    use auterity_core::clock::SeededEntropy;
    use auterity_core::store::LaneLength;

    use super::*;

    #[test]
    fn tenants_beyond_the_first_count_as_one() {
        let entropy = SeededEntropy::new(1);
        let at = Timestamp::from_second(1_000).unwrap();
        let lane = |number: u32| LaneLength {
            tenant: TenantId::generate(at, &entropy),
            ready: number,
            since: Timestamp::from_second(1_000 - i64::from(number)).unwrap(),
        };
        let survey = Survey {
            lanes: (1..=30).map(lane).collect(),
            held: 7,
        };
        let mut out = Exposition::default();
        queue(&mut out, at, &survey);
        let text = out.into_text();
        let series = text.matches("auterity_queue_ready{").count();
        assert_eq!(series, TENANTS_MAX + 1, "{text}");
        for line in [
            "auterity_queue_ready{tenant=\"other\"} 55\n",
            "auterity_queue_oldest_seconds{tenant=\"other\"} 10\n",
            "auterity_queue_held 7\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn buckets_are_cumulative() {
        let read = Histogram {
            bounds: &[0.5, 1.0],
            counts: vec![2, 1, 4],
            sum: 9.5,
        };
        let mut out = Exposition::default();
        histogram(&mut out, "a_seconds", "A.", &read);
        let wanted = "# HELP a_seconds A.\n# TYPE a_seconds histogram\n\
            a_seconds_bucket{le=\"0.5\"} 2\na_seconds_bucket{le=\"1\"} 3\n\
            a_seconds_bucket{le=\"+Inf\"} 7\na_seconds_sum 9.5\na_seconds_count 7\n";
        assert_eq!(out.into_text(), wanted);
    }
}
