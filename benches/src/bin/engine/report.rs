//! The table, the ratios and their JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::Sample;
use crate::conditions::Condition;
use crate::plan::{Cell, Store, Subject};

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    /// Under which conditions.
    pub(crate) conditions: Vec<Condition>,
    /// How often each cell was measured.
    pub(crate) rounds: usize,
    /// For how long each time.
    pub(crate) seconds: f64,
    /// The rows.
    pub(crate) cells: Vec<Cell>,
}

/// A ratio that the engine should keep.
struct Ratio {
    title: String,
    value: f64,
    /// Whether the bound is the least and not the most.
    at_least: bool,
    bound: f64,
}

impl Ratio {
    fn is_met(&self) -> bool {
        if self.at_least {
            self.bound <= self.value
        } else {
            self.value <= self.bound
        }
    }
}

impl Report {
    /// Writes the report for people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for condition in &self.conditions {
            line(
                &mut text,
                &format!("{:<18} {}", condition.name, condition.value),
            );
        }
        let method = format!(
            "median of {} rounds, {} s each, interleaved",
            self.rounds, self.seconds
        );
        line(&mut text, &format!("{:<18} {method}\n", "method"));
        let mut rows = vec![
            [
                "database",
                "in flight",
                "subject",
                "per second",
                "p50 ms",
                "p99 ms",
                "transactions each",
                "of G",
            ]
            .map(str::to_owned),
        ];
        rows.extend(self.cells.iter().map(|cell| self.row(cell)));
        text.push_str(&aligned(&rows));
        let ratios = self.ratios();
        if !ratios.is_empty() {
            text.push('\n');
            let rows = ratios.iter().map(|ratio| {
                let sign = if ratio.at_least {
                    "at least"
                } else {
                    "at most"
                };
                let word = if ratio.is_met() { "met" } else { "missed" };
                [
                    ratio.title.clone(),
                    format!("{:.2}", ratio.value),
                    format!("{sign} {}", ratio.bound),
                    word.to_owned(),
                ]
            });
            let head = ["ratio", "measured", "target", ""].map(str::to_owned);
            text.push_str(&aligned(
                &std::iter::once(head).chain(rows).collect::<Vec<_>>(),
            ));
        }
        text
    }

    /// Gives the report for programs, each round's figures included.
    pub(crate) fn json(&self) -> Value {
        let cells = self.cells.iter().map(|cell| {
            let rounds = cell.samples.iter().map(|sample| {
                json!({
                    "per_second": sample.load.per_second,
                    "p50_ms": p50(sample),
                    "p99_ms": p99(sample),
                    "transactions_each": sample.transactions,
                    "total": sample.load.total,
                })
            });
            json!({
                "database": cell.store,
                "subject": cell.subject,
                "in_flight": cell.in_flight,
                "per_second": cell.median(per_second),
                "p50_ms": cell.median(p50),
                "p99_ms": cell.median(p99),
                "transactions_each": cell.median(|sample| sample.transactions),
                "rounds": rounds.collect::<Vec<_>>(),
            })
        });
        let ratios = self.ratios();
        let ratios = ratios.iter().map(|ratio| {
            json!({
                "title": ratio.title, "value": ratio.value, "bound": ratio.bound,
                "at_least": ratio.at_least, "met": ratio.is_met(),
            })
        });
        json!({
            "conditions": self.conditions,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "cells": cells.collect::<Vec<_>>(),
            "ratios": ratios.collect::<Vec<_>>(),
        })
    }

    fn row(&self, cell: &Cell) -> [String; 8] {
        let show = |figure: Option<f64>, digits: usize| {
            figure.map_or_else(String::new, |figure| format!("{figure:.digits$}"))
        };
        let ceiling = self.find(cell.store, Subject::Ceiling, cell.in_flight);
        let of_ceiling = match cell.subject {
            Subject::Raw => None,
            _ => ceiling.and_then(|ceiling| divided(cell, ceiling, per_second)),
        };
        [
            cell.store.title().to_owned(),
            cell.in_flight.to_string(),
            cell.subject.title().to_owned(),
            show(cell.median(per_second), 0),
            show(cell.median(p50), 2),
            show(cell.median(p99), 2),
            show(cell.median(|sample| sample.transactions), 2),
            show(of_ceiling, 2),
        ]
    }

    fn ratios(&self) -> Vec<Ratio> {
        let mut ratios = Vec::new();
        let mut add = |title: &str, value: Option<f64>, at_least, bound| {
            if let Some(value) = value {
                ratios.push(Ratio {
                    title: title.to_owned(),
                    value,
                    at_least,
                    bound,
                });
            }
        };
        let at = |store, subject| self.find(store, subject, 64);
        if let Some(engine) = at(Store::Postgres, Subject::Engine) {
            if let Some(peer) = at(Store::Postgres, Subject::Dbos) {
                add(
                    "PostgreSQL, 64: rate of dbos",
                    divided(engine, peer, per_second),
                    true,
                    5.0,
                );
                add(
                    "PostgreSQL, 64: p50 of dbos",
                    divided(engine, peer, p50),
                    false,
                    0.25,
                );
            }
            if let Some(ceiling) = at(Store::Postgres, Subject::Ceiling) {
                add(
                    "PostgreSQL, 64: rate of G",
                    divided(engine, ceiling, per_second),
                    true,
                    0.35,
                );
            }
            let transactions = engine.median(|sample| sample.transactions);
            add(
                "PostgreSQL, 64: transactions per execution",
                transactions,
                false,
                0.7,
            );
        }
        if let (Some(engine), Some(ceiling)) = (
            at(Store::Sqlite, Subject::Engine),
            at(Store::Sqlite, Subject::Ceiling),
        ) {
            add(
                "SQLite FULL, 64: rate of G",
                divided(engine, ceiling, per_second),
                true,
                0.3,
            );
        }
        ratios
    }

    fn find(&self, store: Store, subject: Subject, in_flight: usize) -> Option<&Cell> {
        self.cells.iter().find(|cell| {
            cell.store == store && cell.subject == subject && cell.in_flight == in_flight
        })
    }
}

fn divided(one: &Cell, other: &Cell, figure: fn(&Sample) -> f64) -> Option<f64> {
    Some(one.median(figure)? / other.median(figure)?)
}

fn per_second(sample: &Sample) -> f64 {
    sample.load.per_second
}

fn p50(sample: &Sample) -> f64 {
    1_000.0 * sample.load.p50.as_secs_f64()
}

fn p99(sample: &Sample) -> f64 {
    1_000.0 * sample.load.p99.as_secs_f64()
}

/// Aligns columns: words to the left, numbers to the right.
fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut text = String::new();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let is_number = |column: usize| {
        rows.iter()
            .skip(1)
            .all(|row| row[column].is_empty() || row[column].parse::<f64>().is_ok())
    };
    let numbers: Vec<bool> = (0..COLUMNS).map(is_number).collect();
    for row in rows {
        let mut shown = String::new();
        for (column, cell) in row.iter().enumerate() {
            let (width, gap) = (widths[column], if column == 0 { "" } else { "  " });
            let padded = if numbers[column] {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            };
            shown.push_str(gap);
            shown.push_str(&padded);
        }
        line(&mut text, shown.trim_end());
    }
    text
}

fn line(text: &mut String, shown: &str) {
    writeln!(text, "{shown}").expect("text takes whatever is written");
}
