//! What the command line asks for. Knows no workload.

use std::path::PathBuf;

use super::server::{ALL, Server};

pub const USAGE: &str = "\
cargo bench --bench service -- [FILTER...] [OPTIONS]

FILTER            only workloads with one of these in their name
--quick           shorter rounds and smaller data: a look, not a result
--rounds N        medians of so many [default: 3]
--servers A,B     only these of: ceiling, confwatch, etcd 3.5, etcd 3.4
--layers N        how many a server is started with [default: 1000000; quick: 50000]
--commits N       how many the size on disk is told of [default: 1000000; quick: 50000]
--markdown FILE   write the results into this page, between the lines <!-- results --> and <!-- /results -->
--list            the names of the workloads";

#[derive(Clone, Debug)]
pub struct Options {
    pub filters: Vec<String>,
    pub quick: bool,
    pub rounds: usize,
    pub servers: Vec<Server>,
    pub layers: usize,
    pub commits: usize,
    pub markdown: Option<PathBuf>,
    pub list: bool,
}

impl Options {
    /// An error is what to tell, be it that help was asked for.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            filters: vec![],
            quick: false,
            rounds: 3,
            servers: ALL.to_vec(),
            layers: 0,
            commits: 0,
            markdown: None,
            list: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} wants a value\n\n{USAGE}"));
            match argument.as_str() {
                // Cargo says so to the one that measures.
                "--bench" => {}
                "--quick" => options.quick = true,
                "--list" => options.list = true,
                "--rounds" => options.rounds = number(&value()?)?.max(1),
                "--servers" => options.servers = value()?.split(',').map(server).collect::<Result<_, _>>()?,
                "--layers" => options.layers = number(&value()?)?,
                "--commits" => options.commits = number(&value()?)?,
                "--markdown" => options.markdown = Some(value()?.into()),
                _ if argument.starts_with('-') => return Err(USAGE.into()),
                _ => options.filters.push(argument),
            }
        }
        let many = if options.quick { 50_000 } else { 1_000_000 };
        for count in [&mut options.layers, &mut options.commits] {
            *count = if *count == 0 { many } else { *count };
        }
        Ok(options)
    }

    pub fn wants(&self, workload: &str) -> bool {
        let has = |part: &String| workload.to_lowercase().contains(&part.to_lowercase());
        self.filters.is_empty() || self.filters.iter().any(has)
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.replace('_', "").parse().map_err(|_| format!("{text:?} is not a number"))
}

fn server(name: &str) -> Result<Server, String> {
    let found = ALL.into_iter().find(|server| server.name() == name.trim());
    found.ok_or(format!("{name:?} is not one of {:?}", ALL.map(Server::name)))
}
