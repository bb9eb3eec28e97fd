//! A log of a loan-like process, from a fixed seed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use auterity_ml::mining::{ReadOptions, read_file, rfc3339, write_csv, write_xes};

use crate::Failure;

const SEED: u64 = 20_261_125;
/// The beginning of 2024 in microseconds.
const BEGIN: i64 = 1_704_067_200_000_000;
const MINUTE: u64 = 60_000_000;

/// Each activity with what may follow, in percent; the rest of a hundred ends the case.
const PROCESS: [(&str, &[(usize, u64)]); 16] = [
    ("Register", &[(1, 90), (2, 10)]),
    ("Check form", &[(2, 70), (3, 20), (4, 10)]),
    ("Check income", &[(4, 60), (5, 30), (3, 10)]),
    ("Ask customer", &[(1, 50), (2, 40), (14, 5)]),
    ("Check credit", &[(5, 40), (6, 50), (3, 5), (2, 5)]),
    ("Assess risk", &[(6, 50), (7, 45), (4, 5)]),
    ("Assess collateral", &[(7, 80), (5, 10), (3, 10)]),
    ("Decide", &[(8, 55), (9, 25), (10, 15), (3, 5)]),
    ("Make offer", &[(11, 85), (12, 15)]),
    ("Reject", &[(13, 80), (10, 10)]),
    ("Escalate", &[(7, 90), (9, 10)]),
    ("Call customer", &[(12, 45), (11, 30), (14, 15), (8, 10)]),
    ("Sign contract", &[(15, 85), (8, 5), (14, 10)]),
    ("Notify", &[]),
    ("Cancel", &[(13, 60)]),
    ("Pay out", &[(13, 70)]),
];

/// One log in two forms.
pub(crate) struct Files {
    pub(crate) csv: PathBuf,
    pub(crate) xes: PathBuf,
    pub(crate) events: usize,
}

impl Files {
    /// Generates a log with that many events.
    pub(crate) fn generated(events: usize, folder: &Path) -> Result<Self, Failure> {
        let csv = folder.join("log.csv");
        write(events, &csv)?;
        let log = read_file(&csv, &ReadOptions::default())?.log;
        let xes = folder.join("log.xes");
        write_xes(&log, File::create(&xes)?)?;
        Ok(Self { csv, xes, events })
    }

    /// Takes a log that is there.
    pub(crate) fn of_log(path: &Path, folder: &Path) -> Result<Self, Failure> {
        let log = read_file(path, &ReadOptions::default())?.log;
        let (csv, xes) = (folder.join("log.csv"), folder.join("log.xes"));
        write_csv(&log, File::create(&csv)?)?;
        write_xes(&log, File::create(&xes)?)?;
        Ok(Self {
            csv,
            xes,
            events: log.events(),
        })
    }
}

/// A generator of numbers that is the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn write(events: usize, path: &Path) -> Result<(), Failure> {
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(
        out,
        "case:concept:name,concept:name,start_timestamp,time:timestamp,org:resource"
    )?;
    let mut random = Random(SEED);
    let (mut written, mut case, mut arrival) = (0, 0, BEGIN);
    while written < events {
        case += 1;
        arrival += i64::try_from(random.below(10 * MINUTE))?;
        let mut time = arrival;
        let mut next = Some(0);
        while let Some(activity) = next.filter(|_| written < events) {
            let (name, follows) = PROCESS[activity];
            let start = time;
            // Whole milliseconds, as most systems write them.
            time += i64::try_from(random.below(40 * MINUTE) / 1000 * 1000)?;
            let resource = random.below(40);
            let (from, to) = (rfc3339(start / 1000 * 1000), rfc3339(time / 1000 * 1000));
            writeln!(
                out,
                "application-{case},{name},{from},{to},employee {resource}"
            )?;
            written += 1;
            time += i64::try_from(random.below(20 * 60 * MINUTE))?;
            let mut dice = random.below(100);
            next = follows.iter().find_map(|&(follower, percent)| {
                if dice < percent {
                    return Some(follower);
                }
                dice -= percent;
                None
            });
        }
    }
    out.flush()?;
    Ok(())
}
