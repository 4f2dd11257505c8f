//! The results as Markdown: a table for each workload, with the ratios of confwatch to the others. Knows no workload.

use std::fmt::Write;
use std::time::Duration;

/// To whom the others are compared.
const CONFWATCH: &str = "confwatch";

/// The results of one workload.
#[derive(Clone, Debug)]
pub struct Section {
    pub name: &'static str,
    pub about: String,
    pub columns: &'static [Column],
    pub rows: Vec<Row>,
    pub took: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    pub digits: usize,
    pub compared: bool,
}

/// What was measured of one server in one case.
#[derive(Clone, Debug)]
pub struct Row {
    pub case: String,
    pub server: String,
    /// One for each column; NaN where there is none.
    pub values: Vec<f64>,
}

pub const fn column(name: &'static str, digits: usize) -> Column {
    Column { name, digits, compared: true }
}

/// Of which there is no ratio to tell.
pub const fn plain(name: &'static str, digits: usize) -> Column {
    Column { name, digits, compared: false }
}

/// The columns of calls, as `Measured::columns` has them.
pub const CALLS: &[Column] = &[
    column("ops/s", 0),
    column("p50 us", 0),
    column("p99 us", 0),
    column("server CPU us/op", 1),
    plain("client CPU us/op", 1),
];

impl Section {
    pub fn value(&self, case: &str, server: &str, column: &str) -> Option<f64> {
        let column = self.columns.iter().position(|other| other.name == column)?;
        let row = self.rows.iter().find(|row| row.case == case && row.server == server)?;
        row.values.get(column).copied().filter(|value| value.is_finite())
    }

    pub fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n{}\n\n| case | server |", self.name, self.about);
        self.columns.iter().for_each(|column| text.extend([" ", column.name, " |"]));
        text.push_str("\n| --- | --- |");
        self.columns.iter().for_each(|_| text.push_str(" --: |"));
        text.push('\n');
        let mut rows = self.rows.iter().peekable();
        while let Some(first) = rows.next() {
            let mut case = vec![first];
            while let Some(row) = rows.next_if(|row| row.case == first.case) {
                case.push(row);
            }
            self.write_case(&case, &mut text);
        }
        write!(text, "\nIt took {:.0} s.\n", self.took.as_secs_f64()).expect("a string takes everything");
        text
    }

    fn write_case(&self, rows: &[&Row], text: &mut String) {
        for (n, row) in rows.iter().enumerate() {
            let case = if n == 0 { &*row.case } else { "" };
            let cell = |column: &Column, value: f64| format!("{value:.*}", column.digits);
            self.write_row(case, &row.server, &row.values, cell, text);
        }
        let of = |server: &str| rows.iter().find(|row| row.server == server);
        // The variants of confwatch are no comparison. Those of others are compared with the same variant, if there is one.
        for other in rows.iter().filter(|row| !row.server.starts_with(CONFWATCH)) {
            let variant = other.server.find(',').map_or("", |at| &other.server[at..]);
            let Some(own) = of(&format!("{CONFWATCH}{variant}")).or_else(|| of(CONFWATCH)) else { continue };
            let ratios: Vec<f64> =
                own.values.iter().zip(&other.values).map(|(own, other)| own / other).collect();
            let cell = |column: &Column, value: f64| match column.compared {
                true => format!("**{value:.2}**"),
                false => String::new(),
            };
            self.write_row("", &format!("**confwatch / {}**", other.server), &ratios, cell, text);
        }
    }

    fn write_row(
        &self,
        case: &str,
        server: &str,
        values: &[f64],
        cell: impl Fn(&Column, f64) -> String,
        text: &mut String,
    ) {
        text.extend(["| ", case, " | ", server, " |"]);
        for (column, value) in self.columns.iter().zip(values) {
            let cell = if value.is_finite() { cell(column, *value) } else { "-".into() };
            text.extend([" ", &cell, " |"]);
        }
        text.push('\n');
    }
}

/// The rounds of the servers of one case, each with its values by column.
pub struct Rounds(Vec<(String, Vec<Vec<f64>>)>);

impl Rounds {
    pub fn new() -> Rounds {
        Rounds(Vec::new())
    }

    pub fn add(&mut self, server: impl Into<String>, values: Vec<f64>) {
        let server = server.into();
        match self.0.iter_mut().find(|(name, _)| *name == server) {
            Some((_, rounds)) => rounds.push(values),
            None => self.0.push((server, vec![values])),
        }
    }

    /// The medians, column by column, of the servers in the order of `order`, which need not name all.
    pub fn rows(mut self, case: &str, order: &[String]) -> Vec<Row> {
        self.0.sort_by_key(|(server, _)| order.iter().position(|name| server == name));
        let row = |(server, rounds): (String, Vec<Vec<f64>>)| {
            let columns = rounds.first().map_or(0, Vec::len);
            let values = (0..columns).map(|column| median(rounds.iter().map(|round| round[column])));
            Row { case: case.to_owned(), server, values: values.collect() }
        };
        self.0.into_iter().map(row).collect()
    }
}

/// A round without the value does not count, unless all are.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
