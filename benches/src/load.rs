//! The load: a closed loop that keeps a number of executions in flight.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Failure;

/// How long one measurement takes.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Work before the clock counts.
    pub warm: Duration,
    /// Work that counts.
    pub measured: Duration,
}

/// What one measurement gave.
#[derive(Debug, Clone)]
pub struct Load {
    /// All that was completed, before and after the measured time included.
    pub total: u64,
    /// Completed per second within the measured time.
    pub per_second: f64,
    /// Half of them took at most this long.
    pub p50: Duration,
    /// All but one in a hundred took at most this long.
    pub p99: Duration,
}

impl Load {
    /// Gives the load in smaller units, of which each piece of work was so many.
    #[must_use]
    pub fn in_units_of(self, pieces: u32) -> Self {
        Self {
            total: self.total * u64::from(pieces),
            per_second: self.per_second * f64::from(pieces),
            p50: self.p50 / pieces,
            p99: self.p99 / pieces,
        }
    }
}

/// Works with a number of workers, each beginning anew as soon as it is done.
pub async fn closed_loop<W, F>(in_flight: usize, window: Window, work: W) -> Result<Load, Failure>
where
    W: Fn(u64) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), Failure>> + Send,
{
    let next = Arc::new(AtomicU64::new(0));
    let counted_from = Instant::now() + window.warm;
    let until = counted_from + window.measured;
    let mut workers = JoinSet::new();
    for _ in 0..in_flight {
        let (next, work) = (Arc::clone(&next), work.clone());
        workers.spawn(async move {
            let mut took = Vec::new();
            let (mut total, mut counted) = (0_u64, 0_u64);
            loop {
                let began = Instant::now();
                if until <= began {
                    return Ok::<_, Failure>((total, counted, took));
                }
                work(next.fetch_add(1, Ordering::Relaxed)).await?;
                let ended = Instant::now();
                total += 1;
                if counted_from <= ended {
                    took.push(ended - began);
                    counted += u64::from(ended < until);
                }
            }
        });
    }
    let (mut total, mut counted, mut took) = (0, 0, Vec::new());
    while let Some(worker) = workers.join_next().await {
        let (all, within, times) = worker??;
        total += all;
        counted += within;
        took.extend(times);
    }
    took.sort_unstable();
    let nothing = "nothing was completed in the measured time; give --seconds a larger value";
    let at = |hundredth: usize| {
        let place = (took.len() * hundredth / 100).min(took.len().saturating_sub(1));
        took.get(place).copied().ok_or(nothing)
    };
    Ok(Load {
        total,
        per_second: rate(counted, window.measured),
        p50: at(50)?,
        p99: at(99)?,
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
