//! XES (IEEE 1849): traces and their events as XML.
//!
//! An event is one event of the log, whatever its `lifecycle:transition`; that is kept as
//! an attribute. Traces of one name are one case. Defaults that a log declares for
//! missing attributes are not applied, since they say nothing about what happened.

use super::report::{BadReason, Happening, Notes};
use super::time::{Order, TimeReader, Zone};
use super::window::Window;
use super::xml::{TagKind, Tags, unescape};
use super::{Attributes, Mapping, ReadOptions};
use crate::mining::builder::LogBuilder;
use crate::mining::columns::ValueKind;
use crate::mining::labels::{NO_LABEL, Refused};
use crate::{Error, ErrorKind};

const NAME: &[u8] = b"concept:name";
const TIME: &[u8] = b"time:timestamp";
const START: &[u8] = b"start_timestamp";
const RESOURCE: &[u8] = b"org:resource";
pub(super) const TRANSITION: &[u8] = b"lifecycle:transition";

/// Reads a log of XES.
pub(super) fn read(
    window: &mut Window<'_>,
    options: &ReadOptions,
    zone: Zone,
    notes: &mut Notes,
) -> Result<LogBuilder, Error> {
    let mut reader = Reader {
        tags: Tags::new(window, &options.limits),
        options,
        times: TimeReader {
            zone,
            order: Order::DayFirst,
        },
        keys: Keys::of(&options.columns),
        builder: LogBuilder::new(),
        event: Draft::default(),
        trace: Draft::default(),
        traces: 0,
        trace_begin: 0,
        notes,
    };
    reader.notes.mapping = reader.keys.mapping();
    reader.log()?;
    Ok(reader.builder)
}

/// The keys of what every event has.
struct Keys {
    case: Vec<u8>,
    activity: Vec<u8>,
    end: Vec<u8>,
    start: Vec<u8>,
    resource: Vec<u8>,
}

impl Keys {
    fn of(wanted: &Mapping) -> Self {
        let key = |wanted: &Option<String>, default: &[u8]| match wanted {
            Some(key) => key.clone().into_bytes(),
            None => default.to_vec(),
        };
        Self {
            case: key(&wanted.case, NAME),
            activity: key(&wanted.activity, NAME),
            end: key(&wanted.end, TIME),
            start: key(&wanted.start, START),
            resource: key(&wanted.resource, RESOURCE),
        }
    }

    fn mapping(&self) -> Mapping {
        let text = |key: &[u8]| Some(String::from_utf8_lossy(key).into_owned());
        Mapping {
            case: text(&self.case),
            activity: text(&self.activity),
            end: text(&self.end),
            start: text(&self.start),
            resource: text(&self.resource),
        }
    }
}

/// A trace or an event that is not complete yet. The memory is used again and again.
#[derive(Default)]
struct Draft {
    line: u64,
    name: Option<(usize, usize)>,
    resource: Option<(usize, usize)>,
    end: Option<i64>,
    start: Option<i64>,
    /// A time that cannot be read.
    unreadable: Option<(usize, usize)>,
    too_long: bool,
    /// Column, and place of the value in `bytes`.
    values: Vec<(usize, usize, usize)>,
    bytes: Vec<u8>,
}

impl Draft {
    fn begin(&mut self, line: u64) {
        self.line = line;
        self.name = None;
        self.resource = None;
        self.end = None;
        self.start = None;
        self.unreadable = None;
        self.too_long = false;
        self.values.clear();
        self.bytes.clear();
    }

    /// Keeps what a report shows of it.
    fn keep_unreadable(&mut self, value: &[u8]) {
        let from = self.bytes.len();
        let shown = &value[..value.len().min(256)];
        self.bytes.extend_from_slice(shown);
        self.unreadable = Some((from, self.bytes.len()));
    }

    /// Keeps a label; an empty one says nothing.
    fn keep_label(&mut self, value: &[u8]) -> Result<Option<(usize, usize)>, &'static str> {
        let place = self.keep(value)?;
        Ok(Some(place).filter(|(from, to)| from < to))
    }

    fn keep(&mut self, value: &[u8]) -> Result<(usize, usize), &'static str> {
        let from = self.bytes.len();
        match memchr::memchr(b'&', value) {
            None => self.bytes.extend_from_slice(value),
            Some(_) => unescape(value, &mut self.bytes)?,
        }
        Ok((from, self.bytes.len()))
    }
}

/// Which element's attributes are being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Trace,
    Event,
}

struct Reader<'r, 'w, 'a> {
    tags: Tags<'w, 'a>,
    options: &'r ReadOptions,
    times: TimeReader,
    keys: Keys,
    builder: LogBuilder,
    event: Draft,
    trace: Draft,
    traces: u64,
    /// The first row of the trace.
    trace_begin: usize,
    notes: &'r mut Notes,
}

impl Reader<'_, '_, '_> {
    fn log(&mut self) -> Result<(), Error> {
        let first = self.tags.next()?;
        if self.tags.name() != b"log" {
            let name = String::from_utf8_lossy(self.tags.name()).into_owned();
            let message = format!("this is XML and no XES: its root is {name} in place of log");
            return Err(Error::new(ErrorKind::Unreadable, message).at_line(self.tags.line()));
        }
        if first == Some(TagKind::Empty) {
            return Ok(());
        }
        while let Some(kind) = self.tags.next()? {
            if kind == TagKind::Close {
                continue;
            }
            match self.tags.name() {
                b"trace" if kind == TagKind::Empty => {
                    self.traces += 1;
                    self.notes.happened(Happening::EmptyTrace);
                }
                b"trace" => self.trace()?,
                b"event" => {
                    self.notes.rows += 1;
                    let line = self.tags.line();
                    self.notes.bad(BadReason::OutsideTrace, || line, b"");
                    self.skip(kind)?;
                }
                _ => self.skip(kind)?,
            }
        }
        Ok(())
    }

    /// Passes over an element.
    fn skip(&mut self, kind: TagKind) -> Result<(), Error> {
        if kind == TagKind::Open {
            let outside = self.tags.depth() - 1;
            while outside < self.tags.depth() && self.tags.next()?.is_some() {}
        }
        Ok(())
    }

    fn trace(&mut self) -> Result<(), Error> {
        self.traces += 1;
        self.trace_begin = self.builder.len();
        let line = self.tags.line();
        self.trace.begin(line);
        while let Some(kind) = self.tags.next()? {
            match (kind, self.tags.name()) {
                (TagKind::Close, _) => return self.trace_end(),
                (_, b"event") => self.event(kind)?,
                _ => self.attribute(kind, Owner::Trace)?,
            }
        }
        Ok(())
    }

    fn trace_end(&mut self) -> Result<(), Error> {
        if self.trace_begin == self.builder.len() {
            self.notes.happened(Happening::EmptyTrace);
            return Ok(());
        }
        let known = self.builder.case_ids.len();
        let case = match self.trace.name {
            Some((from, to)) => {
                let name = &self.trace.bytes[from..to];
                self.builder.case_ids.intern(name)
            }
            None => {
                self.notes.happened(Happening::UnnamedTrace);
                let name = format!("trace {}", self.traces);
                self.builder.case_ids.intern(name.as_bytes())
            }
        };
        let case = case.map_err(|refused| self.refused(refused))?;
        if (case as usize) < known {
            self.notes.happened(Happening::SameName);
        }
        self.builder.assign(self.trace_begin, case);
        for &(column, from, to) in &self.trace.values {
            let value = &self.trace.bytes[from..to];
            if self.builder.case_columns.set(column, case, value).is_err() {
                self.notes.happened(Happening::ValueNotText);
            }
        }
        Ok(())
    }

    fn event(&mut self, kind: TagKind) -> Result<(), Error> {
        self.notes.rows += 1;
        let line = self.tags.line();
        self.event.begin(line);
        if kind == TagKind::Open {
            while let Some(kind) = self.tags.next()? {
                match kind {
                    TagKind::Close => break,
                    _ => self.attribute(kind, Owner::Event)?,
                }
            }
        }
        self.event_end()
    }

    fn event_end(&mut self) -> Result<(), Error> {
        let draft = &self.event;
        let line = draft.line;
        let (reason, value) = match (draft.name, draft.end, draft.unreadable) {
            _ if draft.too_long => (BadReason::TooLong, &b""[..]),
            (None, _, _) => (BadReason::NoActivity, &b""[..]),
            (_, None, Some((from, to))) => (BadReason::UnreadableTime, &draft.bytes[from..to]),
            (_, None, None) => (BadReason::NoTime, &b""[..]),
            (Some((from, to)), Some(end), _) => {
                match self.builder.activities.intern(&draft.bytes[from..to]) {
                    Ok(activity) => return self.add(activity, end),
                    Err(Refused::Full) => return Err(self.refused(Refused::Full)),
                    Err(Refused::NotText) => (BadReason::NotText, &draft.bytes[from..to]),
                }
            }
        };
        self.notes.bad(reason, || line, value);
        Ok(())
    }

    fn add(&mut self, activity: u32, end: i64) -> Result<(), Error> {
        let limits = &self.options.limits;
        if limits.events_max <= self.builder.len() {
            return Err(self.over("events", limits.events_max));
        }
        if limits.activities_max < self.builder.activities.len() {
            return Err(self.over("different activities", limits.activities_max));
        }
        let draft = &self.event;
        let resource = match draft.resource {
            None => NO_LABEL,
            Some((from, to)) => match self.builder.resources.intern(&draft.bytes[from..to]) {
                Ok(resource) => resource,
                Err(Refused::Full) => return Err(self.refused(Refused::Full)),
                Err(Refused::NotText) => {
                    self.notes.happened(Happening::ValueNotText);
                    NO_LABEL
                }
            },
        };
        // The case is assigned when the trace ends.
        let row = self
            .builder
            .add(u32::MAX, activity, end, draft.start, resource);
        for &(column, from, to) in &draft.values {
            let value = &draft.bytes[from..to];
            if self.builder.event_columns.set(column, row, value).is_err() {
                self.notes.happened(Happening::ValueNotText);
            }
        }
        Ok(())
    }

    /// Reads an attribute of a trace or an event.
    fn attribute(&mut self, kind: TagKind, owner: Owner) -> Result<(), Error> {
        let value_kind = match self.tags.name() {
            b"string" | b"id" => ValueKind::Text,
            b"date" => ValueKind::Time,
            b"int" => ValueKind::Integer,
            b"float" => ValueKind::Float,
            b"boolean" => ValueKind::Boolean,
            _ => {
                self.notes.happened(Happening::Nested);
                return self.skip(kind);
            }
        };
        let (key, value) = (self.tags.attribute(b"key"), self.tags.attribute(b"value"));
        let kept = match (key, value) {
            (Some(key), Some(value)) => keep(
                key,
                value,
                value_kind,
                match owner {
                    Owner::Trace => Target {
                        draft: &mut self.trace,
                        name: &self.keys.case,
                        others: None,
                        builder: &mut self.builder,
                        notes: self.notes,
                    },
                    Owner::Event => Target {
                        draft: &mut self.event,
                        name: &self.keys.activity,
                        others: Some((&self.keys, &self.times)),
                        builder: &mut self.builder,
                        notes: self.notes,
                    },
                },
                self.options,
            ),
            _ => Err("an attribute has no key or no value"),
        };
        if let Err(what) = kept {
            return Err(self.tags.wrong(what));
        }
        if kind == TagKind::Open {
            let outside = self.tags.depth() - 1;
            while outside < self.tags.depth() && self.tags.next()?.is_some() {
                if outside < self.tags.depth() {
                    self.notes.happened(Happening::Nested);
                }
            }
        }
        Ok(())
    }

    fn over(&mut self, what: &str, max: usize) -> Error {
        let message = format!("the log has more than {max} {what}");
        Error::new(ErrorKind::Limit, message).at_line(self.event.line)
    }

    fn refused(&mut self, refused: Refused) -> Error {
        let (kind, message) = match refused {
            Refused::Full => (ErrorKind::Limit, "the log has too many or too long labels"),
            Refused::NotText => (
                ErrorKind::Unreadable,
                "a trace's name is no text in the log's encoding",
            ),
        };
        Error::new(kind, message).at_line(self.trace.line)
    }
}

/// Where a value goes.
struct Target<'t> {
    draft: &'t mut Draft,
    /// The key of the name.
    name: &'t [u8],
    /// The other keys of events.
    others: Option<(&'t Keys, &'t TimeReader)>,
    builder: &'t mut LogBuilder,
    notes: &'t mut Notes,
}

fn keep(
    key: &[u8],
    value: &[u8],
    kind: ValueKind,
    target: Target<'_>,
    options: &ReadOptions,
) -> Result<(), &'static str> {
    let Target {
        draft,
        name,
        others,
        builder,
        notes,
    } = target;
    let too_long = options.limits.value_bytes_max < value.len();
    if key == name && !too_long {
        draft.name = draft.keep_label(value)?;
        return Ok(());
    }
    if let Some((keys, times)) = others {
        let is_end = key == keys.end;
        if is_end || key == keys.start {
            let moment = times.read(value);
            if moment.is_some_and(|moment| !moment.zoned) {
                notes.happened(Happening::NaiveTime);
            }
            match (moment, is_end) {
                (Some(moment), true) => draft.end = Some(moment.micros),
                (Some(moment), false) => draft.start = Some(moment.micros),
                (None, true) => draft.keep_unreadable(value),
                (None, false) => notes.happened(Happening::BadStart),
            }
            return Ok(());
        }
        if key == keys.resource && !too_long {
            draft.resource = draft.keep_label(value)?;
            return Ok(());
        }
    }
    if too_long {
        draft.too_long |= key == name;
        notes.happened(Happening::ValueTooLong);
        return Ok(());
    }
    if options.attributes == Attributes::None && key != TRANSITION {
        return Ok(());
    }
    let set = match others {
        Some(_) => &mut builder.event_columns,
        None => &mut builder.case_columns,
    };
    match set.column(key, kind, options.limits.attributes_max) {
        None => notes.happened(Happening::AttributeLeftOut),
        Some(column) => {
            let (from, to) = draft.keep(value)?;
            draft.values.push((column, from, to));
        }
    }
    Ok(())
}
