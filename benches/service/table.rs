//! The results as a Markdown table: medians of the rounds, and the ratio of the two servers.

use std::fmt;
use std::time::Duration;

use super::load::Measured;

pub struct Table(String);

impl Table {
    pub fn new() -> Table {
        let head = "| workload | server | operations/s | p50 us | p99 us | server CPU us/operation |";
        Table(format!("{head}\n| --- | --- | --: | --: | --: | --: |\n"))
    }

    /// Rounds of the ceiling and of confwatch.
    pub fn add(&mut self, workload: &str, rounds: [Vec<Measured>; 2]) {
        let [ceiling, confwatch] = rounds.map(|rounds| {
            let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
            [
                median(&rounds, |round| round.rate),
                median(&rounds, |round| microseconds(round.p50)),
                median(&rounds, |round| microseconds(round.p99)),
                median(&rounds, |round| microseconds(round.cpu)),
            ]
        });
        let ratio = [0, 1, 2, 3].map(|column| confwatch[column] / ceiling[column]);
        self.row(workload, "ceiling", ceiling, [0, 0, 0, 1]);
        self.row("", "confwatch", confwatch, [0, 0, 0, 1]);
        self.row("", "ratio", ratio, [2; 4]);
    }

    fn row(&mut self, workload: &str, server: &str, values: [f64; 4], digits: [usize; 4]) {
        self.0.push_str(&format!("| {workload} | {server} |"));
        values
            .iter()
            .zip(digits)
            .for_each(|(value, digits)| self.0.push_str(&format!(" {value:.digits$} |")));
        self.0.push('\n');
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn median(rounds: &[Measured], value: impl Fn(&Measured) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
