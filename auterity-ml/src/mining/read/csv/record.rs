//! Records: rows that may hold line ends in quotes.

use super::dialect::Dialect;

/// A field as a place in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    from: usize,
    to: usize,
    /// Whether quotes in it are doubled.
    doubled: bool,
}

impl Field {
    /// The field as it is written.
    pub(super) fn raw(self, data: &[u8]) -> &[u8] {
        &data[self.from..self.to]
    }

    /// The field with doubled quotes made single.
    pub(super) fn text<'t>(self, data: &'t [u8], scratch: &'t mut Vec<u8>) -> &'t [u8] {
        if !self.doubled {
            return self.raw(data);
        }
        scratch.clear();
        let mut rest = self.raw(data);
        while let Some(at) = memchr::memchr(b'"', rest) {
            scratch.extend_from_slice(&rest[..=at]);
            rest = rest.get(at + 2..).unwrap_or_default();
        }
        scratch.extend_from_slice(rest);
        scratch
    }
}

/// What begins a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    /// A record; its length includes the line end.
    Whole(usize),
    /// An empty line.
    Blank(usize),
    /// A line with a quote that is never closed.
    Open(usize),
}

impl Record {
    pub(super) fn length(self) -> usize {
        match self {
            Self::Whole(length) | Self::Blank(length) | Self::Open(length) => length,
        }
    }
}

pub(super) enum Split {
    Record(Record),
    /// The text ends before the record does, maybe in quotes.
    Cut {
        quoted: bool,
    },
}

/// Splits the record with which a text begins into its fields.
pub(super) fn split(data: &[u8], dialect: Dialect, fields: &mut Vec<Field>) -> Split {
    fields.clear();
    let Dialect {
        delimiter,
        line_end,
    } = dialect;
    let mut at = 0;
    loop {
        if data.get(at) == Some(&b'"') {
            let Some((field, end)) = quoted(data, at) else {
                return Split::Cut { quoted: true };
            };
            fields.push(field);
            at = end;
            // What follows the closing quote belongs to no field.
            let Some(rest) = memchr::memchr2(delimiter, line_end, &data[at..]) else {
                return Split::Cut { quoted: false };
            };
            at += rest;
        } else {
            let Some(length) = memchr::memchr2(delimiter, line_end, &data[at..]) else {
                return Split::Cut { quoted: false };
            };
            fields.push(plain(data, at, at + length, line_end));
            at += length;
        }
        let ends = data[at] == line_end;
        at += 1;
        if ends {
            let blank = fields.len() == 1 && fields[0].raw(data).trim_ascii().is_empty();
            return Split::Record(if blank && data[0] != b'"' {
                Record::Blank(at)
            } else {
                Record::Whole(at)
            });
        }
    }
}

/// The last record of a text, or the line in which a quote stays open.
pub(super) fn last(
    data: &[u8],
    dialect: Dialect,
    fields: &mut Vec<Field>,
    quoted_open: bool,
) -> Record {
    if quoted_open {
        let line = memchr::memchr(dialect.line_end, data);
        return Record::Open(line.map_or(data.len(), |at| at + 1));
    }
    fields.clear();
    let mut at = 0;
    while at <= data.len() {
        let (field, end) = match data.get(at) {
            Some(b'"') => {
                let Some((field, end)) = quoted(data, at) else {
                    return Record::Open(data.len());
                };
                let rest = memchr::memchr(dialect.delimiter, &data[end..]);
                (field, rest.map_or(data.len(), |rest| end + rest))
            }
            _ => {
                let length = memchr::memchr(dialect.delimiter, &data[at..]);
                let end = length.map_or(data.len(), |length| at + length);
                (plain(data, at, end, dialect.line_end), end)
            }
        };
        fields.push(field);
        at = end + 1;
    }
    if fields.len() == 1 && data.trim_ascii().is_empty() {
        Record::Blank(data.len())
    } else {
        Record::Whole(data.len())
    }
}

fn plain(data: &[u8], from: usize, mut to: usize, line_end: u8) -> Field {
    let at_end = data.get(to).is_none_or(|byte| *byte == line_end);
    if at_end && from < to && data[to - 1] == b'\r' {
        to -= 1;
    }
    Field {
        from,
        to,
        doubled: false,
    }
}

/// The field in quotes that begins at a place, and where it ends.
fn quoted(data: &[u8], at: usize) -> Option<(Field, usize)> {
    let from = at + 1;
    let mut to = from;
    let mut doubled = false;
    loop {
        to += memchr::memchr(b'"', &data[to..])?;
        match data.get(to + 1) {
            Some(b'"') => {
                doubled = true;
                to += 2;
            }
            // At the end of what is in memory a second quote may follow; the caller reads
            // on, and comes here again only at the end of the log.
            _ => return Some((Field { from, to, doubled }, to + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dialect::Dialect;
    use super::{Record, Split, last, split};

    const COMMAS: Dialect = Dialect {
        delimiter: b',',
        line_end: b'\n',
    };

    fn records(mut data: &[u8]) -> Vec<String> {
        let mut seen = Vec::new();
        let mut fields = Vec::new();
        while !data.is_empty() {
            let record = match split(data, COMMAS, &mut fields) {
                Split::Record(record) => record,
                Split::Cut { quoted } => last(data, COMMAS, &mut fields, quoted),
            };
            seen.push(match record {
                Record::Blank(_) => "blank".to_owned(),
                Record::Open(_) => "open".to_owned(),
                Record::Whole(_) => {
                    let text = |field: &super::Field| {
                        let mut scratch = Vec::new();
                        String::from_utf8_lossy(field.text(data, &mut scratch)).into_owned()
                    };
                    fields.iter().map(text).collect::<Vec<_>>().join("|")
                }
            });
            data = &data[record.length()..];
        }
        seen
    }

    #[test]
    fn quotes_hold_separators_line_ends_and_quotes() {
        assert_eq!(
            records(b"a,b\n1,\"x, \"\"y\"\"\nz\"\n"),
            ["a|b", "1|x, \"y\"\nz"]
        );
        assert_eq!(records(b"\"\",\"a\"\"\"\n"), ["|a\""]);
    }

    #[test]
    fn lines_may_end_in_any_way() {
        assert_eq!(records(b"a,b\r\n1,2\r\n"), ["a|b", "1|2"]);
        assert_eq!(records(b"a,b\n1,2"), ["a|b", "1|2"]);
        assert_eq!(records(b"a,b\n1,"), ["a|b", "1|"]);
        assert_eq!(
            records(b"a,b\n\n \n1,\"2\""),
            ["a|b", "blank", "blank", "1|2"]
        );
    }

    #[test]
    fn an_open_quote_spoils_one_line() {
        assert_eq!(records(b"a,b\n1,\"2\n3,4\n"), ["a|b", "open", "3|4"]);
        assert_eq!(records(b"a,b\n1,\"2"), ["a|b", "open"]);
    }
}
