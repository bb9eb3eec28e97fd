//! Counts what the evaluation on this thread uses.
//!
//! jq values are made, copied and compared deep inside the interpreter, where no
//! context can be passed; hence the counters belong to the thread. Once a limit
//! is reached the meter stays *spent*: operations on values fail, iterators end,
//! and the next guard in the program halts, which no `try` can catch. The end of
//! the evaluation asks [`spent`] and reports the limit whatever came out.

use std::cell::Cell;
use std::hint::black_box;
use std::ptr;

use jiff::Timestamp;

use super::budget::{Budget, Limit};

/// How much of the thread's stack nested calls may use; threads of tokio have
/// 2 MiB, of which the caller may have used some.
const STACK_BYTES_MAX: usize = 960 * 1024;
/// How many calls of recursive definitions with function parameters there may
/// be: each one may add a closure to a chain that is freed recursively.
const NESTED_CLOSURES_MAX: u32 = 1_000;
/// How deeply values may be nested whatever the budget says, since much recurses
/// into them.
const DEPTH_MAX: usize = 256;
/// What a call counts as.
const OPERATIONS_PER_CALL: u64 = 4;
/// How many bytes are handled for one operation.
pub(super) const BYTES_PER_OPERATION: u64 = 64;

struct Meter {
    sessions: Cell<u32>,
    spent: Cell<Option<Limit>>,
    operations: Cell<u64>,
    memory: Cell<u64>,
    output: Cell<u64>,
    closures: Cell<u32>,
    memory_max: Cell<u64>,
    depth_max: Cell<usize>,
    stack_base: Cell<usize>,
    now: Cell<Timestamp>,
    /// Operations of all evaluations on this thread that have ended.
    total: Cell<u64>,
    given: Cell<u64>,
}

thread_local! {
    static METER: Meter = const {
        Meter {
            sessions: Cell::new(0),
            spent: Cell::new(None),
            operations: Cell::new(0),
            memory: Cell::new(0),
            output: Cell::new(0),
            closures: Cell::new(0),
            memory_max: Cell::new(0),
            depth_max: Cell::new(0),
            stack_base: Cell::new(0),
            now: Cell::new(Timestamp::UNIX_EPOCH),
            total: Cell::new(0),
            given: Cell::new(0),
        }
    };
}

/// Meters the evaluations on this thread until it is dropped; a session inside
/// another one, as of an expression in a template, shares the outer one's budget.
#[derive(Debug)]
pub(super) struct Session(());

impl Session {
    pub(super) fn begin(budget: &Budget, now: Timestamp) -> Self {
        METER.with(|meter| {
            let outer = meter.sessions.get();
            meter.sessions.set(outer + 1);
            if outer == 0 {
                let memory = u64::try_from(budget.memory_bytes_max).unwrap_or(u64::MAX);
                let output = u64::try_from(budget.output_bytes_max).unwrap_or(u64::MAX);
                meter.spent.set(None);
                meter.operations.set(budget.operations_max);
                meter.given.set(budget.operations_max);
                meter.memory.set(memory);
                meter.memory_max.set(memory);
                meter.output.set(output);
                meter.closures.set(NESTED_CLOSURES_MAX);
                meter.depth_max.set(budget.depth_max.min(DEPTH_MAX));
                meter.stack_base.set(stack_position());
                meter.now.set(now);
                super::natives::forget();
            }
        });
        Self(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        METER.with(|meter| {
            let outer = meter.sessions.get().saturating_sub(1);
            meter.sessions.set(outer);
            if outer == 0 {
                let used = meter.given.get().saturating_sub(meter.operations.get());
                meter.total.set(meter.total.get().saturating_add(used));
            }
        });
    }
}

/// Gives how many operations the evaluations on this thread have done so far: the
/// difference between two looks is what came between them.
pub(crate) fn operations_done() -> u64 {
    METER.with(|meter| meter.total.get())
}

/// Tells which limit was reached, if any.
pub(super) fn spent() -> Option<Limit> {
    METER.with(|meter| meter.spent.get())
}

/// Marks a limit as reached; the first one stays.
pub(super) fn spend(limit: Limit) {
    METER.with(|meter| {
        if meter.spent.get().is_none() {
            meter.spent.set(Some(limit));
        }
    });
}

/// Counts operations.
pub(super) fn work(operations: u64) {
    METER.with(
        |meter| match meter.operations.get().checked_sub(operations) {
            Some(left) => meter.operations.set(left),
            None => {
                meter.operations.set(0);
                spend(Limit::Operations);
            }
        },
    );
}

/// Counts handling so many bytes, as operations.
pub(super) fn handle(bytes: usize) {
    work(1 + to_u64(bytes) / BYTES_PER_OPERATION);
}

/// Counts allocated bytes; false means that they must not be allocated.
pub(super) fn allocate(bytes: usize) -> bool {
    METER.with(
        |meter| match meter.memory.get().checked_sub(to_u64(bytes)) {
            Some(left) => {
                meter.memory.set(left);
                meter.spent.get().is_none()
            }
            None => {
                spend(Limit::Memory);
                false
            }
        },
    )
}

/// Counts bytes of the result; false means that it is too large.
pub(super) fn output(bytes: usize) -> bool {
    METER.with(
        |meter| match meter.output.get().checked_sub(to_u64(bytes)) {
            Some(left) => {
                meter.output.set(left);
                true
            }
            None => {
                spend(Limit::Output);
                false
            }
        },
    )
}

/// Checks the size that a value has as text, and how deeply it is nested.
pub(super) fn admit(weight: u64, depth: usize) {
    METER.with(|meter| {
        if meter.memory_max.get() < weight {
            spend(Limit::Memory);
        }
        if meter.depth_max.get() < depth {
            spend(Limit::Depth);
        }
    });
}

/// Counts a call; false means that the evaluation must halt.
pub(super) fn call() -> bool {
    work(OPERATIONS_PER_CALL);
    METER.with(|meter| {
        if STACK_BYTES_MAX < meter.stack_base.get().abs_diff(stack_position()) {
            spend(Limit::Depth);
        }
        meter.spent.get().is_none()
    })
}

/// Counts a call that may have made a chain of closures longer.
pub(super) fn call_with_closure() -> bool {
    METER.with(|meter| match meter.closures.get().checked_sub(1) {
        Some(left) => meter.closures.set(left),
        None => spend(Limit::Depth),
    });
    call()
}

/// Gives the time at which the evaluation takes place.
pub(super) fn now() -> Timestamp {
    METER.with(|meter| meter.now.get())
}

/// Gives about where the stack pointer is.
#[inline(never)]
fn stack_position() -> usize {
    let marker = 0_u8;
    ptr::from_ref(black_box(&marker)).addr()
}

fn to_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
