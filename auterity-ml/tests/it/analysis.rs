//! What a log tells: small logs by hand, public logs against what others compute.

use std::collections::BTreeMap;

use auterity_ml::mining::{
    CaseTest, DirectlyFollows, EdgeTime, EventLog, EventTest, Filter, OverTime, ReadOptions, Times,
    Value, Variants, activity_times, case_durations, handovers, rates_per_day, read,
    resource_loads, rework,
};
use serde_json::Value as Json;

use crate::{logs, read::shown};

/// Four cases; the second one begins each activity later than the one before ended.
const SMALL: &str = "case,activity,start,end,resource,case:kind,cost\n\
    1,a,1970-01-01T00:00:00Z,1970-01-01T00:00:10Z,Ann,big,5\n\
    1,b,1970-01-01T00:00:05Z,1970-01-01T00:00:20Z,Bob,big,50\n\
    1,a,1970-01-01T00:00:20Z,1970-01-01T00:00:21Z,Ann,big,\n\
    2,a,1970-01-01T00:01:00Z,1970-01-01T00:01:10Z,Ann,small,5\n\
    2,b,1970-01-01T00:02:00Z,1970-01-01T00:02:30Z,,small,7\n\
    2,c,1970-01-01T00:03:00Z,1970-01-01T00:03:01Z,Cem,small,9\n\
    3,b,1970-01-01T00:01:00Z,1970-01-01T00:01:00Z,Bob,small,1\n\
    4,a,1970-01-01T00:04:00Z,1970-01-01T00:04:10Z,Ann,big,5\n\
    4,b,1970-01-01T00:04:10Z,1970-01-01T00:04:20Z,Bob,big,50\n\
    4,a,1970-01-01T00:04:20Z,1970-01-01T00:04:30Z,Ann,big,2\n";

fn small() -> EventLog {
    read(SMALL.as_bytes(), &ReadOptions::default()).unwrap().log
}

#[test]
fn edges_count_what_follows_within_cases() {
    let log = small();
    let graph = DirectlyFollows::of(&log);
    let edges: Vec<_> = graph
        .edges
        .iter()
        .map(|edge| (edge.source, edge.target, edge.count, edge.cases))
        .collect();
    assert_eq!(edges, [(0, 1, 3, 3), (1, 0, 2, 2), (1, 2, 1, 1)]);
    assert_eq!(graph.activities, [5, 4, 1]);
    assert_eq!(
        (&graph.starts[..], &graph.ends[..]),
        (&[3, 1, 0][..], &[2, 1, 1][..])
    );
    let total = |times: &[Times]| times.iter().map(|it| it.total).collect::<Vec<_>>();
    let end_to_end = graph.times(&log, EdgeTime::EndToEnd, None);
    assert_eq!(total(&end_to_end), [10.0 + 80.0 + 10.0, 1.0 + 10.0, 31.0]);
    let waiting = graph.times(&log, EdgeTime::Waiting, None);
    assert_eq!(total(&waiting), [0.0 + 50.0 + 0.0, 0.0, 30.0]);
    assert_eq!(
        (waiting[0].min, waiting[0].median, waiting[0].max),
        (0.0, 0.0, 50.0)
    );
}

#[test]
fn many_activities_give_the_same_graph_as_few() {
    // Beyond a thousand activities another way of counting is taken.
    let mut text = String::from("case,activity,time\n");
    let mut expected: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut before: BTreeMap<u32, String> = BTreeMap::new();
    let mut state = 5_u32;
    for second in 0..6000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (case, activity) = (state >> 28, format!("a{}", (state >> 8) % 1500));
        text.push_str(&format!("{case},{activity},{}\n", 1_700_000_000 + second));
        if let Some(source) = before.insert(case, activity.clone()) {
            *expected.entry((source, activity)).or_default() += 1;
        }
    }
    let log = read(text.as_bytes(), &ReadOptions::default()).unwrap().log;
    assert!(1024 < log.activities().len());
    let name = |label| log.activities().name(label).to_owned();
    let graph = DirectlyFollows::of(&log);
    let found: BTreeMap<_, _> = graph
        .edges
        .iter()
        .map(|edge| ((name(edge.source), name(edge.target)), edge.count))
        .collect();
    assert_eq!(found, expected);
    let counted: u64 = graph
        .times(&log, EdgeTime::EndToEnd, None)
        .iter()
        .map(|it| it.count)
        .sum();
    assert_eq!(counted, expected.values().sum::<u64>());
}

#[test]
fn variants_are_ordered_by_frequency_and_labels() {
    let log = small();
    let variants = Variants::of(&log);
    let counts: Vec<(Vec<u32>, u64)> = (0..variants.list().len())
        .map(|it| (variants.trace(&log, it).to_vec(), variants.list()[it].count))
        .collect();
    assert_eq!(
        counts,
        [(vec![0, 1, 0], 2), (vec![0, 1, 2], 1), (vec![1], 1)]
    );
    assert_eq!(
        (0..4)
            .map(|case| variants.of_case(case))
            .collect::<Vec<_>>(),
        [0, 1, 2, 0]
    );
}

#[test]
fn cases_activities_and_resources_are_measured() {
    let log = small();
    let seconds: Vec<i64> = case_durations(&log, None)
        .iter()
        .map(|it| it / 1_000_000)
        .collect();
    assert_eq!(seconds, [21, 121, 0, 30]);
    let again: Vec<(u64, u64, u64)> = rework(&log)
        .iter()
        .map(|it| (it.cases, it.reworked_cases, it.repeats))
        .collect();
    assert_eq!(again, [(3, 2, 2), (4, 0, 0), (1, 0, 0)]);
    let times = activity_times(&log, None);
    let totals = |times: Option<Times>| times.map(|it| (it.count, it.total));
    assert_eq!(totals(times[1].service), Some((4, 55.0)));
    assert_eq!(totals(times[1].waiting), Some((3, 50.0)));
    assert_eq!(totals(times[1].sojourn), Some((3, 100.0)));
    let loads: Vec<(&str, u64, u64, i128)> = resource_loads(&log)
        .iter()
        .map(|it| {
            (
                log.resources().name(it.resource),
                it.events,
                it.cases,
                it.busy / 1_000_000,
            )
        })
        .collect();
    assert_eq!(
        loads,
        [("Ann", 5, 3, 41), ("Bob", 3, 3, 25), ("Cem", 1, 1, 1)]
    );
    let handed: Vec<(&str, &str, u64)> = handovers(&log)
        .iter()
        .map(|it| {
            (
                log.resources().name(it.from),
                log.resources().name(it.to),
                it.count,
            )
        })
        .collect();
    assert_eq!(
        handed,
        [("Ann", "Bob", 2), ("Bob", "Ann", 2), ("Ann", "Cem", 1)]
    );
}

#[test]
fn what_is_in_progress_is_followed_over_time() {
    let log = small();
    let over_time = OverTime::of(&log);
    assert_eq!(over_time.width, 60_000_000);
    assert_eq!(over_time.arrivals, [1, 2, 0, 0, 1]);
    assert_eq!(over_time.completions, [1, 1, 0, 1, 1]);
    assert_eq!(over_time.in_progress_max, [1, 2, 1, 1, 1]);
    let seconds: Vec<f64> = over_time
        .in_progress
        .iter()
        .map(|it| (it * 60.0).round())
        .collect();
    assert_eq!(seconds, [21.0, 60.0, 60.0, 1.0, 30.0]);
    let (arrivals, completions) = rates_per_day(&log);
    assert!((arrivals.unwrap() - 3.0 / (240.0 / 86_400.0)).abs() < 1e-9);
    assert!((completions.unwrap() - 3.0 / (249.0 / 86_400.0)).abs() < 1e-9);
}

#[test]
fn filters_compose() {
    let log = small();
    let texts = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let second = 1_000_000;
    for (test, cases) in [
        (CaseTest::Within(0, 90 * second), "1 3"),
        (CaseTest::Overlaps(65 * second, 200 * second), "2"),
        (CaseTest::Begins(60 * second, 60 * second), "2 3"),
        (CaseTest::Ends(0, 60 * second), "1 3"),
        (CaseTest::HasAny(texts(&["c", "unknown"])), "2"),
        (CaseTest::HasAll(texts(&["a", "b"])), "1 2 4"),
        (CaseTest::HasAll(texts(&["a", "unknown"])), ""),
        (CaseTest::StartsWith(texts(&["b"])), "3"),
        (CaseTest::EndsWith(texts(&["a"])), "1 4"),
        (CaseTest::DirectlyFollows("b".into(), "c".into()), "2"),
        (CaseTest::DirectlyFollows("a".into(), "c".into()), ""),
        (CaseTest::EventuallyFollows("a".into(), "c".into()), "2"),
        (CaseTest::EventuallyFollows("a".into(), "a".into()), "1 4"),
        (CaseTest::TopVariants(1), "1 4"),
        (CaseTest::VariantCoverage(0.5), "1 4"),
        (CaseTest::VariantCoverage(0.6), "1 2 4"),
        (CaseTest::Trace(texts(&["b"])), "3"),
        (
            CaseTest::Attribute("kind".into(), Value::OneOf(texts(&["big"]))),
            "1 4",
        ),
        (
            CaseTest::EventAttribute("cost".into(), Value::Between(9.0, 50.0)),
            "1 2 4",
        ),
        (CaseTest::EventAttribute("no".into(), Value::Present), ""),
        (CaseTest::Resource(texts(&["Cem"])), "2"),
        (CaseTest::Duration(0, 25 * second), "1 3"),
        (CaseTest::Events(1, 2), "3"),
        (CaseTest::Ids(texts(&["4", "2"])), "2 4"),
    ] {
        let ids = |log: Option<EventLog>| {
            let log = log
                .as_ref()
                .map(|log| log.case_ids().iter().collect::<Vec<_>>().join(" "));
            log.unwrap_or_default()
        };
        assert_eq!(
            ids(Filter::new().with_cases(test.clone()).apply(&log)),
            cases,
            "{test:?}"
        );
        let others: Vec<&str> = ["1", "2", "3", "4"]
            .into_iter()
            .filter(|id| !cases.split(' ').any(|case| case == *id))
            .collect();
        let rest = Filter::new().without_cases(test.clone()).apply(&log);
        assert_eq!(ids(rest), others.join(" "), "{test:?}");
    }
    let kept = Filter::new()
        .with_cases(CaseTest::HasAny(texts(&["a"])))
        .without_cases(CaseTest::Ids(texts(&["1"])))
        .without_events(EventTest::Activity(texts(&["b"])))
        .without_events(EventTest::Resource(texts(&["Cem"])))
        .apply(&log)
        .unwrap();
    assert_eq!(
        shown(&kept),
        "2 a@70-60[Ann]\n4 a@250-240[Ann] a@270-260[Ann]\n"
    );
    assert_eq!(kept.activities().len(), 1);
    assert_eq!(kept.case_attributes()[0].text(1), Some("big"));
    assert_eq!(kept.event_attributes()[0].text(2), Some("2"));
}

/// Figures that pm4py 2.7.23.11 computes for public logs.
fn reference() -> Json {
    serde_json::from_str(include_str!("../data/reference.json")).unwrap()
}

fn near(found: f64, expected: &Json, what: &str) {
    let expected = expected.as_f64().unwrap();
    let close = (found - expected).abs() <= 1e-6_f64.max(expected.abs() * 1e-9);
    assert!(close, "{what}: {found} in place of {expected}");
}

#[test]
fn public_logs_give_the_figures_that_others_compute() {
    let reference = reference();
    for (file, expected) in reference.as_object().unwrap() {
        let Some(import) = logs::log(file) else {
            return;
        };
        let log = &import.log;
        let graph = DirectlyFollows::of(log);
        let counts = |counts: &[u64]| {
            let labels = log
                .activities()
                .iter()
                .zip(counts)
                .filter(|(_, count)| **count != 0);
            labels
                .map(|(name, count)| (name.to_owned(), *count))
                .collect::<BTreeMap<_, _>>()
        };
        let table = |key: &str| -> BTreeMap<String, u64> {
            serde_json::from_value(expected[key].clone()).unwrap()
        };
        assert_eq!(counts(&graph.activities), table("activities"), "{file}");
        assert_eq!(counts(&graph.starts), table("starts"), "{file}");
        assert_eq!(counts(&graph.ends), table("ends"), "{file}");
        let again: Vec<u64> = rework(log).iter().map(|it| it.reworked_cases).collect();
        assert_eq!(counts(&again), table("rework"), "{file}");

        let times = graph.times(log, EdgeTime::EndToEnd, None);
        let edges = expected["edges"].as_array().unwrap();
        assert_eq!(graph.edges.len(), edges.len(), "{file}");
        for edge in edges {
            let text = |at: usize| edge[at].as_str().unwrap();
            let label = |at: usize| log.activities().find(text(at)).unwrap();
            let what = format!("{file}: {} → {}", text(0), text(1));
            let place = graph.find(label(0), label(1)).unwrap();
            assert_eq!(
                graph.edges[place].count,
                edge[2].as_u64().unwrap(),
                "{what}"
            );
            let times = &times[place];
            for (at, found) in [
                (3, times.min),
                (4, times.max),
                (5, times.total),
                (6, times.mean),
                (7, times.median),
            ] {
                near(found, &edge[at], &what);
            }
            if edge[8].is_null() {
                assert_eq!(times.deviation, None, "{what}");
            } else {
                near(times.deviation.unwrap(), &edge[8], &what);
            }
        }

        let variants = Variants::of(log);
        assert_eq!(
            variants.list().len() as u64,
            expected["variants"].as_u64().unwrap()
        );
        assert_eq!(
            variants.digest(log),
            expected["digest"].as_str().unwrap(),
            "{file}"
        );
        let times = Times::of(&mut case_durations(log, None)).unwrap();
        let durations = &expected["durations"];
        for (key, found) in [
            ("min", times.min),
            ("max", times.max),
            ("mean", times.mean),
            ("median", times.median),
            ("p95", times.p95),
            ("sum", times.total),
        ] {
            near(found, &durations[key], &format!("{file}: {key} of cases"));
        }
        let handed = handovers(log);
        if let Some(pairs) = expected["handover_pairs"].as_u64() {
            assert_eq!(handed.len() as u64, pairs, "{file}");
        }
        for expected in expected["handover"].as_array().into_iter().flatten() {
            let pair = (expected[1].as_str().unwrap(), expected[2].as_str().unwrap());
            let name = |label| log.resources().name(label);
            let found = handed
                .iter()
                .find(|it| (name(it.from), name(it.to)) == pair)
                .unwrap();
            near(found.share, &expected[0], &format!("{file}: {pair:?}"));
        }
    }
}
