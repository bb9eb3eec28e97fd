//! Where time is lost, in words: what, how much, why as far as the log tells, and what to
//! look at.
//!
//! Findings are ranked by the time that they cost all cases together, not by the slowest
//! mean. After Lashkevich, Milani, Chapela-Campa, Suvorau and Dumas, "Why am I waiting?"
//! (2022), waiting is split by cause: the one who did the work was busy with another
//! case, it was outside the usual working hours, or neither.

use serde::Serialize;

use super::event_log::EventLog;
use super::human::{duration, percent};
use super::labels::NO_LABEL;
use super::times::Times;
use crate::num::{float, float_of_micros, u32_of};

const HOUR: i64 = 3_600_000_000;
const WEEK: i64 = 168 * HOUR;
const WEEK_HOURS: usize = 168;
/// The hours of a week in which this part of all events happens are the usual ones.
const USUAL_PART: f64 = 0.98;
/// From so many hours on, work goes on around the clock.
const AROUND_THE_CLOCK: usize = 150;
/// So many weeks are needed before hours are called usual.
const WEEKS_MIN: i64 = 4;
/// A finding costs at least this part of all time lost.
const SHARE_MIN: f64 = 0.01;
const EXAMPLES_MAX: usize = 5;
/// Fewer cases say little.
const CASES_SURE: u64 = 100;
const CASES_LIKELY: u64 = 30;

/// A place where time is lost.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What kind of loss.
    pub kind: FindingKind,
    /// The activity at which it happens.
    pub activity: String,
    /// The finding in words.
    pub text: String,
    /// What to do or to look at.
    pub action: String,
    /// How sure it is, by the number of cases behind it.
    pub confidence: Confidence,
    /// The time lost, in seconds: each time it happened.
    pub times: Times,
    /// Which part of all time lost in this way.
    pub share: f64,
    /// In how many cases.
    pub cases: u64,
    /// Which parts of it have which cause; nothing if the log does not tell.
    pub causes: Option<Causes>,
    /// The ids of the cases that lost most.
    pub examples: Vec<String>,
}

/// What kind of loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingKind {
    /// Nothing happens until an activity starts.
    Waiting,
    /// Until an activity ended; waiting and work together, since the log has no starts.
    Elapsed,
    /// An activity is done again in the same case.
    Rework,
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// A hundred cases or more.
    High,
    /// Thirty or more.
    Medium,
    /// Fewer.
    Low,
}

/// The causes of waiting, as parts of its time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Causes {
    /// The one who did the work was busy with another case; nothing if the log does not
    /// say who worked and from when to when.
    pub busy: Option<f64>,
    /// It was outside of the hours in which nearly all events happen; nothing if the log
    /// is too short to tell or work goes on around the clock.
    pub off_hours: Option<f64>,
    /// Which part of a week is outside of these hours: long waiting has that part of it
    /// whenever it begins.
    pub off_hours_of_week: Option<f64>,
    /// Neither.
    pub unexplained: f64,
}

/// Finds where time is lost: what costs most first.
#[must_use]
pub fn bottlenecks(log: &EventLog) -> Vec<Finding> {
    let mut findings = waits(log);
    findings.extend(rework(log));
    findings.sort_by(|a, b| b.times.total.total_cmp(&a.times.total));
    findings
}

/// A stretch of time before an event.
struct Stretch {
    case: u32,
    event: u32,
    from: i64,
    to: i64,
}

fn waits(log: &EventLog) -> Vec<Finding> {
    let mut by_activity: Vec<Vec<Stretch>> = Vec::new();
    by_activity.resize_with(log.activities().len(), Vec::new);
    for case in 0..log.cases() {
        let events = log.case_events(case);
        for event in events.start + 1..events.end {
            let from = log.end_column()[event - 1];
            let to = match log.known_start(event) {
                Some(start) => start.max(from),
                None => log.end_column()[event],
            };
            by_activity[log.activity_column()[event] as usize].push(Stretch {
                case: u32_of(case),
                event: u32_of(event),
                from,
                to,
            });
        }
    }
    let all = by_activity.iter().flatten();
    let total: f64 = all.map(|it| float_of_micros(it.to - it.from)).sum();
    let hours = Hours::of(log);
    let busy = log.has_starts().then(|| Busy::of(log));
    let numbered = by_activity.into_iter().enumerate();
    let findings = numbered.filter_map(|(activity, stretches)| {
        let lengths = stretches.iter().map(|it| float_of_micros(it.to - it.from));
        let share = lengths.sum::<f64>() / total;
        if total <= 0.0 || share < SHARE_MIN {
            return None;
        }
        waiting(
            log,
            u32_of(activity),
            &stretches,
            share,
            hours.as_ref(),
            busy.as_ref(),
        )
    });
    findings.collect()
}

fn waiting(
    log: &EventLog,
    activity: u32,
    stretches: &[Stretch],
    share: f64,
    hours: Option<&Hours>,
    busy: Option<&Busy>,
) -> Option<Finding> {
    let mut lengths: Vec<i64> = stretches.iter().map(|it| it.to - it.from).collect();
    let times = Times::of(&mut lengths)?;
    let kind = if log.has_starts() {
        FindingKind::Waiting
    } else {
        FindingKind::Elapsed
    };
    let causes = causes(log, stretches, hours, busy);
    let name = log.activities().name(activity);
    let cases = count_cases(stretches);
    let (median, p90) = (duration(times.median), duration(times.p90));
    let what = match kind {
        FindingKind::Waiting => {
            format!("Cases wait {median} in the median (p90 {p90}) for {name:?}")
        }
        _ => format!(
            "It takes {median} in the median (p90 {p90}) until {name:?} is done, waiting included"
        ),
    };
    let text = format!(
        "{what}: {} times in {cases} cases, {} in all, {} of all time between events.{}",
        times.count,
        duration(times.total),
        percent(share),
        causes.map(Causes::in_words).unwrap_or_default()
    );
    Some(Finding {
        kind,
        activity: name.to_owned(),
        text,
        action: action(name, causes),
        confidence: Confidence::of(cases),
        times,
        share,
        cases,
        causes,
        examples: examples(log, stretches),
    })
}

fn action(name: &str, causes: Option<Causes>) -> String {
    let part = |part: Option<f64>| part.unwrap_or(0.0);
    match causes {
        Some(it) if 0.4 <= part(it.busy) => format!(
            "Let more people do {name:?}, or take simple cases from those who do: they are busy with other cases while this one waits."
        ),
        Some(it) if 0.15 <= part(it.off_hours) - part(it.off_hours_of_week) => format!(
            "Look at what arrives at {name:?} late in the day or before weekends: more of the waiting is outside working hours than chance would have it."
        ),
        Some(it) if it.busy.is_some() => format!(
            "Look at the longest cases before {name:?}: those who do it are free and at work for most of the waiting, so it may be for information, a decision of others, or a batch."
        ),
        _ => format!(
            "Look at the longest cases before {name:?}. A log with start times and resources would tell more about the cause."
        ),
    }
}

fn causes(
    log: &EventLog,
    stretches: &[Stretch],
    hours: Option<&Hours>,
    busy: Option<&Busy>,
) -> Option<Causes> {
    let who = busy.filter(|_| log.has_resources());
    if who.is_none() && hours.is_none() {
        return None;
    }
    let (mut total, mut off, mut with_others) = (0.0, 0.0, 0.0);
    for it in stretches {
        let length = it.to - it.from;
        total += float_of_micros(length);
        let away = hours.map_or(0, |hours| length - hours.between(it.from, it.to));
        off += float_of_micros(away);
        let resource = log.resource(it.event as usize);
        if let (Some(busy), Some(resource)) = (who, resource) {
            // What was off hours is that, even if somebody worked late.
            let time = busy.between(resource, it.from, it.to).min(length - away);
            with_others += float_of_micros(time);
        }
    }
    if total <= 0.0 {
        return None;
    }
    Some(Causes {
        busy: who.map(|_| with_others / total),
        off_hours: hours.map(|_| off / total),
        off_hours_of_week: hours.map(Hours::off_part),
        unexplained: (1.0 - (off + with_others) / total).max(0.0),
    })
}

impl Causes {
    fn in_words(self) -> String {
        let mut parts = Vec::new();
        if let Some(part) = self.busy {
            parts.push(format!(
                "{} while the one who did it was busy with other cases",
                percent(part)
            ));
        }
        if let Some(part) = self.off_hours {
            parts.push(format!(
                "{} outside the usual working hours (of a week, {} is)",
                percent(part),
                percent(self.off_hours_of_week.unwrap_or(0.0))
            ));
        }
        parts.push(format!("{} unexplained", percent(self.unexplained)));
        format!(" Of it: {}.", parts.join(", "))
    }
}

impl Confidence {
    fn of(cases: u64) -> Self {
        match cases {
            CASES_SURE.. => Self::High,
            CASES_LIKELY.. => Self::Medium,
            _ => Self::Low,
        }
    }
}

/// Activities that are done again: the time from one end to the next.
fn rework(log: &EventLog) -> Vec<Finding> {
    let mut first = vec![(u32::MAX, 0_u32); log.activities().len()];
    let mut again: Vec<Vec<Stretch>> = Vec::new();
    again.resize_with(first.len(), Vec::new);
    for case in 0..log.cases() {
        for event in log.case_events(case) {
            let activity = log.activity_column()[event] as usize;
            let (last_case, before) = first[activity];
            if last_case == u32_of(case) {
                let from = log.end_column()[before as usize];
                again[activity].push(Stretch {
                    case: last_case,
                    event: u32_of(event),
                    from,
                    to: log.end_column()[event],
                });
            }
            first[activity] = (u32_of(case), u32_of(event));
        }
    }
    let numbered = again.into_iter().enumerate();
    let findings = numbered.filter_map(|(activity, stretches)| {
        let cases = count_cases(&stretches);
        let part = float(cases) / float(log.cases() as u64);
        if part < SHARE_MIN {
            return None;
        }
        let mut lengths: Vec<i64> = stretches.iter().map(|it| it.to - it.from).collect();
        let times = Times::of(&mut lengths)?;
        let name = log.activities().name(u32_of(activity));
        let text = format!(
            "{name:?} is done again in {cases} cases ({}), {} times; between one time and the next lie {} in the median (p90 {}).",
            percent(part),
            times.count,
            duration(times.median),
            duration(times.p90)
        );
        Some(Finding {
            kind: FindingKind::Rework,
            activity: name.to_owned(),
            text,
            action: format!("Look at what sends cases back to {name:?}, and whether it can be found out before."),
            confidence: Confidence::of(cases),
            times,
            share: part,
            cases,
            causes: None,
            examples: examples(log, &stretches),
        })
    });
    findings.collect()
}

/// How many cases there are; stretches of one case stand together.
fn count_cases(stretches: &[Stretch]) -> u64 {
    let changes = stretches
        .windows(2)
        .filter(|pair| pair[0].case != pair[1].case);
    changes.count() as u64 + u64::from(!stretches.is_empty())
}

fn examples(log: &EventLog, stretches: &[Stretch]) -> Vec<String> {
    let mut longest: Vec<&Stretch> = stretches.iter().collect();
    longest.sort_by_key(|it| (std::cmp::Reverse(it.to - it.from), it.case));
    let mut cases: Vec<u32> = Vec::new();
    for it in longest {
        if EXAMPLES_MAX <= cases.len() {
            break;
        }
        if !cases.contains(&it.case) {
            cases.push(it.case);
        }
    }
    let ids = cases
        .into_iter()
        .map(|case| log.case_ids().name(case).to_owned());
    ids.collect()
}

/// The hours of a week in which nearly all events happen.
struct Hours {
    usual: Vec<bool>,
    /// The usual time of a week before each hour.
    before: Vec<i64>,
    week: i64,
}

impl Hours {
    /// Nothing if the log is short or work goes on around the clock.
    fn of(log: &EventLog) -> Option<Self> {
        let (first, last) = log.span();
        if last - first < WEEKS_MIN * WEEK {
            return None;
        }
        let mut counts = [0_u64; WEEK_HOURS];
        for &end in log.end_column() {
            counts[Self::hour(end)] += 1;
        }
        let mut order: Vec<usize> = (0..WEEK_HOURS).collect();
        order.sort_by_key(|&hour| (std::cmp::Reverse(counts[hour]), hour));
        let mut usual = vec![false; WEEK_HOURS];
        let wanted = float(log.events() as u64) * USUAL_PART;
        let (mut covered, mut hours) = (0, 0);
        for hour in order {
            if wanted <= float(covered) {
                break;
            }
            usual[hour] = true;
            covered += counts[hour];
            hours += 1;
        }
        if AROUND_THE_CLOCK <= hours {
            return None;
        }
        let mut before = Vec::with_capacity(WEEK_HOURS);
        let mut sum = 0;
        for &usual in &usual {
            before.push(sum);
            sum += if usual { HOUR } else { 0 };
        }
        Some(Self {
            usual,
            before,
            week: sum,
        })
    }

    fn hour(moment: i64) -> usize {
        let hour = moment.rem_euclid(WEEK) / HOUR;
        usize::try_from(hour).unwrap_or(0)
    }

    /// The part of a week that is not usual.
    fn off_part(&self) -> f64 {
        1.0 - float_of_micros(self.week) / float_of_micros(WEEK)
    }

    fn until(&self, moment: i64) -> i64 {
        let hour = Self::hour(moment);
        let weeks = moment.div_euclid(WEEK);
        let within = if self.usual[hour] {
            moment.rem_euclid(HOUR)
        } else {
            0
        };
        weeks * self.week + self.before[hour] + within
    }

    fn between(&self, from: i64, to: i64) -> i64 {
        self.until(to) - self.until(from)
    }
}

/// When each resource worked, as stretches that do not overlap.
struct Busy {
    /// Start, end, and the time worked before.
    by_resource: Vec<Vec<(i64, i64, i64)>>,
}

impl Busy {
    fn of(log: &EventLog) -> Self {
        let mut by_resource = vec![Vec::new(); log.resources().len()];
        for event in 0..log.events() {
            let resource = log.resource(event).unwrap_or(NO_LABEL);
            if let (Some(list), Some(start)) = (
                by_resource.get_mut(resource as usize),
                log.known_start(event),
            ) {
                let end = log.end_column()[event];
                if start < end {
                    list.push((start, end, 0));
                }
            }
        }
        for list in &mut by_resource {
            list.sort_unstable();
            let mut joined: Vec<(i64, i64, i64)> = Vec::with_capacity(list.len());
            for &(start, end, _) in list.iter() {
                match joined.last_mut() {
                    Some(last) if start <= last.1 => last.1 = last.1.max(end),
                    last => {
                        let before = last.map_or(0, |last| last.2 + last.1 - last.0);
                        joined.push((start, end, before));
                    }
                }
            }
            *list = joined;
        }
        Self { by_resource }
    }

    fn between(&self, resource: u32, from: i64, to: i64) -> i64 {
        let list = &self.by_resource[resource as usize];
        let until = |moment: i64| {
            let next = list.partition_point(|(start, _, _)| *start <= moment);
            let Some(last) = next.checked_sub(1) else {
                return 0;
            };
            let (start, end, before) = list[last];
            before + moment.min(end) - start
        };
        until(to) - until(from)
    }
}
