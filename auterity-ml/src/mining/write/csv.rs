//! A log as rows of text.

use std::io::{self, BufWriter, Write};

use super::{OWN, key};
use crate::mining::civil::rfc3339;
use crate::mining::event_log::EventLog;

/// Writes a log as CSV, with the column names that XES gives. Attributes of cases begin
/// with `case:`.
///
/// # Errors
/// Those of the writer.
pub fn write_csv(log: &EventLog, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    header(log, &mut out)?;
    for case in 0..log.cases() {
        for event in log.case_events(case) {
            row(log, case, event, &mut out)?;
        }
    }
    out.flush()
}

fn header(log: &EventLog, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{},{},{}", OWN[0], OWN[1], OWN[2])?;
    for (name, has) in [(OWN[3], log.has_starts()), (OWN[4], log.has_resources())] {
        if has {
            write!(out, ",{name}")?;
        }
    }
    let attributes = log.event_attributes().iter().map(|it| (it.name(), ""));
    let of_cases = log.case_attributes().iter().map(|it| (it.name(), "case:"));
    for (name, before) in attributes.chain(of_cases) {
        out.write_all(b",")?;
        field(&key(&format!("{before}{name}")), out)?;
    }
    out.write_all(b"\n")
}

fn row(log: &EventLog, case: usize, event: usize, out: &mut impl Write) -> io::Result<()> {
    let case_label = u32::try_from(case).unwrap_or(u32::MAX);
    field(log.case_ids().name(case_label), out)?;
    out.write_all(b",")?;
    field(log.activities().name(log.activity_column()[event]), out)?;
    write!(out, ",{}", rfc3339(log.end_column()[event]))?;
    if log.has_starts() {
        out.write_all(b",")?;
        if let Some(start) = log.known_start(event) {
            out.write_all(rfc3339(start).as_bytes())?;
        }
    }
    if log.has_resources() {
        out.write_all(b",")?;
        let name = log.resource(event).map(|it| log.resources().name(it));
        field(name.unwrap_or_default(), out)?;
    }
    let attributes = log.event_attributes().iter().map(|it| it.text(event));
    let of_cases = log.case_attributes().iter().map(|it| it.text(case));
    for value in attributes.chain(of_cases) {
        out.write_all(b",")?;
        field(value.unwrap_or_default(), out)?;
    }
    out.write_all(b"\n")
}

fn field(text: &str, out: &mut impl Write) -> io::Result<()> {
    let special = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    let padded = text.trim() != text;
    if !padded && !text.as_bytes().iter().any(special) {
        return out.write_all(text.as_bytes());
    }
    write!(out, "\"{}\"", text.replace('"', "\"\""))
}
