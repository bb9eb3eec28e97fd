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

/// What is compared.
#[derive(Debug, Clone, Copy)]
enum Figure {
    Rate,
    P50,
    P99,
    Transactions,
}

impl Figure {
    fn of(self) -> fn(&Sample) -> f64 {
        match self {
            Self::Rate => per_second,
            Self::P50 => p50,
            Self::P99 => p99,
            Self::Transactions => |sample| sample.transactions,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Transactions => "transactions per execution",
        }
    }
}

/// What the engine should reach: a figure of one subject, over that of another one.
#[derive(Debug)]
struct Target {
    store: Store,
    in_flight: usize,
    subject: Subject,
    figure: Figure,
    beside: Option<Subject>,
    at_least: bool,
    bound: f64,
}

impl Target {
    const fn least(store: Store, in_flight: usize, beside: Subject, bound: f64) -> Self {
        Self {
            store,
            in_flight,
            subject: Subject::Engine,
            figure: Figure::Rate,
            beside: Some(beside),
            at_least: true,
            bound,
        }
    }

    const fn most(figure: Figure, beside: Option<Subject>, bound: f64) -> Self {
        Self {
            store: Store::Postgres,
            in_flight: 64,
            subject: Subject::Engine,
            figure,
            beside,
            at_least: false,
            bound,
        }
    }

    const fn in_a_row(subject: Subject, bound: f64) -> Self {
        Self {
            subject,
            ..Self::least(Store::Postgres, 1, Subject::Raw, bound)
        }
    }

    fn title(&self) -> String {
        let subject = match self.subject {
            Subject::Engine => String::new(),
            other => format!("{}, ", other.title()),
        };
        let beside = self
            .beside
            .map(|beside| format!(" of {}", beside.title()))
            .unwrap_or_default();
        let (store, figure) = (self.store.title(), self.figure.title());
        format!("{store}, {}: {subject}{figure}{beside}", self.in_flight)
    }
}

const TARGETS: [Target; 10] = [
    Target::least(Store::Postgres, 64, Subject::Dbos, 12.0),
    Target::most(Figure::P50, Some(Subject::Dbos), 0.1),
    Target::most(Figure::P99, Some(Subject::Dbos), 0.1),
    Target::least(Store::Postgres, 64, Subject::Ceiling, 0.5),
    Target::most(Figure::Transactions, None, 0.7),
    Target::least(Store::Postgres, 512, Subject::Dbos, 20.0),
    Target::in_a_row(Subject::Strict, 0.8),
    Target::in_a_row(Subject::Pipelined, 20.0),
    Target::least(Store::Sqlite, 64, Subject::Ceiling, 0.5),
    Target::least(Store::Sqlite, 512, Subject::Ceiling, 0.5),
];

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
            Subject::Raw | Subject::Strict | Subject::Pipelined => None,
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
        TARGETS
            .iter()
            .filter_map(|target| {
                let value = self.value(target)?;
                Some(Ratio {
                    title: target.title(),
                    value,
                    at_least: target.at_least,
                    bound: target.bound,
                })
            })
            .collect()
    }

    fn value(&self, target: &Target) -> Option<f64> {
        let figure = target.figure.of();
        let ours = self.find(target.store, target.subject, target.in_flight)?;
        match target.beside {
            None => ours.median(figure),
            Some(beside) => divided(
                ours,
                self.find(target.store, beside, target.in_flight)?,
                figure,
            ),
        }
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
