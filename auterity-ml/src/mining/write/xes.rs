//! A log as XES.

use std::io::{self, BufWriter, Write};

use super::key;
use crate::mining::civil::rfc3339;
use crate::mining::columns::{Column, ValueKind};
use crate::mining::event_log::EventLog;

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1849.2016" xmlns="http://www.xes-standard.org/">
  <extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
  <extension name="Lifecycle" prefix="lifecycle" uri="http://www.xes-standard.org/lifecycle.xesext"/>
  <extension name="Organizational" prefix="org" uri="http://www.xes-standard.org/org.xesext"/>
  <extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
  <classifier name="Activity" keys="concept:name"/>
"#;

/// Writes a log as XES (IEEE 1849). Control characters, which XML cannot hold, become
/// U+FFFD.
///
/// # Errors
/// Those of the writer.
pub fn write_xes(log: &EventLog, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    out.write_all(HEAD.as_bytes())?;
    for case in 0..log.cases() {
        out.write_all(b"  <trace>\n")?;
        let label = u32::try_from(case).unwrap_or(u32::MAX);
        attribute(
            "    ",
            "string",
            "concept:name",
            log.case_ids().name(label),
            &mut out,
        )?;
        attributes("    ", log.case_attributes(), case, &mut out)?;
        for event in log.case_events(case) {
            write_event(log, event, &mut out)?;
        }
        out.write_all(b"  </trace>\n")?;
    }
    out.write_all(b"</log>\n")?;
    out.flush()
}

fn write_event(log: &EventLog, event: usize, out: &mut impl Write) -> io::Result<()> {
    const INDENT: &str = "      ";
    out.write_all(b"    <event>\n")?;
    let activity = log.activities().name(log.activity_column()[event]);
    attribute(INDENT, "string", "concept:name", activity, out)?;
    let end = rfc3339(log.end_column()[event]);
    attribute(INDENT, "date", "time:timestamp", &end, out)?;
    if let Some(start) = log.known_start(event) {
        attribute(INDENT, "date", "start_timestamp", &rfc3339(start), out)?;
    }
    if let Some(resource) = log.resource(event) {
        attribute(
            INDENT,
            "string",
            "org:resource",
            log.resources().name(resource),
            out,
        )?;
    }
    attributes(INDENT, log.event_attributes(), event, out)?;
    out.write_all(b"    </event>\n")
}

fn attributes(
    indent: &str,
    columns: &[Column],
    row: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    for column in columns {
        if let Some(value) = column.text(row) {
            let kind = match column.kind() {
                ValueKind::Text => "string",
                ValueKind::Integer => "int",
                ValueKind::Float => "float",
                ValueKind::Boolean => "boolean",
                ValueKind::Time => "date",
            };
            attribute(indent, kind, &key(column.name()), value, out)?;
        }
    }
    Ok(())
}

fn attribute(
    indent: &str,
    kind: &str,
    key: &str,
    value: &str,
    out: &mut impl Write,
) -> io::Result<()> {
    write!(out, "{indent}<{kind} key=\"")?;
    escape(key, out)?;
    out.write_all(b"\" value=\"")?;
    escape(value, out)?;
    out.write_all(b"\"/>\n")
}

/// Writes a text for the value of an attribute of XML.
pub(crate) fn escape(text: &str, out: &mut impl Write) -> io::Result<()> {
    let mut from = 0;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let escaped = match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            b'\n' => "&#10;",
            b'\r' => "&#13;",
            b'\t' => "&#9;",
            0..=0x1f => "\u{fffd}",
            _ => continue,
        };
        out.write_all(&bytes[from..at])?;
        out.write_all(escaped.as_bytes())?;
        from = at + 1;
    }
    out.write_all(&bytes[from..])
}
