//! How much memory the process has.

use crate::Failure;

const PAGE_BYTES: f64 = 4_096.0;
const MIB_BYTES: f64 = 1_048_576.0;

/// Gives the resident memory in MiB, as Linux counts it.
///
/// # Errors
/// When the system does not tell.
pub fn resident() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split_whitespace().nth(1).ok_or("statm has no pages")?;
    Ok(pages.parse::<f64>()? * PAGE_BYTES / MIB_BYTES)
}
