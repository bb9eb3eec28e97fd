//! Predictions.

use auterity_ml::ErrorKind;
use auterity_ml::mining::{Event, EventLog, LogBuilder};
use auterity_ml::suggest::{Predictor, evaluate};

use crate::logs;

/// Cases `a b c` and `a b d` in turn; after b, c takes one hour and d takes ten.
fn log(cases: i64) -> EventLog {
    let mut builder = LogBuilder::new();
    let hour = 3_600_000_000;
    for case in 0..cases {
        let begin = case * 24 * hour;
        let (last, takes) = if case % 4 == 0 { ("d", 10) } else { ("c", 1) };
        for (activity, end) in [
            ("a", begin),
            ("b", begin + hour),
            (last, begin + (1 + takes) * hour),
        ] {
            let case = case.to_string();
            builder
                .push(Event {
                    case: &case,
                    activity,
                    end,
                    ..Event::default()
                })
                .unwrap();
        }
    }
    builder.finish().unwrap()
}

#[test]
fn what_came_before_comes_again_with_its_reason() {
    let log = log(200);
    let predictor = Predictor::train(&[&log]).unwrap();
    let next = predictor.next(&["a", "b"]);
    assert_eq!(next[0].activity.as_deref(), Some("c"));
    assert!((next[0].probability - 0.75).abs() < 1e-9);
    assert!(
        next[0].reason.starts_with("150 of 200 times after"),
        "{}",
        next[0].reason
    );
    assert_eq!(predictor.next(&["a", "b", "c"])[0].activity, None);
    let hour = 3_600_000_000;
    let remaining = predictor.remaining(&["a", "b"], hour).unwrap();
    assert!((remaining.median - 3600.0).abs() < 1e-6, "{remaining:?}");
    assert!(remaining.median <= remaining.p80 && remaining.p80 <= remaining.p95);
    // What was never seen backs off to what is known of any case.
    let unknown = predictor.next(&["never", "seen"]);
    assert_eq!(
        unknown[0].reason.split(" after ").last(),
        Some("any activity")
    );
    assert!(predictor.remaining(&["never"], 0).is_some());
}

#[test]
fn little_history_is_refused() {
    let error = Predictor::train(&[&log(49)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Empty);
    assert!(error.message().starts_with("not enough history: 49 cases"));
    assert!(Predictor::train(&[&log(50)]).is_ok());
}

#[test]
fn a_model_is_the_same_after_writing_and_reading() {
    let log = log(80);
    let predictor = Predictor::train(&[&log]).unwrap();
    let mut text = Vec::new();
    predictor.write(&mut text).unwrap();
    let again = Predictor::read(text.as_slice()).unwrap();
    assert_eq!(again.next(&["a"]), predictor.next(&["a"]));
    assert_eq!(
        again.remaining(&["a", "b"], 9),
        predictor.remaining(&["a", "b"], 9)
    );
    assert_eq!(
        Predictor::read(&b"{}"[..]).unwrap_err().kind(),
        ErrorKind::Unreadable
    );
}

#[test]
fn evaluation_counts_what_was_right() {
    let predictor = Predictor::train(&[&log(200)]).unwrap();
    let evaluation = evaluate(&predictor, &log(80));
    // After a always b; after b three of four times c; the end is always right.
    let next = &evaluation.next_activity;
    assert!(
        (next.without_end - 140.0 / 160.0).abs() < 1e-9,
        "{evaluation:?}"
    );
    assert!((next.with_end - 220.0 / 240.0).abs() < 1e-9);
    // After b one hour is said; a fourth takes nine more.
    let remaining = &evaluation.remaining_time;
    assert!(
        (remaining.mae_days_from_2 - 9.0 / 24.0 / 4.0).abs() < 1e-9,
        "{evaluation:?}"
    );
    assert_eq!(
        (remaining.predictions_from_2, remaining.predictions_from_1),
        (80, 160)
    );
}

#[test]
fn public_logs_are_predicted_as_well_as_expected() {
    // Mean absolute error in days from two events on, and next activities without the end.
    for (name, days_most, next_least) in [
        ("Helpdesk", 4.34, 0.63),
        ("SEPSIS", 16.6, 0.63),
        ("BPI_Challenge_2012_Complete", 5.75, 0.76),
        ("BPI_Challenge_2013_closed_problems", 103.0, 0.6),
    ] {
        let mut parts = Vec::new();
        for part in ["train", "val", "test"] {
            let Some(import) = logs::log(&format!("splits/{part}_{name}.xes.gz")) else {
                return;
            };
            parts.push(import.log);
        }
        let predictor = Predictor::train(&[&parts[0], &parts[1]]).unwrap();
        let evaluation = evaluate(&predictor, &parts[2]);
        assert!(
            evaluation.remaining_time.mae_days_from_2 <= days_most,
            "{name}: {evaluation:?}"
        );
        assert!(
            next_least <= evaluation.next_activity.without_end,
            "{name}: {evaluation:?}"
        );
    }
}
