//! Which column of a CSV says what.

use super::dialect::Dialect;
use super::kind_of;
use super::record::{Field, Record, Split, last, split};
use crate::mining::columns::ValueKind;
use crate::mining::read::ReadOptions;
use crate::mining::read::report::{Mapping, Notes};
use crate::mining::read::time::{Order, TimeReader, Zone};
use crate::{Error, ErrorKind};

/// Names by which columns are known, in letters and digits only; earlier ones first.
const CASE: [&str; 22] = [
    "caseconceptname",
    "caseid",
    "case",
    "caseidentifier",
    "casekey",
    "casenumber",
    "caseno",
    "casenr",
    "caseref",
    "traceid",
    "trace",
    "processinstanceid",
    "processinstance",
    "instanceid",
    "executionid",
    "ticketid",
    "ticketnumber",
    "ticket",
    "orderid",
    "incidentid",
    "applicationid",
    "requestid",
];
const ACTIVITY: [&str; 15] = [
    "conceptname",
    "activity",
    "activityname",
    "activityid",
    "activitylabel",
    "event",
    "eventname",
    "task",
    "taskname",
    "action",
    "operation",
    "step",
    "eventtype",
    "eventlabel",
    "state",
];
const END: [&str; 24] = [
    "timetimestamp",
    "timestamp",
    "completetimestamp",
    "endtimestamp",
    "endtime",
    "end",
    "completetime",
    "completiontime",
    "completed",
    "completedat",
    "finishtime",
    "finishedat",
    "finish",
    "endedat",
    "enddate",
    "eventtime",
    "eventtimestamp",
    "eventdate",
    "time",
    "datetime",
    "date",
    "occurredat",
    "stoptime",
    "ts",
];
const START: [&str; 9] = [
    "starttimestamp",
    "starttime",
    "start",
    "startedat",
    "startdate",
    "begintime",
    "begin",
    "started",
    "begintimestamp",
];
const RESOURCE: [&str; 16] = [
    "orgresource",
    "resource",
    "resourcename",
    "resourceid",
    "user",
    "userid",
    "username",
    "performer",
    "performedby",
    "agent",
    "employee",
    "operator",
    "assignee",
    "actor",
    "worker",
    "originator",
];
const TRANSITION: [&str; 3] = ["lifecycletransition", "lifecycle", "transition"];
const SAMPLE_ROWS: usize = 2000;

/// What the columns of a CSV are.
pub(super) struct Columns {
    names: Vec<String>,
    kinds: Vec<ValueKind>,
    pub(super) case: usize,
    pub(super) activity: usize,
    pub(super) end: usize,
    pub(super) start: Option<usize>,
    pub(super) resource: Option<usize>,
    pub(super) transition: Option<usize>,
    pub(super) order: Order,
}

impl Columns {
    pub(super) fn width(&self) -> usize {
        self.names.len()
    }

    /// The columns without a meaning of their own: place, name, and what their values are.
    pub(super) fn others(&self) -> Vec<(usize, String, ValueKind)> {
        let taken = [
            Some(self.case),
            Some(self.activity),
            Some(self.end),
            self.start,
            self.resource,
        ];
        let free = (0..self.names.len()).filter(|column| !taken.contains(&Some(*column)));
        free.map(|column| (column, self.names[column].clone(), self.kinds[column]))
            .collect()
    }
}

/// Finds out what the columns are: by what was asked, by their names, and times by their
/// values.
pub(super) fn find(
    head: &[u8],
    dialect: Dialect,
    options: &ReadOptions,
    notes: &mut Notes,
) -> Result<Columns, Error> {
    let rows = sample(head, dialect);
    let Some((header, rows)) = rows.split_first() else {
        return Err(Error::new(ErrorKind::Empty, "the log has no row"));
    };
    let names = named(header);
    let reader = TimeReader {
        zone: Zone::Utc,
        order: Order::MonthFirst,
    };
    if names
        .iter()
        .any(|name| reader.read(name.as_bytes()).is_some())
    {
        let message =
            "the first row has a time in it: a CSV needs a first row with the names of its columns";
        return Err(Error::new(ErrorKind::Unreadable, message).at_line(1));
    }
    let asked = &options.columns;
    let case = choose(&names, asked.case.as_deref(), &CASE)?;
    let case = case.or_else(|| known_end(&names, &CASE));
    let activity = choose(&names, asked.activity.as_deref(), &ACTIVITY)?;
    let activity = activity.or_else(|| known_end(&names, &ACTIVITY));
    let start = choose(&names, asked.start.as_deref(), &START)?;
    let resource = choose(&names, asked.resource.as_deref(), &RESOURCE)?;
    let end = match choose(&names, asked.end.as_deref(), &END)? {
        Some(end) => Some(end),
        None => start
            .or_else(|| known_end(&names, &END))
            .or_else(|| by_values(&names, rows, &reader, notes)),
    };
    let start = start.filter(|start| Some(*start) != end);
    let (Some(case), Some(activity), Some(end)) = (case, activity, end) else {
        return Err(unknown(&names, [case, activity, end]));
    };
    notes.mapping = Mapping {
        case: Some(names[case].clone()),
        activity: Some(names[activity].clone()),
        end: Some(names[end].clone()),
        start: start.map(|column| names[column].clone()),
        resource: resource.map(|column| names[column].clone()),
    };
    warn_of_twins(&names, notes);
    let order = order(rows, [Some(end), start], options, notes)?;
    let reader = TimeReader {
        zone: Zone::Utc,
        order,
    };
    let kinds = (0..names.len())
        .map(|column| kind_of(&values(rows, column), &reader))
        .collect();
    Ok(Columns {
        transition: known(&names, &TRANSITION),
        names,
        kinds,
        case,
        activity,
        end,
        start,
        resource,
        order,
    })
}

/// The first rows, header included.
fn sample(head: &[u8], dialect: Dialect) -> Vec<Vec<Vec<u8>>> {
    let mut rows = Vec::new();
    let mut fields: Vec<Field> = Vec::new();
    let mut rest = head;
    while !rest.is_empty() && rows.len() <= SAMPLE_ROWS {
        let record = match split(rest, dialect, &mut fields) {
            Split::Record(record) => record,
            Split::Cut { quoted: true } => break,
            // The last row of a large head may be cut; the header of a short one is not.
            Split::Cut { quoted: false } if 1 < rows.len() => break,
            Split::Cut { quoted: false } => last(rest, dialect, &mut fields, false),
        };
        if let Record::Whole(_) = record {
            let text = |field: &Field| field.text(rest, &mut Vec::new()).to_vec();
            rows.push(fields.iter().map(text).collect());
        }
        rest = &rest[record.length()..];
    }
    rows
}

/// The names of the columns; one without a name is called by its place.
fn named(header: &[Vec<u8>]) -> Vec<String> {
    let names = header.iter().enumerate();
    names
        .map(|(column, name)| {
            let name = String::from_utf8_lossy(name.trim_ascii()).into_owned();
            if name.is_empty() {
                format!("column {}", column + 1)
            } else {
                name
            }
        })
        .collect()
}

fn plain(name: &str) -> String {
    let letters = name.chars().filter(|letter| letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// The column that was asked for, or one with a known name.
fn choose(
    names: &[String],
    asked: Option<&str>,
    known_as: &[&str],
) -> Result<Option<usize>, Error> {
    let Some(asked) = asked else {
        return Ok(known(names, known_as));
    };
    let mut found = names.iter().enumerate().filter(|(_, name)| *name == asked);
    let first = found.next();
    let message = match (first, found.next()) {
        (Some((column, _)), None) => return Ok(Some(column)),
        (Some(_), Some(_)) => format!("two columns are called {asked}: rename one"),
        (None, _) => format!(
            "no column is called {asked}: there are {}",
            names.join(", ")
        ),
    };
    Err(Error::new(ErrorKind::Invalid, message))
}

fn known(names: &[String], known_as: &[&str]) -> Option<usize> {
    let plain: Vec<String> = names.iter().map(|name| plain(name)).collect();
    let mut known_as = known_as.iter();
    known_as.find_map(|known| plain.iter().position(|name| name == known))
}

/// A column whose name ends with a known one: exports put the name of a table or a system
/// before it.
fn known_end(names: &[String], known_as: &[&str]) -> Option<usize> {
    let ends = |name: &String, known: &str| {
        // What begins so is an attribute of cases.
        !name.starts_with("case:") && plain(name).ends_with(known)
    };
    let mut telling = known_as.iter().filter(|known| 4 < known.len()).take(6);
    telling.find_map(|known| names.iter().position(|name| ends(name, known)))
}

/// The one column whose values are times.
fn by_values(
    names: &[String],
    rows: &[Vec<Vec<u8>>],
    reader: &TimeReader,
    notes: &mut Notes,
) -> Option<usize> {
    let is_time = |column: &usize| {
        let values = values(rows, *column);
        !values.is_empty() && values.iter().all(|text| reader.read(text).is_some())
    };
    let times: Vec<usize> = (0..names.len()).filter(is_time).collect();
    let &[only] = times.as_slice() else {
        return None;
    };
    notes.say(format!(
        "the column {} was taken as the time, since it alone has times",
        names[only]
    ));
    Some(only)
}

fn values(rows: &[Vec<Vec<u8>>], column: usize) -> Vec<&[u8]> {
    let fields = rows.iter().filter_map(|row| row.get(column));
    let texts = fields.map(Vec::as_slice);
    texts.filter(|text| !text.is_empty()).collect()
}

fn unknown(names: &[String], found: [Option<usize>; 3]) -> Error {
    let wanted = ["case", "activity", "time"];
    let missing: Vec<&str> = wanted
        .into_iter()
        .zip(found)
        .filter_map(|(name, found)| found.is_none().then_some(name))
        .collect();
    let message = format!(
        "it is not clear which column is the {}: the columns are {}; name it",
        missing.join(" and the "),
        names.join(", ")
    );
    Error::new(ErrorKind::Unreadable, message)
}

fn warn_of_twins(names: &[String], notes: &mut Notes) {
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    for pair in sorted.windows(2) {
        if pair[0] == pair[1] {
            notes.say(format!(
                "two columns are called {}: the first one with a value counts",
                pair[0]
            ));
        }
    }
}

/// Whether days or months come first, as the times themselves prove.
fn order(
    rows: &[Vec<Vec<u8>>],
    columns: [Option<usize>; 2],
    options: &ReadOptions,
    notes: &mut Notes,
) -> Result<Order, Error> {
    let mut proved = None;
    let mut hangs = None;
    for column in columns.into_iter().flatten() {
        for text in values(rows, column) {
            match (proved, TimeReader::proves(text)) {
                (_, None) => {
                    if TimeReader::hangs_on_order(text) {
                        hangs.get_or_insert(text);
                    }
                }
                (None, found) => proved = found,
                (Some(before), Some(found)) if before == found => {}
                (Some(_), Some(_)) => {
                    let text = String::from_utf8_lossy(text);
                    let message = format!(
                        "some dates begin with the day and some with the month, such as {text}: write all in one way"
                    );
                    return Err(Error::new(ErrorKind::Unreadable, message));
                }
            }
        }
    }
    if let Some(order) = proved {
        return Ok(order);
    }
    let order = if options.day_first {
        Order::DayFirst
    } else {
        Order::MonthFirst
    };
    if let Some(text) = hangs {
        let part = if options.day_first { "day" } else { "month" };
        notes.say(format!(
            "no date tells whether day or month comes first; {} was read with the {part} first",
            String::from_utf8_lossy(text)
        ));
    }
    Ok(order)
}
