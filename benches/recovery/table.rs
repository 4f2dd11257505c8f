//! Tables in Markdown, and medians.

use std::time::{Duration, Instant};

pub struct Table {
    columns: usize,
}

impl Table {
    /// Prints the head: a title, and the columns after the first.
    pub fn begin(title: &str, columns: &[&str]) -> Table {
        println!("### {title}\n");
        println!("| | {} |\n| --- |{}", columns.join(" | "), " --: |".repeat(columns.len()));
        Table { columns: columns.len() }
    }

    pub fn row(&self, name: &str, values: &[String]) {
        assert_eq!(values.len(), self.columns, "a value for each column");
        println!("| {name} | {} |", values.join(" | "));
    }

    pub fn end(self, note: &str) {
        println!("\n{note}\n");
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How long it took, in seconds.
pub fn timed(run: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    run();
    begin.elapsed().as_secs_f64()
}

/// The time below which this share of sorted times is, in milliseconds.
pub fn quantile_ms(sorted: &[Duration], share: f64) -> f64 {
    let at = (sorted.len().saturating_sub(1) as f64 * share) as usize;
    sorted.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
