//! What is stored: documents of a chosen size that say who they are, so that a watcher knows from its bytes which update it
//! has. Knows no server and no wire.

/// What most workloads read, write and watch.
pub const CONFIGS: usize = 10_000;
pub const BYTES: usize = 1024;
/// For those that load many.
pub const BYTES_SMALL: usize = 500;

/// What precedes the config and the counter in a document, and stands nowhere else.
const MARK: &[u8] = b"\"@";
const CONFIG_DIGITS: usize = 6;
const COUNTER_DIGITS: usize = 10;
/// No two marks of one message are nearer: a document is around each.
const MARK_DISTANCE_MIN: usize = BYTES_SMALL;

/// Always as long, so that requests differ in digits only.
pub fn config_name(config: usize) -> String {
    format!("service-{config:0CONFIG_DIGITS$}")
}

pub fn digits_of_config(config: usize) -> String {
    format!("{config:0CONFIG_DIGITS$}")
}

pub fn digits_of_counter(counter: u64) -> String {
    format!("{counter:0COUNTER_DIGITS$}")
}

/// Configuration of the kind that services have: canonical JSON of exactly so many bytes. With another counter it is another.
pub fn content(config: usize, counter: u64, bytes: usize) -> String {
    let (config, counter) = (digits_of_config(config), digits_of_counter(counter));
    let database = r#"{"host":"db-07.internal","pool":{"max":20,"min":2},"port":5432,"tls":true}"#;
    let features = (0..bytes / 85).map(|n| format!(r#""feature-{n:02}":{}"#, n % 3 == 1));
    let features = features.collect::<Vec<_>>().join(",");
    let hosts = (0..bytes / 75).map(|n| format!(r#""10.7.0.{n}:8080""#)).collect::<Vec<_>>().join(",");
    let text = format!(
        r#"{{"change":"@{config}:{counter}","database":{database},"features":{{{features}}},"hosts":[{hosts}],"log":{{"format":"json","level":"info"}},"timeout_ms":250"#
    );
    let padding = bytes - text.len() - r#","title":""}"#.len();
    format!(r#"{text},"title":"{:-<padding$}"}}"#, "checkout")
}

/// Which document this is a copy of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    pub config: usize,
    pub counter: u64,
}

/// The marks of all documents in a message. `hint` is where the first one was last time, and is corrected: messages of
/// one kind hardly differ in it, and looking everywhere would cost as much as all else that is done with a message.
pub fn marks<'a>(message: &'a [u8], hint: &mut usize) -> impl Iterator<Item = Mark> + use<'a> {
    let near = hint.saturating_sub(4);
    let first = find(message, near, near + 12).or_else(|| find(message, 0, message.len()));
    *hint = first.unwrap_or(*hint);
    let next = |at: &usize| find(message, at + MARK_DISTANCE_MIN, message.len());
    std::iter::successors(first, next).filter_map(|at| parse(&message[at + MARK.len()..]))
}

fn find(message: &[u8], from: usize, to: usize) -> Option<usize> {
    let part = message.get(from..to.min(message.len()))?;
    part.windows(MARK.len()).position(|window| window == MARK).map(|at| from + at)
}

fn parse(bytes: &[u8]) -> Option<Mark> {
    let number = |from: usize, digits: usize| -> Option<u64> {
        std::str::from_utf8(bytes.get(from..from + digits)?).ok()?.parse().ok()
    };
    let config = usize::try_from(number(0, CONFIG_DIGITS)?).ok()?;
    Some(Mark { config, counter: number(CONFIG_DIGITS + 1, COUNTER_DIGITS)? })
}
