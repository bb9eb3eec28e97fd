//! The same operations of the crate `process_mining` (rust4pm), as far as it has them.

use process_mining::conformance::case_centric::alignments::{AlignmentOptions, align_variants};
use process_mining::core::event_data::case_centric::utils::activity_projection::EventLogActivityProjection;
use process_mining::core::event_data::case_centric::xes::{XESImportOptions, import_xes_path};
use process_mining::discovery::case_centric::dfg::discover_dfg;
use process_mining::{Importable, PetriNet};

use crate::generate::Files;
use crate::{Failure, Table};

/// Measures one round.
pub(crate) fn measure(files: &Files, net: &[u8], table: &mut Table) -> Result<(), Failure> {
    let log = table.peer("read XES", || {
        import_xes_path(&files.xes, XESImportOptions::default())
    });
    let log = log.map_err(|error| format!("the peer cannot read the log: {error:?}"))?;
    table.peer("directly follows, counts", || discover_dfg(&log));
    let projection = table.peer("variants", || EventLogActivityProjection::from(&log));
    let net = PetriNet::import_from_reader(net, "pnml")
        .map_err(|error| format!("the peer cannot read the net: {error:?}"))?;
    let options = AlignmentOptions::default();
    table.peer("alignments", || align_variants(&net, &projection, &options));
    Ok(())
}
