//! Models that are discovered, and how logs agree with them.

use auterity_ml::ErrorKind;
use auterity_ml::mining::{
    Event, EventLog, LogBuilder, PetriNet, ProcessTree, Variants, align, discover_tree, precision,
    replay,
};

use crate::logs;

/// A log of traces, each written as letters, with how often it occurs.
fn log(traces: &[(&str, usize)]) -> EventLog {
    let mut builder = LogBuilder::new();
    let mut number = 0;
    for (trace, count) in traces {
        for _ in 0..*count {
            number += 1;
            for (at, letter) in trace.chars().enumerate() {
                builder
                    .push(Event {
                        case: &number.to_string(),
                        activity: &letter.to_string(),
                        end: i64::try_from(at).unwrap(),
                        ..Event::default()
                    })
                    .unwrap();
            }
        }
    }
    builder.finish().unwrap()
}

fn tree(traces: &[(&str, usize)], noise: f64) -> String {
    discover_tree(&log(traces), noise)
        .unwrap()
        .canonical()
        .to_string()
}

#[test]
fn blocks_are_found_in_what_they_allow() {
    for (traces, expected) in [
        (&[("abc", 1)][..], "->( 'a', 'b', 'c' )"),
        (&[("abd", 1), ("acd", 1)], "->( 'a', X( 'b', 'c' ), 'd' )"),
        (&[("abcd", 1), ("acbd", 1)], "->( 'a', +( 'b', 'c' ), 'd' )"),
        (&[("abc", 1), ("ac", 1)], "->( 'a', X( tau, 'b' ), 'c' )"),
        (&[("aba", 1), ("a", 1)], "*( 'a', 'b' )"),
        (&[("aaa", 1), ("a", 1)], "*( 'a', tau )"),
        (&[("abab", 1), ("ab", 2)], "*( ->( 'a', 'b' ), tau )"),
        // Two that only occur together are left out together.
        (
            &[("abcd", 1), ("ad", 1)],
            "->( 'a', X( tau, ->( 'b', 'c' ) ), 'd' )",
        ),
    ] {
        let found = tree(traces, 0.0);
        assert_eq!(found, expected, "{traces:?}");
    }
}

#[test]
fn rare_behaviour_is_left_out_with_noise() {
    let traces = &[("abcd", 95), ("acbd", 90), ("abdc", 1), ("dabc", 1)];
    assert_eq!(tree(traces, 0.2), "->( 'a', +( 'b', 'c' ), 'd' )");
    assert_ne!(tree(traces, 0.0), tree(traces, 0.2));
    let error = discover_tree(&log(traces), 1.5).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn the_order_of_cases_does_not_matter() {
    let mut traces = vec![
        ("abce", 3),
        ("acbe", 2),
        ("adde", 4),
        ("bcae", 1),
        ("ebca", 2),
    ];
    let first = discover_tree(&log(&traces), 0.1).unwrap();
    for _ in 0..traces.len() {
        traces.rotate_left(1);
        assert_eq!(discover_tree(&log(&traces), 0.1).unwrap(), first);
    }
}

#[test]
fn any_log_fits_the_model_that_is_discovered_without_noise() {
    let mut state = 11_u64;
    let mut random = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695);
        (state >> 33) % below
    };
    for round in 0..150 {
        let letters = ["a", "b", "c", "d", "e", "f"];
        let texts: Vec<String> = (0..=random(6))
            .map(|_| {
                let length = 1 + random(9);
                (0..length)
                    .map(|_| letters[usize::try_from(random(2 + round % 5)).unwrap()])
                    .collect()
            })
            .collect();
        let traces: Vec<(&str, usize)> = texts.iter().map(|text| (text.as_str(), 1)).collect();
        let log = log(&traces);
        let variants = Variants::of(&log);
        let tree = discover_tree(&log, 0.0).unwrap();
        let net = PetriNet::of(&tree);
        let aligned = align(&log, &variants, &net).unwrap();
        assert_eq!(aligned.total_cost, 0, "{texts:?} and {tree}");
        let replayed = replay(&log, &variants, &net);
        assert!(
            (replayed.perfect - 1.0).abs() < 1e-9,
            "{texts:?} and {tree}: {replayed:?}"
        );
        let precision = precision(&log, &variants, &net).unwrap();
        assert!((0.0..=1.0).contains(&precision), "{texts:?} and {tree}");
        // With noise there is a model too, and it can come to its end.
        let noisy = PetriNet::of(&discover_tree(&log, 0.3).unwrap());
        assert_eq!(align(&log, &variants, &noisy).unwrap().given_up, 0);
    }
}

#[test]
fn deviations_cost_what_they_are() {
    let model = |text: &str| PetriNet::of(&discover_tree(&log(&[(text, 1)]), 0.0).unwrap());
    let net = model("abc");
    for (trace, cost, fitness) in [
        ("abc", 0, 1.0),
        ("ac", 1, 1.0 - 1.0 / 5.0),
        ("abxc", 1, 1.0 - 1.0 / 7.0),
        ("cba", 4, 1.0 - 4.0 / 6.0),
        ("xyz", 6, 0.0),
    ] {
        let log = log(&[(trace, 1)]);
        let aligned = align(&log, &Variants::of(&log), &net).unwrap();
        assert_eq!(aligned.costs, [Some(cost)], "{trace}");
        assert!(
            (aligned.fitness - fitness).abs() < 1e-9,
            "{trace}: {aligned:?}"
        );
    }
    // One token is missing for c, and the one behind a remains: of five each.
    let short = log(&[("ac", 1)]);
    let replayed = replay(&short, &Variants::of(&short), &net);
    assert!((replayed.fitness - 2.0 / 3.0).abs() < 1e-9, "{replayed:?}");
    assert!(replayed.perfect.abs() < 1e-9);
}

#[test]
fn precision_falls_with_what_never_happens() {
    let seen = log(&[("ab", 1)]);
    let variants = Variants::of(&seen);
    let exact = PetriNet::of(&discover_tree(&seen, 0.0).unwrap());
    assert!((precision(&seen, &variants, &exact).unwrap() - 1.0).abs() < 1e-9);
    // After nothing and after a, both a and b are allowed; half of it happened.
    let any = |name: &str| ProcessTree::Activity(name.to_owned());
    let flower = ProcessTree::Loop(
        Box::new(ProcessTree::Choice(vec![any("a"), any("b")])),
        Box::new(ProcessTree::Silent),
    );
    let found = precision(&seen, &variants, &PetriNet::of(&flower)).unwrap();
    assert!((found - 0.5).abs() < 1e-9, "{found}");
}

#[test]
fn nets_are_the_same_after_writing_and_reading() {
    let traces = &[("abcd", 1), ("acbd", 1), ("aefed", 1)];
    let log = log(traces);
    let variants = Variants::of(&log);
    let tree = discover_tree(&log, 0.0).unwrap();
    let net = PetriNet::of(&tree);
    let mut text = Vec::new();
    net.write_pnml(&mut text).unwrap();
    let again = PetriNet::read_pnml(text.as_slice()).unwrap();
    assert_eq!(again.transitions(), net.transitions());
    assert_eq!((again.initial(), again.last()), (net.initial(), net.last()));
    assert_eq!(
        align(&log, &variants, &again).unwrap(),
        align(&log, &variants, &net).unwrap()
    );
    for (text, said) in [
        ("<pnml><net/></pnml>", "no place holds a token"),
        (
            "<pnml><net><place id=\"p\"><initialMarking><text>x</text></initialMarking></place></net></pnml>",
            "no small number",
        ),
        (
            "<pnml><net><arc id=\"a\" source=\"p\" target=\"q\"/></net></pnml>",
            "connects nothing",
        ),
        (
            "<pnml><net><place id=\"p\"><initialMarking><text>1</text></initialMarking></place><transition id=\"t\"/></net></pnml>",
            "no place before or behind",
        ),
        ("<pnml><net>", "not closed"),
    ] {
        let error = PetriNet::read_pnml(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreadable, "{text}");
        assert!(error.message().contains(said), "{error}");
    }
    // A place that gathers tokens without end has too many markings.
    let endless = "<pnml><net><place id=\"p\"><initialMarking><text>1</text></initialMarking></place>\
        <place id=\"q\"/><transition id=\"t\"/><arc id=\"1\" source=\"p\" target=\"t\"/>\
        <arc id=\"2\" source=\"t\" target=\"p\"/><arc id=\"3\" source=\"t\" target=\"q\"/></net></pnml>";
    let endless = PetriNet::read_pnml(endless.as_bytes()).unwrap();
    assert_eq!(
        align(&log, &variants, &endless).unwrap_err().kind(),
        ErrorKind::Limit
    );
}

#[test]
fn models_are_written_as_bpmn() {
    let tree = discover_tree(
        &log(&[("abcd", 1), ("acbd", 1), ("aefed", 1), ("ad", 1)]),
        0.0,
    )
    .unwrap();
    let mut text = Vec::new();
    tree.write_bpmn(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let count = |part: &str| text.matches(part).count();
    assert_eq!(
        (count("<task "), count("<startEvent"), count("<endEvent")),
        (6, 1, 1)
    );
    assert_eq!(count("<parallelGateway"), 2);
    assert_eq!(count("<sequenceFlow"), count("<bpmndi:BPMNEdge"));
    // Each flow leaves one node and enters one.
    assert_eq!(count("<incoming>"), count("<sequenceFlow"));
    assert_eq!(count("<outgoing>"), count("<sequenceFlow"));
}

/// Models that pm4py 2.7.23.11 discovers on public logs, without and with noise 0.2.
fn trees() -> serde_json::Value {
    serde_json::from_str(include_str!("../data/trees.json")).unwrap()
}

#[test]
fn alignments_cost_what_they_cost_elsewhere() {
    // Fitness and perfect cases as pm4py and rust4pm compute them on the same models.
    for (file, fitness, perfect, cost, precise) in [
        ("pm4py/running-example.xes", 1.0, 1.0, 0, 0.753_086),
        ("raw/Helpdesk.xes.gz", 0.978_753, 0.857_860, 751, 0.699_632),
        (
            "pm4py/08_receipt.xes.gz",
            0.815_495,
            0.497_211,
            2465,
            0.252_082,
        ),
        ("raw/SEPSIS.xes.gz", 0.934_032, 0.666_667, 467, 0.400_295),
        (
            "raw/BPI_Challenge_2013_closed_problems.xes.gz",
            0.991_512,
            0.944_855,
            102,
            0.819_673,
        ),
    ] {
        let Some(import) = logs::log(file) else {
            return;
        };
        let log = &import.log;
        let variants = Variants::of(log);
        let tree: ProcessTree = trees()[file]["imf"].as_str().unwrap().parse().unwrap();
        let net = PetriNet::of(&tree);
        let aligned = align(log, &variants, &net).unwrap();
        assert!(
            (aligned.fitness - fitness).abs() < 1e-6,
            "{file}: {}",
            aligned.fitness
        );
        assert!(
            (aligned.perfect - perfect).abs() < 1e-6,
            "{file}: {}",
            aligned.perfect
        );
        assert_eq!((aligned.total_cost, aligned.given_up), (cost, 0), "{file}");
        let found = precision(log, &variants, &net).unwrap();
        assert!((found - precise).abs() < 1e-6, "{file}: {found}");
    }
}

#[test]
fn models_of_public_logs_are_as_good_as_those_discovered_elsewhere() {
    for (file, fitness_least) in [
        ("pm4py/running-example.xes", 0.99),
        ("raw/Helpdesk.xes.gz", 0.978),
        ("pm4py/08_receipt.xes.gz", 0.935),
        ("raw/SEPSIS.xes.gz", 0.977),
        ("raw/BPI_Challenge_2013_closed_problems.xes.gz", 0.985),
    ] {
        let Some(import) = logs::log(file) else {
            return;
        };
        let log = &import.log;
        let variants = Variants::of(log);
        let tree = discover_tree(log, 0.2).unwrap();
        let net = PetriNet::of(&tree);
        let replayed = replay(log, &variants, &net);
        assert!(
            fitness_least <= replayed.log_fitness,
            "{file}: {replayed:?}"
        );
        let theirs: ProcessTree = trees()[file]["imf"].as_str().unwrap().parse().unwrap();
        let figures = |net: &PetriNet| {
            let fitness = align(log, &variants, net).unwrap().fitness;
            (fitness, precision(log, &variants, net).unwrap())
        };
        let (ours, theirs) = (figures(&net), figures(&PetriNet::of(&theirs)));
        let least = (theirs.0 - 0.01, theirs.1 - 0.01);
        let good = least.0 <= ours.0 && least.1 <= ours.1;
        assert!(good, "{file}: {ours:?} beside {theirs:?} by {tree}");
    }
}

#[test]
fn public_logs_fit_the_models_that_are_discovered_without_noise() {
    for file in [
        "pm4py/running-example.xes",
        "raw/Helpdesk.xes.gz",
        "pm4py/08_receipt.xes.gz",
        "raw/SEPSIS.xes.gz",
        "other/traffic_fines_10k.csv.gz",
        "pm4py/02_teleclaims.xes.gz",
        "raw/BPI_Challenge_2013_closed_problems.xes.gz",
    ] {
        let Some(import) = logs::log(file) else {
            return;
        };
        let log = &import.log;
        let variants = Variants::of(log);
        let tree = discover_tree(log, 0.0).unwrap();
        let replayed = replay(log, &variants, &PetriNet::of(&tree));
        assert!(
            (replayed.perfect - 1.0).abs() < 1e-9,
            "{file}: {replayed:?}"
        );
        if file.contains("running-example") {
            let theirs: ProcessTree = trees()[file]["im"].as_str().unwrap().parse().unwrap();
            assert_eq!(tree.canonical(), theirs.canonical());
        }
    }
}
