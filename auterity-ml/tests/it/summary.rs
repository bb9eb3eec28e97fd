//! The summary and the process map.

use auterity_ml::mining::{
    DirectlyFollows, MapOptions, ReadOptions, Summary, SummaryOptions, process_map, read,
};
use expect_test::expect;

const LOG: &str = "case,activity,start,end,resource\n\
    1,register <x>,2024-01-01T00:00:00Z,2024-01-01T01:00:00Z,Ann\n\
    1,approve,2024-01-01T03:00:00Z,2024-01-01T04:00:00Z,Bob\n\
    1,approve,2024-01-01T04:00:00Z,2024-01-01T04:10:00Z,Bob\n\
    2,register <x>,2024-01-01T05:00:00Z,2024-01-01T06:00:00Z,Ann\n\
    2,approve,2024-01-02T05:00:00Z,2024-01-02T06:00:00Z,\n\
    2,approve,soon,tomorrow,Bob\n";

#[test]
fn people_read_what_a_log_shows() {
    let import = read(LOG.as_bytes(), &ReadOptions::default()).unwrap();
    let summary = Summary::of(&import.log, import.report, SummaryOptions::default());
    expect![[r#"
        5 events of 2 cases, 2 activities, 2 variants; 2024-01-01T00:00:00Z to 2024-01-02T06:00:00Z
        columns: case = case, activity = activity, end = end, start = start, resource = resource
        1 of 6 rows are no events:
          1 with a time that cannot be read: line 7

        Cases
          take 14.6 h in the median; nine of ten are done within 22.9 h, the longest took 25 h
          4.8 begin and 0.9 end a day; at most 1 were in progress at once

        Activities (times: median)
          activity      events  begins  ends  again in  waiting  service
          approve            3       0     2         1      2 h   60 min
          register <x>       2       2     0         0        –   60 min

        Directly follows (times: waiting (end to start))
          from          to       count  cases  median     p90  total
          register <x>  approve      2      2  12.5 h  20.9 h   25 h
          approve       approve      1      1     0 s     0 s    0 s

        Variants
          1 (50 %): register <x> → approve
          1 (50 %): register <x> → approve → approve

        Resources
          Ann: 2 events in 2 cases
          Bob: 2 events in 1 cases
          Ann hands over to Bob 1 times (50 %)

        Model
          ->( 'register <x>', *( 'approve', tau ) )
          discovered with noise 0.2; 100 % of the cases fit it exactly, fitness 1.000 by token replay, 1.000 by alignments, precision 1.000

        Where time is lost
          1. Cases wait 2 h in the median (p90 18.8 h) for "approve": 3 times in 2 cases, 25 h in all, 100 % of all time between events. Of it: 0 % while the one who did it was busy with other cases, 100 % unexplained.
             Look at the longest cases before "approve": those who do it are free and at work for most of the waiting, so it may be for information, a decision of others, or a batch.
             cases: 2, 1
          2. "approve" is done again in 1 cases (50 %), 1 times; between one time and the next lie 10 min in the median (p90 10 min).
             Look at what sends cases back to "approve", and whether it can be found out before.
             cases: 1
    "#]]
    .assert_eq(&summary.to_string());
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["rework_cases"]["approve"], 1);
    assert_eq!(json["handover"]["pairs"], 2);
    let deviation = json["case_duration"]["deviation"].as_f64().unwrap();
    assert!((deviation - 53_033.0).abs() < 1.0, "{deviation}");
}

#[test]
fn the_map_is_an_image_of_the_graph() {
    let log = read(LOG.as_bytes(), &ReadOptions::default()).unwrap().log;
    let svg = process_map(&log, &DirectlyFollows::of(&log), MapOptions::default());
    assert_eq!(
        svg,
        process_map(&log, &DirectlyFollows::of(&log), MapOptions::default())
    );
    for part in [
        "register &lt;x&gt;</text>",
        ">2 · 12.5 h</text>",
        ">1 · 0 s</text>",
    ] {
        assert!(svg.contains(part), "{part} is missing: {svg}");
    }
    // Two boxes and the background; start, end; two arrows between, one in, one out.
    let count = |part: &str| svg.matches(part).count();
    assert_eq!(
        (count("<rect"), count("<circle"), count("marker-end")),
        (3, 2, 4)
    );
}
