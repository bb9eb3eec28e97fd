//! What is written is read again as it was.

use auterity_ml::mining::{EventLog, ReadOptions, read, read_file, write_csv, write_xes};

use crate::logs;
use crate::read::shown;

fn attributes(log: &EventLog) -> Vec<String> {
    let mut all = Vec::new();
    for column in log.event_attributes() {
        let values = (0..log.events()).map(|event| column.text(event).unwrap_or("-"));
        all.push(format!(
            "{} {}",
            column.name(),
            values.collect::<Vec<_>>().join("|")
        ));
    }
    for column in log.case_attributes() {
        let values = (0..log.cases()).map(|case| column.text(case).unwrap_or("-"));
        all.push(format!(
            "{} {}",
            column.name(),
            values.collect::<Vec<_>>().join("|")
        ));
    }
    all.sort_unstable();
    all
}

fn check(log: &EventLog) {
    type Writer = fn(&EventLog, &mut Vec<u8>) -> std::io::Result<()>;
    let writers: [(&str, Writer); 2] = [
        ("csv", |log, out| write_csv(log, out)),
        ("xes", |log, out| write_xes(log, out)),
    ];
    for (name, write) in writers {
        let mut text = Vec::new();
        write(log, &mut text).unwrap();
        let again = read(text.as_slice(), &ReadOptions::default()).unwrap();
        assert_eq!(again.report.bad_rows(), 0, "{name}");
        // Whole logs: too long to print both.
        assert!(shown(&again.log) == shown(log), "{name}: events");
        assert!(
            attributes(&again.log) == attributes(log),
            "{name}: attributes"
        );
    }
}

#[test]
fn small_logs_keep_everything() {
    check(
        &read(
            "case_id,activity,start_time,end_time,resource,case:kind,cost,concept:name (attribute)\n\
             \"1, \"\"x\"\"\",a & <b>,1970-01-01T00:00:01.5Z,1970-01-01T00:00:05.000001Z,Ann,big,1.5,q\n\
             2,\"line\nend\",,1948-01-01T00:00:09Z,,,2,\n"
                .as_bytes(),
            &ReadOptions {
                columns: auterity_ml::mining::Mapping {
                    activity: Some("activity".to_owned()),
                    ..Default::default()
                },
                ..ReadOptions::default()
            },
        )
        .unwrap()
        .log,
    );
}

#[test]
fn public_logs_keep_everything() {
    for file in [
        "raw/SEPSIS.xes.gz",
        "raw/BPI_Challenge_2013_closed_problems.xes.gz",
        "pm4py/08_receipt.xes.gz",
        "pm4py/running-example.csv",
        "other/LoanApp_simplified_train.csv.gz",
    ] {
        let Some(path) = logs::path(file) else { return };
        check(&read_file(path, &ReadOptions::default()).unwrap().log);
    }
}
