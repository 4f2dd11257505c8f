//! What the service promises of its speed, each as a number that comes out of the results. Knows the names of rows and columns.

use std::fmt::Write;

use super::report::Section;
use super::workload::{calls, history, memory, restart, size, watches};

const OWN: &str = "confwatch";
const GUARDED: &str = "confwatch --auth on";
const CEILING: &str = "ceiling";
const ETCD_35: &str = "etcd 3.5";
const ETCD_34: &str = "etcd 3.4";

enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};

struct Promise {
    what: String,
    bound: Bound,
    measured: f64,
}

/// Those of which there are results, as a table.
pub fn markdown(sections: &[Section], options: &super::options::Options) -> String {
    let mut results = Results { sections, promises: vec![] };
    results.calls();
    results.access();
    results.fan_out();
    results.other_watches();
    results.start(options);
    results.history(options);
    results.size(options);
    if results.promises.is_empty() {
        return String::new();
    }
    let mut text = "### Promises\n\nRatios of confwatch to the other, in this run.\n\n\
                    | what | promised | measured | |\n| --- | --: | --: | --- |\n"
        .to_owned();
    for Promise { what, bound, measured } in &results.promises {
        let (bound, kept) = match bound {
            AtMost(most) => (format!("≤ {most}"), measured <= most),
            AtLeast(least) => (format!("≥ {least}"), measured >= least),
        };
        let kept = if kept { "kept" } else { "**missed**" };
        writeln!(text, "| {what} | {bound} | {measured:.2} | {kept} |").expect("a string takes everything");
    }
    text
}

struct Results<'a> {
    sections: &'a [Section],
    promises: Vec<Promise>,
}

impl Results<'_> {
    fn value(&self, section: &str, case: &str, server: &str, column: &str) -> Option<f64> {
        let section = self.sections.iter().find(|other| other.name == section)?;
        section.value(case, server, column)
    }

    fn promise(&mut self, what: String, bound: Bound, measured: Option<f64>) {
        self.promises.extend(measured.map(|measured| Promise { what, bound, measured }));
    }

    /// Of confwatch to another server, in the same case.
    fn ratio(&mut self, section: &'static str, case: &str, column: &str, other: &str, bound: Bound) {
        let own = self.value(section, case, OWN, column);
        let other_value = self.value(section, case, other, column);
        let ratio = own.zip(other_value).map(|(own, other)| own / other);
        self.promise(format!("{section}, {case}: {column}, to {other}"), bound, ratio);
    }

    fn calls(&mut self) {
        for (connections, under_way) in [(8, 1), (8, 16)] {
            let case = calls::case(connections, under_way);
            self.ratio(calls::GET, &case, "server CPU us/op", CEILING, AtMost(1.2));
            self.ratio(calls::GET, &case, "ops/s", ETCD_35, AtLeast(2.0));
        }
        for (connections, under_way) in calls::SETS {
            let case = calls::case(*connections, *under_way);
            let alone = connections * under_way == 1;
            self.ratio(calls::SET, &case, "ops/s", ETCD_34, AtLeast(if alone { 1.0 } else { 1.5 }));
            if !alone {
                self.ratio(calls::SET, &case, "ops/s", CEILING, AtLeast(0.5));
            }
        }
    }

    /// Of the server that knows who asks to the one that does not care.
    fn access(&mut self) {
        for (connections, under_way) in calls::GETS {
            let case = calls::case(*connections, *under_way);
            let value = |server| self.value(calls::ACCESS, &case, server, "server CPU us/op");
            let ratio = value(GUARDED).zip(value(OWN)).map(|(guarded, open)| guarded / open);
            let what = format!("{}, {case}: server CPU us/op, to --auth off", calls::ACCESS);
            self.promise(what, AtMost(1.05), ratio);
        }
    }

    fn fan_out(&mut self) {
        let section = watches::FAN_OUT;
        let case = watches::fan_out_case(watches::WATCHERS, watches::CONNECTIONS);
        let delivered = self.value(section, &case, OWN, "delivered %");
        self.promise(format!("{section}, {case}: delivered %"), AtLeast(100.0), delivered);
        self.ratio(section, &case, "server CPU us/delivery", CEILING, AtMost(1.2));
        self.ratio(section, &case, "last p50 ms", CEILING, AtMost(1.3));
        for etcd in [ETCD_35, ETCD_34] {
            self.ratio(section, &case, "last p50 ms", etcd, AtMost(0.1));
            self.ratio(section, &case, "last p50 ms", &format!("{etcd}{}", watches::SHARED), AtMost(1.0));
        }
        let case = memory::case(watches::CONNECTIONS);
        let kilobytes = self.value(memory::NAME, &case, OWN, "KB/watcher");
        self.promise(format!("{}, {case}: KB/watcher", memory::NAME), AtMost(4.0), kilobytes);
    }

    fn other_watches(&mut self) {
        for etcd in [ETCD_35, ETCD_34] {
            let (section, column) = (watches::ONE_STREAM, "server CPU us/update");
            self.ratio(section, watches::ONE_STREAM_CASE, column, etcd, AtMost(1.0));
            self.ratio(watches::SPREAD, watches::SPREAD_CASE, column, etcd, AtMost(0.5));
        }
    }

    fn start(&mut self, options: &super::options::Options) {
        let case = restart::case(options.layers, 1);
        for etcd in [ETCD_35, ETCD_34] {
            self.ratio(restart::NAME, &case, "first answer, s", etcd, AtMost(1.0));
            self.ratio(restart::NAME, &case, "MB in memory", etcd, AtMost(0.5));
        }
    }

    /// Of the longest history to the shortest.
    fn history(&mut self, options: &super::options::Options) {
        let column = "server CPU us/op";
        let [shortest, .., longest] = history::VERSIONS.map(|versions| history::versions(versions, options));
        for (at, bound) in [(history::LATEST, 1.1), (history::ANY, 1.5)] {
            for (connections, under_way) in history::LOADS {
                let case = |versions| history::case(at, versions, *connections, *under_way);
                let value = |versions| self.value(history::NAME, &case(versions), OWN, column);
                let ratio = value(longest).zip(value(shortest)).map(|(long, short)| long / short);
                let what = format!("{}, {}: {column}, to {shortest} versions", history::NAME, case(longest));
                self.promise(what, AtMost(bound), ratio);
            }
        }
    }

    fn size(&mut self, options: &super::options::Options) {
        let case = size::case(options.commits);
        for column in [size::OF_PAYLOAD, size::OF_PAYLOAD_LATER] {
            let times = self.value(size::NAME, &case, OWN, column);
            self.promise(format!("{}, {case}: {column}", size::NAME), AtMost(3.0), times);
        }
    }
}
