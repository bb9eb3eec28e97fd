//! The operations of ours.

use auterity_ml::Error;
use auterity_ml::mining::{
    Alignments, Attributes, DirectlyFollows, EdgeTime, EventLog, Import, MapOptions, PetriNet,
    ProcessTree, ReadOptions, Replay, Times, Variants, align, case_durations, discover_tree,
    handovers, precision, process_map, read_file, replay, rework,
};

use crate::generate::Files;
use crate::{Failure, Table};

/// Measures one round, and gives the net that was discovered, as PNML.
pub(crate) fn measure(files: &Files, table: &mut Table) -> Result<Vec<u8>, Failure> {
    let log = reading(files, table)?;
    let (graph, variants) = analysis(&log, table);
    let net = models(&log, &variants, table)?;
    table.ours(
        "process map",
        |svg: &String| format!("{} bytes", svg.len()),
        || process_map(&log, &graph, MapOptions::default()),
    );
    let mut pnml = Vec::new();
    net.write_pnml(&mut pnml)?;
    Ok(pnml)
}

fn reading(files: &Files, table: &mut Table) -> Result<EventLog, Failure> {
    let options = ReadOptions {
        attributes: Attributes::None,
        ..ReadOptions::default()
    };
    let read = |import: &Result<Import, _>| match import {
        Ok(import) => format!("{} cases", import.log.cases()),
        Err(_) => String::new(),
    };
    let import = table.ours("read CSV", read, || read_file(&files.csv, &options))?;
    drop(import);
    let import = table.ours("read XES", read, || read_file(&files.xes, &options))?;
    Ok(import.log)
}

fn analysis(log: &EventLog, table: &mut Table) -> (DirectlyFollows, Variants) {
    table.ours(
        "directly follows, counts",
        |edges: &Vec<(u32, u32, u64)>| format!("{} edges", edges.len()),
        || DirectlyFollows::frequencies(log),
    );
    let graph = table.ours(
        "directly follows, counts and cases",
        |graph: &DirectlyFollows| format!("{} edges", graph.edges.len()),
        || DirectlyFollows::of(log),
    );
    table.ours(
        "directly follows, all times",
        |times: &Vec<Times>| format!("{} edges", times.len()),
        || graph.times(log, EdgeTime::Waiting, None),
    );
    let variants = table.ours(
        "variants",
        |variants: &Variants| format!("{} variants", variants.list().len()),
        || Variants::of(log),
    );
    table.ours(
        "case durations, rework, handover",
        |(_, _, handovers): &(usize, usize, usize)| format!("{handovers} pairs"),
        || {
            let durations = case_durations(log, None).len();
            (durations, rework(log).len(), handovers(log).len())
        },
    );
    (graph, variants)
}

fn models(log: &EventLog, variants: &Variants, table: &mut Table) -> Result<PetriNet, Failure> {
    let tree = table.ours(
        "inductive miner, noise 0.2",
        |_: &Result<ProcessTree, Error>| String::new(),
        || discover_tree(log, 0.2),
    )?;
    let net = PetriNet::of(&tree);
    table.ours(
        "token replay",
        |replayed: &Replay| format!("fitness {:.4}", replayed.log_fitness),
        || replay(log, variants, &net),
    );
    let aligned = table.ours(
        "alignments",
        |aligned: &Result<Alignments, Error>| {
            aligned.as_ref().map_or_else(ToString::to_string, |it| {
                format!(
                    "fitness {:.4}, cost {}, {} given up",
                    it.fitness, it.total_cost, it.given_up
                )
            })
        },
        || align(log, variants, &net),
    );
    aligned?;
    let precise = table.ours(
        "precision",
        |found: &Result<f64, Error>| {
            found
                .as_ref()
                .map_or_else(ToString::to_string, |it| format!("{it:.4}"))
        },
        || precision(log, variants, &net),
    );
    precise?;
    Ok(net)
}
