//! Readers of event logs.

mod csv;
mod report;
mod time;
mod window;
mod xes;
mod xml;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use self::report::Notes;
pub use self::report::{BadReason, BadRow, BadRows, ImportReport, LogFormat, Mapping, Note};
use self::time::Zone;
pub(super) use self::window::Window;
pub(super) use self::xml::{TagKind, Tags, unescape};
use super::event_log::EventLog;
use crate::{Error, ErrorKind};

/// How to read a log.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Which columns of a CSV say what; those that are left out are found by their names.
    pub columns: Mapping,
    /// The separator of a CSV; found by trying if it is left out.
    pub delimiter: Option<u8>,
    /// The encoding, by a label such as `windows-1252`; found by looking if it is left out.
    pub encoding: Option<String>,
    /// The zone of times that name none, for example `Europe/Vienna`.
    pub zone: String,
    /// Whether `03/04` is the third of April, where the log itself does not tell.
    pub day_first: bool,
    /// Which attributes to keep beside activity, times and resource.
    pub attributes: Attributes,
    /// What a log may be at most.
    pub limits: Limits,
}

/// Which attributes a reader keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Attributes {
    /// None, which is fastest.
    None,
    /// All, as far as the limits go.
    #[default]
    All,
}

/// What a log may be at most. A larger one is an error, or counted where single values
/// are left out.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of the log after decompression.
    pub bytes_max: u64,
    /// Bytes of one row of a CSV or one tag of XML.
    pub row_bytes_max: usize,
    /// Bytes of one value; longer ones are left out and counted.
    pub value_bytes_max: usize,
    /// Nesting of XML elements.
    pub depth_max: usize,
    /// Events.
    pub events_max: usize,
    /// Different activities.
    pub activities_max: usize,
    /// Different attributes of events, and of cases; further ones are left out and counted.
    pub attributes_max: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            columns: Mapping::default(),
            delimiter: None,
            encoding: None,
            zone: "UTC".to_owned(),
            day_first: false,
            attributes: Attributes::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 30,
            row_bytes_max: 16 << 20,
            value_bytes_max: 64 << 10,
            depth_max: 64,
            events_max: 200_000_000,
            activities_max: 2_000_000,
            attributes_max: 256,
        }
    }
}

/// A log, and what was found on the way.
#[derive(Debug)]
pub struct Import {
    /// The log.
    pub log: EventLog,
    /// What was read, how it was understood, and what was left out.
    pub report: ImportReport,
}

/// Reads the log of a file: XES or CSV, either also compressed by gzip. The content says
/// which it is, not the name.
///
/// # Errors
/// As [`read`]; `Unreadable` too if the file cannot be opened.
pub fn read_file(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Import, Error> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|error| {
        let message = format!("{} cannot be opened: {error}", path.display());
        Error::new(ErrorKind::Unreadable, message).with_source(error)
    })?;
    read(file, options)
}

/// Reads a log: XES or CSV, either also compressed by gzip, in one pass and without ever
/// holding the text.
///
/// Rows that cannot be used are counted in the report, with the first lines of each
/// reason.
///
/// # Errors
/// `Unreadable` if the source breaks off, is no log, or cannot be understood; `Limit` if
/// it is larger than allowed; `Empty` if no row is a valid event; `Invalid` if an option
/// fits nothing.
pub fn read<'a>(source: impl Read + 'a, options: &ReadOptions) -> Result<Import, Error> {
    let zone = Zone::of(&options.zone)?;
    let mut window = Window::open(source, &options.limits)?;
    window.decode(options.encoding.as_deref())?;
    let format = sniff(window.data())?;
    let mut notes = Notes::default();
    let builder = match format {
        LogFormat::Xes => xes::read(&mut window, options, zone, &mut notes)?,
        LogFormat::Csv => csv::read(&mut window, options, zone, &mut notes)?,
    };
    if builder.len() == 0 {
        return Err(notes.no_event());
    }
    let (log, found) = builder.finish_and_tell()?;
    let report = notes.report(format, &window, &log, found);
    Ok(Import { log, report })
}

/// What the first bytes are the beginning of.
fn sniff(data: &[u8]) -> Result<LogFormat, Error> {
    let unreadable = |message: &str| Err(Error::new(ErrorKind::Unreadable, message));
    let text = data.trim_ascii_start();
    if text.is_empty() {
        return Err(Error::new(
            ErrorKind::Empty,
            "the file is empty: it has no event",
        ));
    }
    if data.starts_with(b"PAR1") {
        return unreadable("this is a Parquet file, which cannot be read yet: export it as CSV");
    }
    if data.starts_with(b"PK\x03\x04") {
        return unreadable("this is a zip archive: unpack it, or compress the log with gzip");
    }
    if text.starts_with(b"{") || text.starts_with(b"[") {
        return unreadable("this is JSON, and a log is XES or CSV: export it in one of these");
    }
    let head = &data[..data.len().min(4096)];
    if memchr::memchr(0, head).is_some() {
        return unreadable("this is no text: a log is XES or CSV, also compressed by gzip");
    }
    Ok(if text.starts_with(b"<") {
        LogFormat::Xes
    } else {
        LogFormat::Csv
    })
}
