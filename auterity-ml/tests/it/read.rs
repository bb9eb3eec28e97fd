//! How logs are understood.

use auterity_ml::ErrorKind;
use auterity_ml::mining::{
    Attributes, BadReason, Column, EventLog, Import, Mapping, ReadOptions, ValueKind, read,
    read_file,
};
use expect_test::expect;

fn import(text: &str) -> Import {
    read(text.as_bytes(), &ReadOptions::default()).unwrap()
}

/// A log as text: a line for each case.
pub(crate) fn shown(log: &EventLog) -> String {
    let mut text = String::new();
    for case in 0..log.cases() {
        let label = u32::try_from(case).unwrap();
        text.push_str(log.case_ids().name(label));
        for event in log.case_events(case) {
            let name = log.activities().name(log.activity_column()[event]);
            text.push_str(&format!(" {name}@{}", log.end_column()[event] / 1_000_000));
            if let Some(start) = log.known_start(event) {
                text.push_str(&format!("-{}", start / 1_000_000));
            }
            if let Some(resource) = log.resource(event) {
                text.push_str(&format!("[{}]", log.resources().name(resource)));
            }
        }
        text.push('\n');
    }
    text
}

#[test]
fn columns_are_found_by_the_names_that_systems_give_them() {
    for header in [
        "case:concept:name,concept:name,time:timestamp,org:resource",
        "Case ID,Activity,Complete Timestamp,Resource",
        "case_id,activity,timestamp,user",
        "CaseID,ActivityName,EndTime,Employee",
        "Order ID,Task,Event Time,Performer",
        "processInstanceId,taskName,completed_at,assignee",
        "case,event,date,agent",
    ] {
        for (separator, quote) in [(",", ""), (";", "\""), ("\t", ""), ("|", "\"")] {
            let line = |fields: &str| {
                let fields = fields
                    .split(',')
                    .map(|field| format!("{quote}{field}{quote}"));
                fields.collect::<Vec<_>>().join(separator)
            };
            let rows = [
                header,
                "7,a,1970-01-01 00:00:01,x",
                "7,b,1970-01-01 00:00:02,",
            ];
            let text: Vec<String> = rows.iter().map(|row| line(row)).collect();
            let import = import(&text.join("\r\n"));
            assert_eq!(shown(&import.log), "7 a@1[x] b@2\n", "{header} {separator}");
            assert_eq!(import.report.bad_rows(), 0);
        }
    }
}

#[test]
fn starts_resources_and_attributes_are_read() {
    let import = import(
        "case_id,activity,start_time,end_time,resource,case:kind,cost,ok,note,code\n\
         1,a,1970-01-01T00:00:01Z,1970-01-01T00:00:05Z,Ann,big,1.5,true,x,007\n\
         1,b,,1970-01-01T00:00:09Z,Bob,big,2,FALSE,,010\n",
    );
    assert_eq!(shown(&import.log), "1 a@5-1[Ann] b@9[Bob]\n");
    let kinds: Vec<(&str, ValueKind)> = import
        .log
        .event_attributes()
        .iter()
        .map(|column| (column.name(), column.kind()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("cost", ValueKind::Float),
            ("ok", ValueKind::Boolean),
            ("note", ValueKind::Text),
            ("code", ValueKind::Text)
        ]
    );
    assert_eq!(import.log.case_attributes()[0].name(), "kind");
    assert_eq!(import.log.case_attributes()[0].text(0), Some("big"));
    assert_eq!(import.log.event_attributes()[2].text(1), None);
}

#[test]
fn bad_rows_are_counted_with_their_lines() {
    let import = import(
        "case,activity,time\n\
         1,a,2024-01-01\n\
         ,b,2024-01-01\n\
         1,,2024-01-01\n\
         1,c,\n\
         1,d,tomorrow\n\
         \n\
         1,e,2024-01-01,extra\n\
         \"1\",\"f\n g\",2024-01-01\n\
         1,\"h,2024-01-01\n\
         1,i,2024-01-02\n",
    );
    assert_eq!(import.log.events(), 3);
    assert_eq!((import.report.rows, import.report.bad_rows()), (9, 6));
    let bad: Vec<(BadReason, u64, String)> = import
        .report
        .bad
        .iter()
        .map(|bad| (bad.reason, bad.first[0].line, bad.first[0].text.clone()))
        .collect();
    expect![[r#"
        [
            (
                NoCase,
                3,
                "",
            ),
            (
                NoActivity,
                4,
                "",
            ),
            (
                NoTime,
                5,
                "",
            ),
            (
                UnreadableTime,
                6,
                "tomorrow",
            ),
            (
                WrongFieldCount,
                8,
                "4 in place of 3",
            ),
            (
                OpenQuote,
                11,
                "1,\"h,2024-01-01\n",
            ),
        ]
    "#]]
    .assert_debug_eq(&bad);
}

#[test]
fn columns_can_be_named_and_wrong_names_are_refused() {
    let text = "a,b,c,d\nx,1,2024-01-01,2\nx,1,2024-01-02,3\n";
    let options = |case: &str| ReadOptions {
        columns: Mapping {
            case: Some(case.to_owned()),
            activity: Some("b".to_owned()),
            ..Mapping::default()
        },
        ..ReadOptions::default()
    };
    let import = read(text.as_bytes(), &options("a")).unwrap();
    assert_eq!(import.report.mapping.end.as_deref(), Some("c"));
    assert!(
        import.report.notes[0]
            .text
            .contains("the column c was taken as the time")
    );
    let error = read(text.as_bytes(), &options("z")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.message(),
        "no column is called z: there are a, b, c, d"
    );
}

#[test]
fn encodings_are_told_apart() {
    let text = "case,activity,time\n1,Prüfung,2024-01-01\n";
    let utf16: Vec<u8> = "\u{feff}"
        .encode_utf16()
        .chain(text.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let latin: Vec<u8> = text
        .chars()
        .map(|letter| u8::try_from(u32::from(letter)).unwrap())
        .collect();
    let mut marked = b"\xef\xbb\xbf".to_vec();
    marked.extend_from_slice(text.as_bytes());
    for (bytes, encoding) in [
        (text.as_bytes().to_vec(), "UTF-8"),
        (marked, "UTF-8"),
        (latin, "windows-1252"),
        (utf16, "UTF-16LE"),
    ] {
        let import = read(bytes.as_slice(), &ReadOptions::default()).unwrap();
        assert_eq!(import.report.encoding, encoding);
        assert_eq!(import.log.activities().name(0), "Prüfung", "{encoding}");
        assert_eq!(import.report.mapping.case.as_deref(), Some("case"));
    }
    let xes = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><log><trace><event>\
        <string key=\"concept:name\" value=\"Pr\xfcfung\"/>\
        <date key=\"time:timestamp\" value=\"2024-01-01\"/></event></trace></log>";
    let import = read(&xes[..], &ReadOptions::default()).unwrap();
    assert_eq!(import.log.activities().name(0), "Prüfung");
}

#[test]
fn zones_and_the_order_of_days_are_settings() {
    let text = "case,activity,time\n1,a,03/04/2024 12:00\n";
    let micros = |options: &ReadOptions| {
        let import = read(text.as_bytes(), options).unwrap();
        let notes: Vec<String> = import
            .report
            .notes
            .iter()
            .map(|note| note.text.to_string())
            .collect();
        (import.log.end_column()[0] / 1_000_000, notes)
    };
    let (seconds, notes) = micros(&ReadOptions::default());
    assert_eq!(seconds, 1_709_553_600);
    assert!(
        notes[0].contains("03/04/2024 12:00 was read with the month first"),
        "{notes:?}"
    );
    assert!(notes[1].contains("without a zone"), "{notes:?}");
    let vienna = ReadOptions {
        zone: "Europe/Vienna".to_owned(),
        day_first: true,
        ..ReadOptions::default()
    };
    assert_eq!(micros(&vienna).0, 1_712_138_400);
    let nowhere = ReadOptions {
        zone: "Nowhere".to_owned(),
        ..ReadOptions::default()
    };
    assert_eq!(
        read(text.as_bytes(), &nowhere).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

#[test]
fn xes_is_read_with_its_peculiarities() {
    let import = import(
        "<?xml version=\"1.0\"?>\n<!-- a comment with <trace> -->\n\
         <x:log xmlns:x=\"http://www.xes-standard.org/\">\n\
         <extension name=\"Concept\" prefix=\"concept\" uri=\"u\"/>\n\
         <global scope=\"event\"><string key=\"concept:name\" value=\"default\"/></global>\n\
         <string key=\"log attribute\" value=\"x\"><int key=\"nested\" value=\"1\"/></string>\n\
         <trace><event><string key='concept:name' value='b &amp; &#99;'/>\
         <date key=\"time:timestamp\" value=\"1970-01-01T00:00:02.000Z\"/>\
         <boolean key=\"ok\" value=\"True\"/>\
         <list key=\"l\"><values><string key=\"x\" value=\"1\"/></values></list>\
         <string key=\"s\" value=\"v\"><string key=\"inner\" value=\"w\"/></string></event>\n\
         <event><date key=\"time:timestamp\" value=\"1970-01-01T00:00:01Z\"/>\
         <string key=\"concept:name\" value=\"a\"/></event>\
         <string key=\"concept:name\" value=\"late name\"/><int key=\"amount\" value=\"5\"/></trace>\n\
         <trace><event><string key=\"concept:name\" value=\"a\"/>\
         <date key=\"time:timestamp\" value=\"1970-01-01T00:00:03Z\"/></event></trace>\n\
         <trace><string key=\"concept:name\" value=\"late name\"/>\
         <event><string key=\"concept:name\" value=\"z\"/>\
         <date key=\"time:timestamp\" value=\"1970-01-01T00:00:04Z\"/></event></trace>\n\
         <trace><string key=\"concept:name\" value=\"empty\"/></trace>\n\
         </x:log>\n",
    );
    assert_eq!(
        shown(&import.log),
        "late name a@1 b & c@2 z@4\ntrace 2 a@3\n"
    );
    assert_eq!(import.log.case_attributes()[0].text(0), Some("5"));
    let names: Vec<&str> = import
        .log
        .event_attributes()
        .iter()
        .map(Column::name)
        .collect();
    assert_eq!(names, ["ok", "s"]);
    let notes: Vec<String> = import
        .report
        .notes
        .iter()
        .map(|note| format!("{} {}", note.count, note.text))
        .collect();
    expect![[r#"
        [
            "1 traces with the name of an earlier one, taken as one case with it",
            "1 traces without a name, named by their place",
            "1 traces without events, left out",
            "2 attributes of attributes, left out",
            "1 events that came after a later one of their case, put in order",
        ]
    "#]]
    .assert_debug_eq(&notes);
}

#[test]
fn attributes_are_left_out_on_demand_but_for_the_transition() {
    let text = "case,activity,time,lifecycle:transition,x\n1,a,2024-01-01,start,1\n";
    let options = ReadOptions {
        attributes: Attributes::None,
        ..ReadOptions::default()
    };
    let import = read(text.as_bytes(), &options).unwrap();
    let names: Vec<&str> = import
        .log
        .event_attributes()
        .iter()
        .map(Column::name)
        .collect();
    assert_eq!(names, ["lifecycle:transition"]);
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let error = read_file("not/there.xes", &ReadOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreadable);
    assert!(
        error
            .message()
            .starts_with("not/there.xes cannot be opened")
    );
}
