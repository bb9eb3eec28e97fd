//! The test kit on itself, and the engine under it.

mod durability;
mod simulation;
mod workbench;
