//! Public event logs, with what others count in them.
//!
//! `AUTERITY_EVENT_LOGS_DIR` names their folder; without it these tests say that they are
//! skipped.

use std::path::PathBuf;

use auterity_ml::mining::{Attributes, Import, ReadOptions, read_file};

/// The path of a public log.
pub(crate) fn path(file: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("AUTERITY_EVENT_LOGS_DIR") else {
        eprintln!("SKIPPED: AUTERITY_EVENT_LOGS_DIR does not name the folder of event logs");
        return None;
    };
    Some(PathBuf::from(folder).join(file))
}

/// Reads a public log without its attributes.
pub(crate) fn log(file: &str) -> Option<Import> {
    let options = ReadOptions {
        attributes: Attributes::None,
        ..ReadOptions::default()
    };
    path(file).map(|path| read_file(path, &options).unwrap())
}

#[test]
fn counts_are_those_that_are_published() {
    for (file, cases, events, activities) in [
        ("raw/BPI_Challenge_2012.xes.gz", 13_087, 262_200, 24),
        (
            "raw/BPI_Challenge_2013_closed_problems.xes.gz",
            1_487,
            6_660,
            7,
        ),
        ("raw/Helpdesk.xes.gz", 4_580, 21_348, 14),
        ("raw/SEPSIS.xes.gz", 1_050, 15_214, 16),
        ("pm4py/08_receipt.xes.gz", 1_434, 8_577, 27),
        ("other/traffic_fines_10k.csv.gz", 10_000, 34_724, 11),
        ("other/hospital_billing_10k.csv.gz", 9_999, 49_950, 16),
        (
            "pm4py/15_bpic2020_permit_log_1t_per_variant.xes.gz",
            1_478,
            26_028,
            51,
        ),
        ("pm4py/14_Billing_1t_per_variant.xes.gz", 1_020, 12_506, 18),
        ("pm4py/02_teleclaims.xes.gz", 3_512, 46_138, 11),
        ("pm4py/running-example.xes", 6, 42, 8),
        ("pm4py/running-example.csv", 6, 42, 8),
        ("pm4py/interval_event_log.csv", 1_266, 8_109, 8),
        ("other/PurchasingExample.csv.gz", 608, 9_119, 21),
        ("other/LoanApp_simplified_train.csv.gz", 1_000, 7_544, 12),
    ] {
        let Some(import) = log(file) else { return };
        let log = &import.log;
        let found = (log.cases(), log.events(), log.activities().len());
        assert_eq!(found, (cases, events, activities), "{file}");
        assert_eq!(
            import.report.rows,
            import.report.events + import.report.bad_rows(),
            "{file}"
        );
        // One row of the billing log has no case.
        let bad = u64::from(file.contains("billing"));
        assert_eq!(
            import.report.bad_rows(),
            bad,
            "{file}: {:?}",
            import.report.bad
        );
    }
}
