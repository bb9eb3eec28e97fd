//! What was read, how it was understood, and what was left out.

use std::borrow::Cow;

use serde::Serialize;

use super::window::Window;
use crate::mining::builder::Found;
use crate::mining::event_log::EventLog;
use crate::{Error, ErrorKind};

/// How many lines are kept for each reason.
const SAMPLES_MAX: usize = 5;
const SAMPLE_CHARS_MAX: usize = 60;

/// The form of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// IEEE 1849, the XML form of event logs.
    Xes,
    /// Rows of text.
    Csv,
}

/// Which columns of a CSV, or keys of XES, say what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// The case.
    pub case: Option<String>,
    /// The activity.
    pub activity: Option<String>,
    /// When it ended.
    pub end: Option<String>,
    /// When it began.
    pub start: Option<String>,
    /// Who did it.
    pub resource: Option<String>,
}

/// Why a row is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BadReason {
    /// It does not say to which case it belongs.
    NoCase,
    /// It does not say what was done.
    NoActivity,
    /// It does not say when.
    NoTime,
    /// Its time cannot be read.
    UnreadableTime,
    /// It has more or fewer fields than the header.
    WrongFieldCount,
    /// A quote that begins in it is not closed.
    OpenQuote,
    /// A label is not valid in the encoding of the log.
    NotText,
    /// A label is longer than allowed.
    TooLong,
    /// It is an event outside of a trace.
    OutsideTrace,
}

impl BadReason {
    /// Gives the reason in words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::NoCase => "no case",
            Self::NoActivity => "no activity",
            Self::NoTime => "no time",
            Self::UnreadableTime => "a time that cannot be read",
            Self::WrongFieldCount => "more or fewer fields than the header",
            Self::OpenQuote => "a quote that is not closed",
            Self::NotText => "bytes that are no text in the log's encoding",
            Self::TooLong => "a label that is too long",
            Self::OutsideTrace => "an event outside of a trace",
        }
    }
}

/// The rows that are no events for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRows {
    /// The reason.
    pub reason: BadReason,
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub first: Vec<BadRow>,
}

/// A row that is no event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// Its line, counted from 1.
    pub line: u64,
    /// What is there that is wrong; empty if something is missing.
    pub text: String,
}

/// Something worth knowing that made no row bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// How often it happened.
    pub count: u64,
    /// What it is.
    pub text: Cow<'static, str>,
}

/// What was read, how it was understood, and what was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// The form of the log.
    pub format: LogFormat,
    /// Whether it was compressed.
    pub compressed: bool,
    /// Its encoding.
    pub encoding: &'static str,
    /// The separator, if it is a CSV.
    pub delimiter: Option<char>,
    /// Its length after decompression.
    pub bytes: u64,
    /// Rows or event elements; each is an event or bad.
    pub rows: u64,
    /// The events of the log.
    pub events: u64,
    /// Which columns or keys were taken for what.
    pub mapping: Mapping,
    /// The rows that are no events.
    pub bad: Vec<BadRows>,
    /// What else is worth knowing.
    pub notes: Vec<Note>,
}

impl ImportReport {
    /// Gives the number of rows that are no events.
    #[must_use]
    pub fn bad_rows(&self) -> u64 {
        self.bad.iter().map(|bad| bad.count).sum()
    }
}

/// What happens only now and then while a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happening {
    NaiveTime,
    BadStart,
    SameName,
    UnnamedTrace,
    EmptyTrace,
    Nested,
    AttributeLeftOut,
    ValueTooLong,
    ValueNotText,
}

impl Happening {
    fn text(self) -> &'static str {
        match self {
            Self::NaiveTime => "times without a zone, read in the zone of the options",
            Self::BadStart => "start times that cannot be read, left out",
            Self::SameName => "traces with the name of an earlier one, taken as one case with it",
            Self::UnnamedTrace => "traces without a name, named by their place",
            Self::EmptyTrace => "traces without events, left out",
            Self::Nested => "attributes of attributes, left out",
            Self::AttributeLeftOut => "values of attributes beyond the allowed number, left out",
            Self::ValueTooLong => "values of attributes that are too long, left out",
            Self::ValueNotText => {
                "values of attributes that are no text in the log's encoding, left out"
            }
        }
    }
}

/// Collects the report.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) rows: u64,
    pub(super) mapping: Mapping,
    pub(super) delimiter: Option<u8>,
    bad: Vec<BadRows>,
    happened: Vec<(Happening, u64)>,
    said: Vec<Cow<'static, str>>,
}

impl Notes {
    /// Counts a bad row. Line and value are asked for only as long as they are kept.
    pub(super) fn bad(&mut self, reason: BadReason, line: impl FnOnce() -> u64, value: &[u8]) {
        let index = match self.bad.iter().position(|bad| bad.reason == reason) {
            Some(index) => index,
            None => {
                self.bad.push(BadRows {
                    reason,
                    count: 0,
                    first: Vec::new(),
                });
                self.bad.len() - 1
            }
        };
        let bad = &mut self.bad[index];
        bad.count += 1;
        if bad.first.len() < SAMPLES_MAX {
            let text = String::from_utf8_lossy(&value[..value.len().min(SAMPLE_CHARS_MAX * 4)]);
            bad.first.push(BadRow {
                line: line(),
                text: text.chars().take(SAMPLE_CHARS_MAX).collect(),
            });
        }
    }

    /// Counts what made no row bad.
    pub(super) fn happened(&mut self, what: Happening) {
        match self.happened.iter_mut().find(|(it, _)| *it == what) {
            Some((_, count)) => *count += 1,
            None => self.happened.push((what, 1)),
        }
    }

    /// Says something once.
    pub(super) fn say(&mut self, text: impl Into<Cow<'static, str>>) {
        self.said.push(text.into());
    }

    /// The error of a log in which no row is an event.
    pub(super) fn no_event(&self) -> Error {
        let mut reasons: Vec<&BadRows> = self.bad.iter().collect();
        reasons.sort_by_key(|bad| std::cmp::Reverse(bad.count));
        let Some(most) = reasons.first() else {
            return Error::new(ErrorKind::Empty, "the log has no event");
        };
        let first = most.first.first();
        let line = first.map_or(0, |row| row.line);
        let value = first.map_or("", |row| row.text.as_str());
        let message = format!(
            "the log has no valid event: {} of {} rows have {}, the first in line {line}{}",
            most.count,
            self.rows,
            most.reason.text(),
            if value.is_empty() {
                String::new()
            } else {
                format!(" ({value})")
            },
        );
        Error::new(ErrorKind::Empty, message)
    }

    pub(super) fn report(
        mut self,
        format: LogFormat,
        window: &Window<'_>,
        log: &EventLog,
        found: Found,
    ) -> ImportReport {
        self.bad.sort_by_key(|bad| bad.reason);
        self.happened.sort_unstable();
        let mut notes: Vec<Note> = self
            .said
            .into_iter()
            .map(|text| Note { count: 1, text })
            .collect();
        let happened = self.happened.iter();
        notes.extend(happened.map(|(what, count)| Note {
            count: *count,
            text: Cow::Borrowed(what.text()),
        }));
        let orders = [
            (
                found.out_of_order,
                "events that came after a later one of their case, put in order",
            ),
            (found.reversed, "events that end before they begin"),
        ];
        for (count, text) in orders.into_iter().filter(|(count, _)| 0 < *count) {
            notes.push(Note {
                count,
                text: Cow::Borrowed(text),
            });
        }
        ImportReport {
            format,
            compressed: window.is_compressed(),
            encoding: window.encoding(),
            delimiter: self.delimiter.map(char::from),
            bytes: window.bytes(),
            rows: self.rows,
            events: log.events() as u64,
            mapping: self.mapping,
            bad: self.bad,
            notes,
        }
    }
}
