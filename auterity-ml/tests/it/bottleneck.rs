//! Where time is lost.

use auterity_ml::mining::{Confidence, FindingKind, ReadOptions, bottlenecks, read};

/// Cases that wait for Bob: each arrives on the hour, and he needs two hours for each.
fn queue(cases: i64) -> String {
    let mut text = String::from("case,activity,start,end,resource\n");
    let hour = 3600;
    for case in 0..cases {
        let arrival = case * hour;
        let begin = case * 2 * hour;
        text.push_str(&format!(
            "c{case},order,{arrival},{arrival},Web\n",
            arrival = 1_700_000_000 + arrival
        ));
        text.push_str(&format!(
            "c{case},approve,{},{},Bob\n",
            1_700_000_000 + begin,
            1_700_000_000 + begin + 2 * hour
        ));
    }
    text
}

#[test]
fn waiting_is_put_down_to_the_one_who_is_busy() {
    let log = read(queue(40).as_bytes(), &ReadOptions::default())
        .unwrap()
        .log;
    let findings = bottlenecks(&log);
    assert_eq!(findings.len(), 1);
    let finding = &findings[0];
    assert_eq!(
        (finding.kind, &*finding.activity),
        (FindingKind::Waiting, "approve")
    );
    assert_eq!(
        (finding.cases, finding.confidence),
        (40, Confidence::Medium)
    );
    // Case n waits n hours, and Bob is busy all the time.
    assert!((finding.times.total - 780.0 * 3600.0).abs() < 1e-6);
    let causes = finding.causes.unwrap();
    assert!((causes.busy.unwrap() - 1.0).abs() < 1e-9, "{causes:?}");
    assert_eq!(causes.off_hours, None);
    assert_eq!(finding.examples, ["c39", "c38", "c37", "c36", "c35"]);
    assert!(
        finding.text.starts_with(
            "Cases wait 19.5 h in the median (p90 35.1 h) for \"approve\": 40 times in 40 cases"
        ),
        "{}",
        finding.text
    );
    assert!(finding.action.starts_with("Let more people do \"approve\""));
}

#[test]
fn nights_and_weekends_are_told_from_working_hours() {
    // Every workday for ten weeks: a at nine, b at sixteen of the next workday.
    let mut text = String::from("case,activity,time\n");
    for day in 0..70 {
        if day % 7 < 5 {
            let next = if day % 7 == 4 { day + 3 } else { day + 1 };
            // Day 0 is Monday, 1 January 2024.
            let at = |day: i64, hour: i64| 1_704_067_200 + (day * 24 + hour) * 3600;
            text.push_str(&format!(
                "{day},a,{}\n{day},b,{}\n",
                at(day, 9),
                at(next, 16)
            ));
        }
    }
    let log = read(text.as_bytes(), &ReadOptions::default()).unwrap().log;
    let findings = bottlenecks(&log);
    assert_eq!(findings[0].kind, FindingKind::Elapsed);
    let causes = findings[0].causes.unwrap();
    assert_eq!(causes.busy, None);
    assert!(0.8 < causes.off_hours.unwrap(), "{causes:?}");
    // Two hours of five days are usual.
    assert!(
        (causes.off_hours_of_week.unwrap() - 158.0 / 168.0).abs() < 1e-9,
        "{causes:?}"
    );
}

#[test]
fn what_is_done_again_is_found() {
    let mut text = String::from("case,activity,time\n");
    for case in 0..10 {
        let at = 1_700_000_000 + case * 100_000;
        text.push_str(&format!("{case},check,{at}\n"));
        if case % 2 == 0 {
            text.push_str(&format!("{case},check,{}\n", at + 7200));
        }
    }
    let log = read(text.as_bytes(), &ReadOptions::default()).unwrap().log;
    let findings = bottlenecks(&log);
    let again = findings
        .iter()
        .find(|it| it.kind == FindingKind::Rework)
        .unwrap();
    assert_eq!((again.cases, again.confidence), (5, Confidence::Low));
    assert!(again.text.starts_with("\"check\" is done again in 5 cases (50 %), 5 times; between one time and the next lie 2 h"), "{}", again.text);
}

#[test]
fn a_log_without_time_between_events_loses_none() {
    let log = read(
        "case,activity,time\n1,a,2024-01-01\n1,b,2024-01-01\n".as_bytes(),
        &ReadOptions::default(),
    );
    assert!(bottlenecks(&log.unwrap().log).is_empty());
}
