//! Logs that are broken, or made to break something.

use std::io::{Read, Write};

use auterity_ml::ErrorKind;
use auterity_ml::mining::{BadReason, Import, Limits, ReadOptions, read};
use flate2::Compression;
use flate2::write::GzEncoder;

fn read_text(text: &[u8]) -> Result<Import, auterity_ml::Error> {
    read(text, &ReadOptions::default())
}

fn refused(text: &[u8]) -> (ErrorKind, Option<u64>, String) {
    let error = read_text(text).unwrap_err();
    (error.kind(), error.line(), error.message().to_owned())
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn xes(events: &str) -> String {
    format!(
        "<log>\n<trace>\n<string key=\"concept:name\" value=\"c\"/>\n{events}\n</trace>\n</log>\n"
    )
}

const EVENT: &str = "<event><string key=\"concept:name\" value=\"a\"/>\
    <date key=\"time:timestamp\" value=\"2024-01-01T00:00:00Z\"/></event>";

#[test]
fn a_log_without_a_valid_event_is_an_error_that_says_why() {
    for (text, said) in [
        ("", "the file is empty"),
        ("  \n ", "the file is empty"),
        ("case,activity,time\n", "the log has no event"),
        (
            "case,activity,time\n1,a,soon\n2,b,later\n",
            "2 of 2 rows have a time that cannot be read, the first in line 2 (soon)",
        ),
        (
            "case,activity,time\n1,a\n",
            "1 of 1 rows have more or fewer fields",
        ),
        ("case,activity,time\n1,,2024-01-01\n", "no activity"),
        ("<log/>", "the log has no event"),
        ("<log><trace/></log>", "the log has no event"),
        ("<log><event/></log>", "an event outside of a trace"),
        ("<log><trace><event/></trace></log>", "no activity"),
    ] {
        let (kind, _, message) = refused(text.as_bytes());
        assert_eq!(kind, ErrorKind::Empty, "{text}: {message}");
        assert!(message.contains(said), "{text}: {message}");
    }
}

#[test]
fn what_is_no_log_is_told_from_one() {
    for (text, said) in [
        (&b"PAR1\x15\x04"[..], "Parquet"),
        (b"PK\x03\x04rest", "zip"),
        (b"{\"a\": 1}", "JSON"),
        (b"\x7fELF\x00\x00", "no text"),
        (b"<html><body/></html>", "its root is html"),
        (b"one\ntwo\n", "one column"),
        (
            b"a,b,c\n1,2,3\n",
            "it is not clear which column is the case and the activity and the time",
        ),
        (
            b"1,a,2024-01-01\n2,b,2024-01-01\n",
            "the first row has a time in it",
        ),
        (
            b"case,activity,time\n1,a,13/01/2024\n1,b,01/13/2024\n",
            "some dates begin with the day",
        ),
    ] {
        let (kind, _, message) = refused(text);
        assert_eq!(kind, ErrorKind::Unreadable, "{message}");
        assert!(message.contains(said), "{said}: {message}");
    }
}

#[test]
fn broken_xml_is_an_error_with_its_line() {
    for (text, line, said) in [
        ("<log>\n<trace>\n", 3, "the element trace is not closed"),
        ("<log>\n<trace>\n<event", 3, "in the middle of a tag"),
        ("<log>\n</trace>", 2, "trace is closed and not open"),
        (
            "<log>\n<trace a></trace></log>",
            2,
            "an attribute has no value",
        ),
        ("<log>\n<trace a=b></trace></log>", 2, "no quotes"),
        ("<log>\n< ></log>", 2, "has no name"),
        (
            "<log>\n<trace><string key=\"a\" value=\"&x;\"/></trace></log>",
            2,
            "entity",
        ),
        (
            "<log>\n<trace><string key=\"a\"/></trace></log>",
            2,
            "no key or no value",
        ),
        (
            "<!DOCTYPE log [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>\n<log/>",
            1,
            "document type",
        ),
    ] {
        let (kind, found, message) = refused(text.as_bytes());
        assert_eq!(kind, ErrorKind::Unreadable, "{text}: {message}");
        assert_eq!(found, Some(line), "{text}: {message}");
        assert!(message.contains(said), "{text}: {message}");
    }
}

#[test]
fn a_compressed_log_that_is_cut_off_or_damaged_is_an_error() {
    let whole = gzip(xes(&EVENT.repeat(5000)).as_bytes());
    assert_eq!(read_text(&whole).unwrap().log.events(), 5000);
    let cut = &whole[..whole.len() - 9];
    let (kind, line, message) = refused(cut);
    assert_eq!(kind, ErrorKind::Unreadable);
    assert!(message.contains("cut off"), "{message}");
    assert!(line.is_some());
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    for byte in &mut damaged[middle..middle + 8] {
        *byte ^= 0xff;
    }
    assert_eq!(refused(&damaged).0, ErrorKind::Unreadable);
}

#[test]
fn members_of_a_gzip_file_are_one_log() {
    let mut members = gzip(b"case,activity,time\n1,a,2024-01-01\n");
    members.extend(gzip(b"1,b,2024-01-02\n"));
    assert_eq!(read_text(&members).unwrap().log.events(), 2);
}

/// A source of endless repetition that takes no memory.
struct Endless {
    head: &'static [u8],
    body: &'static [u8],
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for byte in buffer.iter_mut() {
            *byte = match self.head.get(self.at) {
                Some(byte) => *byte,
                None => self.body[(self.at - self.head.len()) % self.body.len()],
            };
            self.at += 1;
        }
        Ok(buffer.len())
    }
}

#[test]
fn endless_sources_end_at_a_limit() {
    let limits = Limits {
        bytes_max: 4 << 20,
        row_bytes_max: 1 << 20,
        events_max: 1000,
        activities_max: 100,
        ..Limits::default()
    };
    let options = ReadOptions {
        limits,
        ..ReadOptions::default()
    };
    let value = b"<log><trace><string key=\"concept:name\" value=\"";
    for (head, body, said) in [
        (
            &value[..],
            &b"aaaaaaaaaaaaaaaa"[..],
            "longer than 1048576 bytes",
        ),
        (
            b"<log><trace>",
            b"<string key=\"a\" value=\"1\">",
            "nested deeper than 64",
        ),
        (b"<log><trace>", EVENT.as_bytes(), "more than 1000 events"),
        (
            b"<log>",
            b"                ",
            "longer than 4194304 bytes after decompression",
        ),
        (b"<log>", b"<!-- aaa ", "longer than 1048576 bytes"),
        (
            b"case,activity,time\n",
            b"1,a,2024-01-01\n",
            "more than 1000 events",
        ),
        (
            b"case,activity,time\n",
            b"1,a,2024-01-01,",
            "longer than 1048576 bytes",
        ),
        (b"case,activity,time\n", b"\n", "longer than 4194304 bytes"),
    ] {
        let error = read(Endless { head, body, at: 0 }, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        assert!(error.message().contains(said), "{said}: {error}");
    }
}

#[test]
fn values_and_attributes_over_a_limit_are_counted_and_left_out() {
    let long = "x".repeat(70_000);
    let many: String = (0..300)
        .map(|number| format!("<string key=\"k{number}\" value=\"v\"/>"))
        .collect();
    let text = xes(&format!(
        "<event><string key=\"concept:name\" value=\"a\"/><string key=\"long\" value=\"{long}\"/>{many}\
         <date key=\"time:timestamp\" value=\"2024-01-01T00:00:00Z\"/></event>\
         <event><string key=\"concept:name\" value=\"{long}\"/>\
         <date key=\"time:timestamp\" value=\"2024-01-01T00:00:00Z\"/></event>"
    ));
    let import = read_text(text.as_bytes()).unwrap();
    assert_eq!(import.log.events(), 1);
    assert_eq!(import.log.event_attributes().len(), 256);
    assert_eq!(import.report.bad[0].reason, BadReason::TooLong);
    let notes = format!("{:?}", import.report.notes);
    assert!(notes.contains("count: 44"), "{notes}");
    assert!(notes.contains("too long"), "{notes}");
}

#[test]
fn a_million_activities_and_one_case_of_many_events_are_read() {
    let mut text = String::from("case,activity,time\n");
    for number in 0..1_000_000 {
        text.push_str(&format!("one,a{number},2024-01-01T00:00:00Z\n"));
    }
    let import = read_text(text.as_bytes()).unwrap();
    assert_eq!(import.log.activities().len(), 1_000_000);
    assert_eq!(import.log.cases(), 1);
}

#[test]
fn bytes_that_are_no_text_make_a_row_bad_and_no_panic() {
    let mut text = b"case,activity,time\n".to_vec();
    // Far behind what tells the encoding.
    for _ in 0..50_000 {
        text.extend_from_slice(b"1,a,2024-01-01T00:00:00Z\n");
    }
    text.extend_from_slice(b"1,\xff\xfe,2024-01-01T00:00:00Z\n");
    let import = read_text(&text).unwrap();
    assert_eq!(import.log.events(), 50_000);
    assert_eq!(import.report.bad[0].reason, BadReason::NotText);
    assert_eq!(import.report.bad[0].first[0].line, 50_002);
}

#[test]
fn any_bytes_give_a_log_or_an_error() {
    let mut state = 7_u64;
    let alphabet = b"<>/=\"'&;!?-[],\n\r\t |logtraceevn:kyu2024-0:TZ\xff\x00";
    for _ in 0..3000 {
        let mut text = match state % 3 {
            0 => b"<log><trace>".to_vec(),
            1 => b"case,activity,time\n".to_vec(),
            _ => Vec::new(),
        };
        for _ in 0..state % 97 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695);
            let place = usize::try_from(state >> 33).unwrap() % alphabet.len();
            text.push(alphabet[place]);
        }
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        if let Ok(import) = read_text(&text) {
            assert!(0 < import.log.events());
        }
    }
}
