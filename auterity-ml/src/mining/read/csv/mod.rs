//! CSV: one event in each row, with a header.

mod columns;
mod dialect;
mod record;

use self::columns::Columns;
use self::record::{Field, Record, Split, split};
use super::report::{BadReason, Happening, Notes};
use super::time::{TimeReader, Zone};
use super::window::Window;
use super::{Attributes, ReadOptions};
use crate::mining::builder::LogBuilder;
use crate::mining::columns::ValueKind;
use crate::mining::labels::{Labels, NO_LABEL, Refused};
use crate::{Error, ErrorKind};

/// How much of a log is looked at to find out how it is written.
const HEAD: usize = 1 << 20;

/// Reads a log of rows.
pub(super) fn read(
    window: &mut Window<'_>,
    options: &ReadOptions,
    zone: Zone,
    notes: &mut Notes,
) -> Result<LogBuilder, Error> {
    while window.data().len() < HEAD && window.fill()? {}
    let (dialect, skipped) = dialect::find(window.data(), options.delimiter)?;
    window.advance(skipped);
    notes.delimiter = Some(dialect.delimiter);
    let columns = columns::find(window.data(), dialect, options, notes)?;
    let times = TimeReader {
        zone,
        order: columns.order,
    };
    let mut reader = Reader {
        options,
        times,
        builder: LogBuilder::new(),
        attributes: Vec::new(),
        case: Remembered::default(),
        scratch: Scratch::default(),
        notes,
        columns,
    };
    reader.choose_attributes();
    let mut fields = Vec::new();
    let mut is_header = true;
    while let Some(record) = next(window, dialect, &mut fields, options)? {
        match (record, is_header) {
            (Record::Blank(_), _) => {}
            (_, true) => is_header = false,
            (Record::Whole(_), false) => reader.row(window, &fields)?,
            (Record::Open(length), false) => {
                reader.notes.rows += 1;
                let text = &window.data()[..length];
                let line = window.line_at(0);
                reader.notes.bad(BadReason::OpenQuote, || line, text);
            }
        }
        window.advance(record.length());
    }
    Ok(reader.builder)
}

/// Finds the next record, reading on until it is whole.
fn next(
    window: &mut Window<'_>,
    dialect: dialect::Dialect,
    fields: &mut Vec<Field>,
    options: &ReadOptions,
) -> Result<Option<Record>, Error> {
    loop {
        match split(window.data(), dialect, fields) {
            Split::Record(record) => return Ok(Some(record)),
            Split::Cut { quoted } => {
                let too_long = options.limits.row_bytes_max < window.data().len();
                let more = !(quoted && too_long) && window.fill()?;
                if more {
                    continue;
                }
                if window.data().is_empty() {
                    return Ok(None);
                }
                // The last row has no line end. A quote that is open to the end of the log
                // or for too long spoils one line, not the rest.
                return Ok(Some(record::last(window.data(), dialect, fields, quoted)));
            }
        }
    }
}

/// A label that the next row may have too.
#[derive(Default)]
struct Remembered {
    bytes: Vec<u8>,
    label: u32,
}

/// Memory for fields whose quotes are doubled.
#[derive(Default)]
struct Scratch {
    case: Vec<u8>,
    activity: Vec<u8>,
    other: Vec<u8>,
}

/// An attribute's column in the rows and in the log.
struct Attribute {
    field: usize,
    column: usize,
    of_case: bool,
}

struct Reader<'r> {
    options: &'r ReadOptions,
    columns: Columns,
    times: TimeReader,
    builder: LogBuilder,
    attributes: Vec<Attribute>,
    case: Remembered,
    scratch: Scratch,
    notes: &'r mut Notes,
}

impl Reader<'_> {
    fn choose_attributes(&mut self) {
        let max = self.options.limits.attributes_max;
        for (field, name, kind) in self.columns.others() {
            let is_transition = self.columns.transition == Some(field);
            if self.options.attributes == Attributes::None && !is_transition {
                continue;
            }
            let (of_case, name): (bool, &[u8]) = match name.strip_prefix("case:") {
                _ if is_transition => (false, super::xes::TRANSITION),
                Some(name) => (true, name.as_bytes()),
                None => (false, name.as_bytes()),
            };
            let column = if of_case {
                self.builder.case_columns.column(name, kind, max)
            } else {
                self.builder.event_column(name, kind, max)
            };
            match column {
                None => self.notes.happened(Happening::AttributeLeftOut),
                Some(column) => self.attributes.push(Attribute {
                    field,
                    column,
                    of_case,
                }),
            }
        }
    }

    fn row(&mut self, window: &Window<'_>, fields: &[Field]) -> Result<(), Error> {
        self.notes.rows += 1;
        let data = window.data();
        match self.event(data, fields) {
            Ok(()) => Ok(()),
            Err(Refusal::Bad(reason, value)) => {
                self.notes.bad(reason, || window.line_at(0), &value);
                Ok(())
            }
            Err(Refusal::Full) => {
                let message = "the log has too many or too long labels";
                Err(Error::new(ErrorKind::Limit, message).at_line(window.line_at(0)))
            }
            Err(Refusal::Over(what, max)) => {
                let message = format!("the log has more than {max} {what}");
                Err(Error::new(ErrorKind::Limit, message).at_line(window.line_at(0)))
            }
        }
    }

    fn event(&mut self, data: &[u8], fields: &[Field]) -> Result<(), Refusal> {
        if fields.len() != self.columns.width() {
            let text = format!("{} in place of {}", fields.len(), self.columns.width());
            return Err(Refusal::Bad(BadReason::WrongFieldCount, text.into_bytes()));
        }
        let end = self.end(fields[self.columns.end].raw(data))?;
        let start = match self.columns.start {
            None => None,
            Some(column) => self.start(fields[column].raw(data)),
        };
        let case = fields[self.columns.case].text(data, &mut self.scratch.case);
        let activity = fields[self.columns.activity].text(data, &mut self.scratch.activity);
        let limits = &self.options.limits;
        for (text, missing) in [(case, BadReason::NoCase), (activity, BadReason::NoActivity)] {
            if text.is_empty() {
                return Err(Refusal::Bad(missing, Vec::new()));
            }
            if limits.value_bytes_max < text.len() {
                return Err(Refusal::Bad(
                    BadReason::TooLong,
                    text[..64.min(text.len())].to_vec(),
                ));
            }
        }
        if limits.events_max <= self.builder.len() {
            return Err(Refusal::Over("events", limits.events_max));
        }
        let activity = label(&mut self.builder.activities, activity)?;
        if limits.activities_max <= activity as usize {
            return Err(Refusal::Over("different activities", limits.activities_max));
        }
        // Rows of a case often stand together.
        if self.case.bytes != case || self.builder.case_ids.is_empty() {
            self.case.label = label(&mut self.builder.case_ids, case)?;
            self.case.bytes.clear();
            self.case.bytes.extend_from_slice(case);
        }
        let resource = match self.columns.resource {
            None => NO_LABEL,
            Some(column) => {
                let name = fields[column].text(data, &mut self.scratch.other);
                if name.is_empty() || limits.value_bytes_max < name.len() {
                    NO_LABEL
                } else {
                    label(&mut self.builder.resources, name)?
                }
            }
        };
        let row = self
            .builder
            .add(self.case.label, activity, end, start, resource);
        self.keep_attributes(data, fields, row)
    }

    fn end(&mut self, text: &[u8]) -> Result<i64, Refusal> {
        if text.is_empty() {
            return Err(Refusal::Bad(BadReason::NoTime, Vec::new()));
        }
        let Some(moment) = self.times.read(text) else {
            let shown = text[..64.min(text.len())].to_vec();
            return Err(Refusal::Bad(BadReason::UnreadableTime, shown));
        };
        if !moment.zoned {
            self.notes.happened(Happening::NaiveTime);
        }
        Ok(moment.micros)
    }

    fn start(&mut self, text: &[u8]) -> Option<i64> {
        if text.is_empty() {
            return None;
        }
        let moment = self.times.read(text);
        if moment.is_none() {
            self.notes.happened(Happening::BadStart);
        }
        moment.map(|moment| moment.micros)
    }

    fn keep_attributes(&mut self, data: &[u8], fields: &[Field], row: u32) -> Result<(), Refusal> {
        for attribute in &self.attributes {
            let value = fields[attribute.field].text(data, &mut self.scratch.other);
            if value.is_empty() {
                continue;
            }
            if self.options.limits.value_bytes_max < value.len() {
                self.notes.happened(Happening::ValueTooLong);
                continue;
            }
            let (set, row) = if attribute.of_case {
                (&mut self.builder.case_columns, self.case.label)
            } else {
                (&mut self.builder.event_columns, row)
            };
            match set.set(attribute.column, row, value) {
                Ok(()) => {}
                Err(Refused::NotText) => self.notes.happened(Happening::ValueNotText),
                Err(Refused::Full) => return Err(Refusal::Full),
            }
        }
        Ok(())
    }
}

/// Why a row is no event.
enum Refusal {
    Bad(BadReason, Vec<u8>),
    Full,
    Over(&'static str, usize),
}

fn label(labels: &mut Labels, text: &[u8]) -> Result<u32, Refusal> {
    labels.intern(text).map_err(|refused| match refused {
        Refused::Full => Refusal::Full,
        Refused::NotText => Refusal::Bad(BadReason::NotText, text[..64.min(text.len())].to_vec()),
    })
}

/// What the values of a column are, as far as a sample tells.
fn kind_of(samples: &[&[u8]], times: &TimeReader) -> ValueKind {
    let all = |fits: &dyn Fn(&[u8]) -> bool| samples.iter().all(|text| fits(text));
    let text_of = |text: &[u8]| std::str::from_utf8(text).unwrap_or_default().to_owned();
    let is_boolean =
        |text: &[u8]| text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false");
    if samples.is_empty() {
        return ValueKind::Text;
    }
    if all(&|text| text_of(text).parse::<i64>().is_ok()) {
        // A number that begins with zeros is a name.
        return if all(&|text| text == b"0" || !text.starts_with(b"0")) {
            ValueKind::Integer
        } else {
            ValueKind::Text
        };
    }
    if all(&|text| text_of(text).parse::<f64>().is_ok_and(f64::is_finite)) {
        return ValueKind::Float;
    }
    if all(&is_boolean) {
        return ValueKind::Boolean;
    }
    if all(&|text| times.read(text).is_some()) {
        ValueKind::Time
    } else {
        ValueKind::Text
    }
}
