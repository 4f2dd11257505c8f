//! How fast the service is, beside a ceiling and beside etcd, on the same work in the same run. The ratios are the result; times
//! alone say more about the machine.
//!
//! `cargo bench --bench service`; `docs/benchmarks.md` says what the numbers mean.

mod board;
mod ceiling;
mod connection;
mod document;
mod etcd;
mod fill;
mod http1;
mod hyper_server;
mod load;
mod machine;
mod options;
mod page;
mod process;
mod promises;
mod remote;
mod report;
mod server;
mod watchers;
mod wire;
mod workload;

use std::process::ExitCode;
use std::time::Instant;

use mimalloc::MiMalloc;
use options::Options;
use report::Section;

/// As the service has it: the ceiling is this program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|argument| argument == ceiling::ARGUMENT).is_some() {
        ceiling::serve(&arguments.next().expect("an address"));
        return ExitCode::SUCCESS;
    }
    if arguments.next_if(|argument| argument == hyper_server::ARGUMENT).is_some() {
        hyper_server::serve(&arguments.next().expect("an address"));
        return ExitCode::SUCCESS;
    }
    match Options::parse(arguments) {
        Ok(options) if options.list => {
            workload::ALL.iter().for_each(|workload| println!("{}", workload.name));
            ExitCode::SUCCESS
        }
        Ok(options) => measure(options),
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// On the main thread, which starts the servers: they end with it.
#[tokio::main]
async fn measure(options: Options) -> ExitCode {
    tokio::select! {
        result = run(options) => result,
        // What was started is dropped, and its data with it.
        _ = tokio::signal::ctrl_c() => ExitCode::FAILURE,
    }
}

async fn run(mut options: Options) -> ExitCode {
    let begin = Instant::now();
    let mut head = machine::describe();
    options.servers.retain(|server| {
        let installed = server.installed();
        head.push(match &installed {
            Ok(version) => format!("{}: {version}", server.name()),
            Err(why) => format!("{} is left out: {why} (tools/install.sh installs it)", server.name()),
        });
        installed.is_ok()
    });
    head.push(format!("load average at the start {}", machine::load_average()));
    println!("{}\n", head.join("\n"));
    machine::raise_file_limit();

    let wanted = workload::ALL.iter().filter(|workload| options.wants(workload.name));
    let (mut sections, mut failed) = (Vec::new(), false);
    for workload in wanted {
        match workload.run(&options).await {
            Some(section) => {
                println!("{}", section.markdown());
                sections.push(section);
            }
            None => failed = true,
        }
    }
    let promises = promises::markdown(&sections, &options);
    println!("{promises}");
    let tail = format!(
        "load average at the end {}; all of it took {:.0} s",
        machine::load_average(),
        begin.elapsed().as_secs_f64()
    );
    println!("{tail}");

    if let Some(path) = &options.markdown {
        head.push(tail);
        let machine = head.iter().map(|line| format!("- {line}\n")).collect::<String>();
        let tables = sections.iter().map(Section::markdown).collect::<Vec<_>>().join("\n");
        let results = format!("### The machine\n\n{machine}\n{promises}\n{tables}");
        if let Err(error) = page::replace(path, &results) {
            eprintln!("{}: {error}", path.display());
            failed = true;
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
