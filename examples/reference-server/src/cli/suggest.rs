//! `auterity suggest`: what comes next and how long it takes, learnt from event logs.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use auterity_ml::mining::{Attributes, EventLog, ReadOptions, read_file};
use auterity_ml::suggest::{Evaluation, Predictor, evaluate};
use serde_json::json;

use super::print;
use crate::config::Suggest;
use crate::failure::Failure;

pub(super) fn suggest(action: &Suggest, as_json: bool) -> Result<ExitCode, Failure> {
    match action {
        Suggest::Train { files, model } => train(files, model, as_json),
        Suggest::Evaluate { train, test } => compare(train, test, as_json),
    }
}

fn train(files: &[PathBuf], model: &Path, as_json: bool) -> Result<ExitCode, Failure> {
    let predictor = learn(files)?;
    let place = model.display();
    let file = File::create(model)
        .map_err(|error| Failure::work(format!("{place} cannot be written: {error}")))?;
    predictor
        .write(BufWriter::new(file))
        .map_err(|error| Failure::work(format!("{place}: {error}")))?;
    let (next, remaining) = predictor.orders();
    if as_json {
        let told =
            json!({ "cases": predictor.cases(), "next_order": next, "remaining_order": remaining });
        return print(&told.to_string());
    }
    print(&format!(
        "{} cases learnt; looks at {next} activities for the next one, at {remaining} for the remaining time",
        predictor.cases()
    ))
}

fn compare(train: &[PathBuf], test: &Path, as_json: bool) -> Result<ExitCode, Failure> {
    let predictor = learn(train)?;
    let evaluation = evaluate(&predictor, &log(test)?);
    if as_json {
        let text = serde_json::to_string_pretty(&evaluation);
        return print(&text.map_err(|error| Failure::work(error.to_string()))?);
    }
    print(&in_words(&evaluation))
}

fn in_words(it: &Evaluation) -> String {
    let (next, remaining) = (&it.next_activity, &it.remaining_time);
    format!(
        "{} cases predicted from {} that were learnt\n\
         next activity: {:.3} right of {} (the end is no answer), {:.3} of {} with the end\n\
         remaining time: {:.2} days off in the mean from two events on, {:.2} from one on\n\
         bands: p80 held {:.1} % of the time, p95 {:.1} %",
        it.cases,
        it.trained_cases,
        next.without_end,
        next.without_end_predictions,
        next.with_end,
        next.with_end_predictions,
        remaining.mae_days_from_2,
        remaining.mae_days_from_1,
        remaining.coverage_p80 * 100.0,
        remaining.coverage_p95 * 100.0
    )
}

fn learn(files: &[PathBuf]) -> Result<Predictor, Failure> {
    let logs: Result<Vec<EventLog>, Failure> = files.iter().map(|file| log(file)).collect();
    let logs = logs?;
    let logs: Vec<&EventLog> = logs.iter().collect();
    Predictor::train(&logs).map_err(|error| Failure::work(error.to_string()))
}

fn log(path: &Path) -> Result<EventLog, Failure> {
    let options = ReadOptions {
        attributes: Attributes::None,
        ..ReadOptions::default()
    };
    let import = read_file(path, &options)
        .map_err(|error| Failure::work(format!("{}: {error}", path.display())))?;
    Ok(import.log)
}
