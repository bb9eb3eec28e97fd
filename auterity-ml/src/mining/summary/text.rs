//! The summary for people.

use std::fmt::{self, Display};

use super::{Summary, VariantSummary};
use crate::mining::human::{duration, percent};
use crate::mining::read::{ImportReport, LogFormat};
use crate::mining::times::Times;

/// How many rows a table for people has.
const ROWS_MAX: usize = 15;
/// How many findings are told.
const FINDINGS_MAX: usize = 8;
/// How many activities of a variant are shown.
const TRACE_MAX: usize = 12;

impl Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{} events of {} cases, {} activities, {} variants; {} to {}",
            self.events, self.cases, self.activities, self.variants, self.first, self.last
        )?;
        import(&self.import, out)?;
        self.cases_in_words(out)?;
        self.activities_as_table(out)?;
        self.edges_as_table(out)?;
        self.variants_as_list(out)?;
        self.resources_as_list(out)?;
        self.model_in_words(out)?;
        self.bottlenecks_as_list(out)
    }
}

impl Summary {
    fn cases_in_words(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.case_duration;
        writeln!(out, "\nCases")?;
        writeln!(
            out,
            "  take {} in the median; nine of ten are done within {}, the longest took {}",
            duration(it.median),
            duration(it.p90),
            duration(it.max)
        )?;
        if let (Some(come), Some(go)) = (self.arrivals_per_day, self.completions_per_day) {
            let most = self.over_time.iter().map(|it| it.in_progress_max).max();
            writeln!(
                out,
                "  {come:.1} begin and {go:.1} end a day; at most {} were in progress at once",
                most.unwrap_or(0)
            )?;
        }
        Ok(())
    }

    fn activities_as_table(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: Vec<(&String, &u64)> = self.activity_counts.iter().collect();
        rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let mut table = vec![row(&[
            "activity", "events", "begins", "ends", "again in", "waiting", "service",
        ])];
        for (name, count) in rows.iter().take(ROWS_MAX) {
            let of = |counts: &std::collections::BTreeMap<String, u64>| {
                counts.get(*name).copied().unwrap_or(0).to_string()
            };
            let times = self.activity_times.iter().find(|it| it.activity == **name);
            let median = |times: Option<Times>| {
                times.map_or_else(|| "–".to_owned(), |it| duration(it.median))
            };
            table.push(vec![
                (*name).clone(),
                count.to_string(),
                of(&self.start_activities),
                of(&self.end_activities),
                of(&self.rework_cases),
                median(times.and_then(|it| it.waiting)),
                median(times.and_then(|it| it.service)),
            ]);
        }
        writeln!(out, "\nActivities (times: median)")?;
        print(&table, out)?;
        more(rows.len(), "activities", out)
    }

    fn edges_as_table(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits = self
            .directly_follows
            .iter()
            .any(|edge| edge.waiting.is_some());
        let meaning = if waits {
            "waiting (end to start)"
        } else {
            "end to end"
        };
        let mut table = vec![row(&[
            "from", "to", "count", "cases", "median", "p90", "total",
        ])];
        for edge in self.directly_follows.iter().take(ROWS_MAX) {
            let times = edge.waiting.unwrap_or(edge.end_to_end);
            table.push(vec![
                edge.source.clone(),
                edge.target.clone(),
                edge.count.to_string(),
                edge.cases.to_string(),
                duration(times.median),
                duration(times.p90),
                duration(times.total),
            ]);
        }
        writeln!(out, "\nDirectly follows (times: {meaning})")?;
        print(&table, out)?;
        more(self.directly_follows.len(), "edges", out)
    }

    fn variants_as_list(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\nVariants")?;
        for variant in &self.top_variants {
            let VariantSummary {
                activities,
                count,
                share,
            } = variant;
            let shown = &activities[..activities.len().min(TRACE_MAX)];
            write!(
                out,
                "  {count} ({}): {}",
                percent(*share),
                shown.join(" → ")
            )?;
            match activities.len() - shown.len() {
                0 => writeln!(out)?,
                rest => writeln!(out, " → … {rest} more")?,
            }
        }
        match self.variants - self.top_variants.len() as u64 {
            0 => Ok(()),
            rest => writeln!(out, "  … {rest} more variants"),
        }
    }

    fn model_in_words(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\nModel")?;
        if let Some(model) = &self.model {
            let replay = &model.token_replay;
            writeln!(out, "  {}", model.process_tree)?;
            writeln!(
                out,
                "  discovered with noise {}; {} of the cases fit it exactly, fitness {:.3} by token replay{}{}",
                model.noise,
                percent(replay.perfect),
                replay.log_fitness,
                model.alignment.map_or_else(String::new, |it| {
                    format!(", {:.3} by alignments", it.trace_fitness)
                }),
                model
                    .precision
                    .map_or_else(String::new, |it| format!(", precision {it:.3}")),
            )?;
        }
        match &self.model_missing {
            None => Ok(()),
            Some(why) => writeln!(out, "  note: {why}"),
        }
    }

    fn bottlenecks_as_list(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\nWhere time is lost")?;
        for (at, finding) in self.bottlenecks.iter().take(FINDINGS_MAX).enumerate() {
            writeln!(out, "  {}. {}", at + 1, finding.text)?;
            writeln!(out, "     {}", finding.action)?;
            writeln!(out, "     cases: {}", finding.examples.join(", "))?;
        }
        if self.bottlenecks.is_empty() {
            writeln!(out, "  nowhere: no case has time between its events")?;
        }
        Ok(())
    }

    fn resources_as_list(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(resources), Some(handover)) = (&self.resources, &self.handover) else {
            return Ok(());
        };
        writeln!(out, "\nResources")?;
        for it in resources {
            writeln!(
                out,
                "  {}: {} events in {} cases",
                it.resource, it.events, it.cases
            )?;
        }
        let others = handover.list.iter().filter(|it| it.from != it.to);
        for it in others.take(3) {
            let share = percent(it.share);
            writeln!(
                out,
                "  {} hands over to {} {} times ({share})",
                it.from, it.to, it.count
            )?;
        }
        Ok(())
    }
}

/// How the log was understood, and what was left out.
fn import(report: &ImportReport, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mapping = &report.mapping;
    if report.format == LogFormat::Csv {
        let named = |what: &str, name: &Option<String>| {
            let name = name.as_ref();
            name.map_or(String::new(), |name| format!(", {what} = {name}"))
        };
        let columns = [
            named("case", &mapping.case),
            named("activity", &mapping.activity),
            named("end", &mapping.end),
            named("start", &mapping.start),
            named("resource", &mapping.resource),
        ];
        writeln!(
            out,
            "columns: {}",
            columns.concat().trim_start_matches(", ")
        )?;
    }
    if 0 < report.bad_rows() {
        writeln!(
            out,
            "{} of {} rows are no events:",
            report.bad_rows(),
            report.rows
        )?;
    }
    for bad in &report.bad {
        let lines: Vec<String> = bad.first.iter().map(|it| it.line.to_string()).collect();
        let more = if (bad.first.len() as u64) < bad.count {
            ", …"
        } else {
            ""
        };
        writeln!(
            out,
            "  {} with {}: line {}{more}",
            bad.count,
            bad.reason.text(),
            lines.join(", ")
        )?;
    }
    for note in &report.notes {
        writeln!(out, "note: {} × {}", note.count, note.text)?;
    }
    Ok(())
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

/// Prints a table: texts to the left, figures to the right.
fn print(table: &[Vec<String>], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let columns = table.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = table.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in table {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| {
                let is_text = column == 0 || (column == 1 && table[0][1] == "to");
                if is_text {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
        let cells: Vec<String> = cells.collect();
        writeln!(out, "  {}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn more(count: usize, what: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match count.saturating_sub(ROWS_MAX) {
        0 => Ok(()),
        rest => writeln!(out, "  … {rest} more {what}"),
    }
}
