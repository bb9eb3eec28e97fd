//! How the rows of a CSV are written.

use super::record::{Split, split};
use crate::{Error, ErrorKind};

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
const SAMPLE_RECORDS: usize = 100;

/// What separates fields and what ends rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) line_end: u8,
}

/// Finds the dialect, and how many bytes before the header say nothing else.
pub(super) fn find(head: &[u8], delimiter: Option<u8>) -> Result<(Dialect, usize), Error> {
    let line_end = match memchr::memchr(b'\n', head) {
        None if memchr::memchr(b'\r', head).is_some() => b'\r',
        _ => b'\n',
    };
    // Excel writes the separator into a line of its own.
    let named = head.strip_prefix(b"sep=").and_then(|rest| {
        let end = memchr::memchr(line_end, rest)?;
        (rest[1..end].trim_ascii().is_empty()).then_some((rest[0], 4 + end + 1))
    });
    if let Some(delimiter) = delimiter {
        let skipped = named.map_or(0, |(_, skipped)| skipped);
        return Ok((
            Dialect {
                delimiter,
                line_end,
            },
            skipped,
        ));
    }
    if let Some((delimiter, skipped)) = named {
        return Ok((
            Dialect {
                delimiter,
                line_end,
            },
            skipped,
        ));
    }
    let mut best = None;
    for delimiter in DELIMITERS {
        let dialect = Dialect {
            delimiter,
            line_end,
        };
        let score = score(head, dialect);
        // The earlier one wins where both fit alike.
        if best.is_none_or(|(other, _)| other < score) {
            best = Some((score, dialect));
        }
    }
    match best {
        Some(((_, width), dialect)) if 1 < width => Ok((dialect, 0)),
        _ => Err(Error::new(
            ErrorKind::Unreadable,
            "the rows have one column only: a log needs case, activity and time, separated \
             by comma, semicolon, tab or |",
        )),
    }
}

/// How many rows in a hundred have as many fields as the header, and how many these are.
fn score(head: &[u8], dialect: Dialect) -> (usize, usize) {
    let mut fields = Vec::new();
    let mut rest = head;
    let mut widths = Vec::new();
    while widths.len() < SAMPLE_RECORDS {
        let Split::Record(record) = split(rest, dialect, &mut fields) else {
            break;
        };
        widths.push(fields.len());
        rest = &rest[record.length()..];
    }
    let Some(&width) = widths.first() else {
        // One line without an end: its separators are all there is.
        let count = memchr::memchr_iter(dialect.delimiter, head).count();
        return (100, count + 1);
    };
    if width == 1 {
        return (0, 1);
    }
    let same = widths.iter().filter(|other| **other == width).count();
    (same * 100 / widths.len(), width)
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn the_separator_is_the_one_that_gives_equal_rows() {
        for (text, expected) in [
            ("a;b;c\n1,5;2;3\n1,7;2;3\n", b';'),
            ("a\tb\n1, 2\t3\n", b'\t'),
            ("a|b\n1|2\n", b'|'),
            ("a,b\n\"1;2;3\",4\n", b','),
            ("sep=;\na;b\n", b';'),
            ("a,b\r1,2\r", b','),
        ] {
            let (dialect, _) = find(text.as_bytes(), None).unwrap();
            assert_eq!(
                char::from(dialect.delimiter),
                char::from(expected),
                "{text}"
            );
        }
        assert!(find(b"just one column\nand rows\n", None).is_err());
    }
}
