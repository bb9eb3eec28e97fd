//! Cases as sequences of activities and times.

use hashbrown::HashMap;

use crate::mining::EventLog;

/// A case that has ended.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// Activities by the predictor's numbers; nothing for those that it does not know.
    pub(super) activities: Vec<Option<u32>>,
    /// When each ended, in microseconds.
    pub(super) times: Vec<i64>,
}

impl Case {
    /// How long the case has taken after some events.
    pub(super) fn elapsed(&self, length: usize) -> i64 {
        self.times[length - 1] - self.times[0]
    }

    /// How long the case still takes after some events.
    pub(super) fn remaining(&self, length: usize) -> i64 {
        self.times[self.times.len() - 1] - self.times[length - 1]
    }
}

/// The cases of logs in the order in which they began, and the names of all activities.
pub(super) fn cases(logs: &[&EventLog]) -> (Vec<Case>, Vec<String>) {
    let mut names: Vec<String> = Vec::new();
    for log in logs {
        names.extend(log.activities().iter().map(str::to_owned));
    }
    names.sort_unstable();
    names.dedup();
    let mut all: Vec<Case> = logs.iter().flat_map(|log| of(log, &names)).collect();
    // Stable: cases of one moment stay in the order of the log.
    all.sort_by_key(|case| case.times[0]);
    (all, names)
}

/// The cases of a log with activities numbered by names.
pub(super) fn of(log: &EventLog, names: &[String]) -> Vec<Case> {
    let by_name: HashMap<&str, u32> = names.iter().map(String::as_str).zip(0..).collect();
    let numbers: Vec<Option<u32>> = log
        .activities()
        .iter()
        .map(|name| by_name.get(name).copied())
        .collect();
    (0..log.cases())
        .map(|case| {
            let events = log.case_events(case);
            let activities = log.activity_column()[events.clone()].iter();
            Case {
                activities: activities.map(|&it| numbers[it as usize]).collect(),
                times: log.end_column()[events].to_vec(),
            }
        })
        .collect()
}
