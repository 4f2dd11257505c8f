//! What to measure, and with how much.

use std::time::Duration;

const HELP: &str = "\
cargo bench --bench recovery -- [PART]... [--quick] [--layers N] [--bytes N] [--rounds N] [--seconds N] [--subscribers N]

Parts: backup, restore, commits, listing. A part runs if its name has one of the texts; without any, all run.
  --layers N       layers of the store (1000000)
  --bytes N        bytes of each (500)
  --rounds N       rounds of each measurement (3)
  --seconds N      how long commits are measured in a round (15)
  --subscribers N  simulated subscribers (100000)
  --quick          20000 layers, 10000 subscribers, one round of 3 seconds";

pub struct Options {
    pub layers: usize,
    pub bytes: usize,
    pub rounds: usize,
    pub measured_for: Duration,
    pub subscribers: usize,
    parts: Vec<String>,
}

impl Options {
    /// Reads the arguments. The error is what to print.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            layers: 1_000_000,
            bytes: 500,
            rounds: 3,
            measured_for: Duration::from_secs(15),
            subscribers: 100_000,
            parts: vec![],
        };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let text = arguments.next().ok_or_else(|| format!("{argument} needs a number"))?;
                text.parse::<usize>().map_err(|error| format!("{argument} {text}: {error}"))
            };
            match argument.as_str() {
                "--help" => return Err(HELP.to_owned()),
                "--quick" => {
                    (options.layers, options.subscribers, options.rounds) = (20_000, 10_000, 1);
                    options.measured_for = Duration::from_secs(3);
                }
                "--layers" => options.layers = number()?,
                "--bytes" => options.bytes = number()?,
                "--rounds" => options.rounds = number()?.max(1),
                "--seconds" => options.measured_for = Duration::from_secs(number()? as u64),
                "--subscribers" => options.subscribers = number()?,
                part if !part.starts_with('-') => options.parts.push(part.to_owned()),
                unknown => return Err(format!("{unknown} is unknown\n\n{HELP}")),
            }
        }
        Ok(options)
    }

    pub fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| part.contains(wanted.as_str()))
    }
}
