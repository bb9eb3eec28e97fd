//! `auterity mine`: what an event log tells.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use auterity_ml::mining::{
    Attributes, DirectlyFollows, EventLog, Import, MapOptions, Mapping, ReadOptions, Summary,
    SummaryOptions, process_map, read,
};

use super::print;
use crate::config::Mine;
use crate::failure::Failure;

/// How much is read between two lines of progress.
const PROGRESS_BYTES: u64 = 32 << 20;

pub(super) fn mine(options: &Mine, as_json: bool) -> Result<ExitCode, Failure> {
    if !(0.0..=1.0).contains(&options.noise) {
        let message = format!("--noise is a part from 0 to 1, and not {}", options.noise);
        return Err(Failure::usage(message));
    }
    let Import { log, report } = import(options)?;
    if let Some(path) = &options.svg {
        draw(&log, path)?;
    }
    let summary_options = SummaryOptions {
        top: options.top,
        noise: options.noise,
    };
    let summary = Summary::of(&log, report, summary_options);
    if as_json {
        let text = serde_json::to_string_pretty(&summary);
        return print(&text.map_err(|error| Failure::work(error.to_string()))?);
    }
    print(summary.to_string().trim_end())
}

fn import(options: &Mine) -> Result<Import, Failure> {
    let place = options.file.display();
    let file = File::open(&options.file)
        .map_err(|error| Failure::work(format!("{place} cannot be read: {error}")))?;
    let length = file.metadata().map_or(0, |it| it.len());
    let told = std::io::stderr().is_terminal() && PROGRESS_BYTES < length;
    let source = Watched {
        file,
        length,
        done: 0,
        told,
    };
    let read_options = ReadOptions {
        columns: Mapping {
            case: options.case.clone(),
            activity: options.activity.clone(),
            end: options.end.clone(),
            start: options.start.clone(),
            resource: options.resource.clone(),
        },
        zone: options.zone.clone(),
        day_first: options.day_first,
        attributes: Attributes::None,
        ..ReadOptions::default()
    };
    read(source, &read_options).map_err(|error| {
        let message = format!("{place}: {error}");
        match error.kind() {
            auterity_ml::ErrorKind::Invalid => Failure::usage(message),
            _ => Failure::work(message),
        }
    })
}

fn draw(log: &EventLog, path: &Path) -> Result<(), Failure> {
    let svg = process_map(log, &DirectlyFollows::of(log), MapOptions::default());
    std::fs::write(path, svg)
        .map_err(|error| Failure::work(format!("{} cannot be written: {error}", path.display())))
}

/// A file that says on a terminal how much of it has been read.
struct Watched {
    file: File,
    length: u64,
    done: u64,
    told: bool,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.file.read(buffer)?;
        let before = self.done / PROGRESS_BYTES;
        self.done += got as u64;
        if self.told && (got == 0 || before < self.done / PROGRESS_BYTES) {
            let percent = self.done * 100 / self.length.max(1);
            // A terminal that went away is no reason to stop.
            let end = if got == 0 { "\r          \r" } else { "" };
            let _written = write!(std::io::stderr(), "\rread {percent:3} %{end}");
        }
        Ok(got)
    }
}
