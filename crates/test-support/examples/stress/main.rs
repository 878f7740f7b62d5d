//! Presses on a running registry with many clients at once, and holds it to what it acknowledged.
//!
//! ```text
//! stress run 127.0.0.1:5000 --model model.json --operations 5000
//! stress check 127.0.0.1:5000 --model model.json --collected --data /var/lib/registry
//! ```
//!
//! `run` pushes, pulls, moves, mounts and deletes images that share layers, by dice; it is meant to run while garbage is
//! collected at once. What was acknowledged and not deleted must always pull whole. `check` compares what is left with
//! the model that `run` wrote, down to the files. Both print lines that begin with `ok - ` or `not ok - `.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a program for people and scripts"
)]

mod check;
mod client;
mod content;
mod disk;
mod http;
mod model;
mod pull;
mod push;
mod remove;
mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, Parser};

use crate::client::Client;
use crate::content::Dice;
use crate::http::Connection;
use crate::model::{Model, Snapshot, locked};
use crate::report::Report;

/// Presses on a running registry, and holds it to what it acknowledged.
#[derive(Parser)]
enum Command {
    /// Runs the clients.
    Run(RunOptions),
    /// Compares the registry with what `run` left.
    Check(CheckOptions),
}

/// The registry.
#[derive(Args, Clone)]
struct Target {
    /// Host and port, without TLS.
    address: String,
    /// Name and password of who may do everything.
    #[arg(long, env = "STRESS_USER")]
    user: Option<String>,
    /// The server, or its database, may go away and come back: then a request is sent again.
    #[arg(long)]
    outages: bool,
}

impl Target {
    fn connect(&self) -> Connection {
        Connection::new(&self.address, self.user.as_deref(), self.outages)
    }
}

#[derive(Args)]
struct RunOptions {
    #[command(flatten)]
    target: Target,
    /// Where the model is written.
    #[arg(long)]
    model: PathBuf,
    #[arg(long, default_value_t = 2000)]
    operations: u64,
    #[arg(long, default_value_t = 16)]
    clients: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Deletes whole repositories through the management API.
    #[arg(long)]
    repositories: bool,
}

#[derive(Args)]
struct CheckOptions {
    #[command(flatten)]
    target: Target,
    /// What `run` wrote.
    #[arg(long)]
    model: PathBuf,
    /// The collector has done its work: what nothing holds must be gone.
    #[arg(long)]
    collected: bool,
    /// The folder of the storage: it must hold what images need and nothing else.
    #[arg(long)]
    data: Option<PathBuf>,
    /// How the lines begin.
    #[arg(long, default_value = "now")]
    when: String,
}

fn main() -> ExitCode {
    let report = match Command::parse() {
        Command::Run(options) => run(&options),
        Command::Check(options) => Snapshot::read(&options.model).map(|snapshot| check::check(&options, &snapshot)),
    };
    match report {
        Ok(report) if !report.has_failed() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

/// What the clients add up.
#[derive(Default)]
struct Sum {
    tally: Mutex<BTreeMap<&'static str, u64>>,
    problems: Mutex<Vec<String>>,
    requests: AtomicU64,
    lost: AtomicU64,
    busy: AtomicU64,
    done: AtomicU64,
    ended: AtomicUsize,
    stops: AtomicBool,
}

fn run(options: &RunOptions) -> anyhow::Result<Report> {
    let model = Model::new(options.seed, options.clients);
    let sum = Sum::default();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..options.clients {
            let (model, sum) = (&model, &sum);
            scope.spawn(move || {
                press(options, model, number, sum);
                sum.ended.fetch_add(1, Ordering::SeqCst);
            });
        }
        scope.spawn(|| tell_progress(options, &sum, begun));
    });
    let mut snapshot = model.snapshot();
    let hot = snapshot.live.iter().filter(|kept| kept.repository == pull::HOT).count();
    if hot > 0 {
        // the tag that all moved: what it names now is as good as any
        let mut connection = options.target.connect();
        let target = format!("/v2/{}/manifests/latest", pull::HOT);
        match connection.expect(&[200], http::Request::new("GET", &target)) {
            Ok(answer) => snapshot.tags.push(model::Tagged {
                repository: pull::HOT.to_owned(),
                tag: "latest".to_owned(),
                digest: content::sha256(&answer.body),
            }),
            Err(trouble) => locked(&sum.problems).push(trouble.to_string()),
        }
    }
    snapshot.write(&options.model)?;
    Ok(tell(options, &sum, begun.elapsed()))
}

/// The life of one client.
fn press(options: &RunOptions, model: &Model, number: usize, sum: &Sum) {
    let seed = options
        .seed
        .wrapping_mul(1_000_003)
        .wrapping_add(u64::try_from(number).unwrap_or(0));
    let mut client = Client {
        number,
        model,
        connection: options.target.connect(),
        admin: options.repositories.then(|| options.target.connect()),
        dice: Dice::new(seed),
        tally: BTreeMap::new(),
        pending: Vec::new(),
        serial: 0,
    };
    let outcome = loop {
        if sum.stops.load(Ordering::Relaxed) {
            break Ok(());
        }
        if sum.done.fetch_add(1, Ordering::Relaxed) >= options.operations {
            // every second client takes all of its images with it
            break client.finish(number.is_multiple_of(2));
        }
        if let Err(trouble) = client.step() {
            break Err(trouble);
        }
    };
    if let Err(trouble) = outcome {
        sum.stops.store(true, Ordering::Relaxed);
        locked(&sum.problems).push(format!("client {number}: {trouble}"));
    }
    let mut tally = locked(&sum.tally);
    for (what, count) in client.tally {
        *tally.entry(what).or_default() += count;
    }
    sum.requests.fetch_add(client.connection.requests, Ordering::Relaxed);
    sum.lost.fetch_add(client.connection.lost, Ordering::Relaxed);
    sum.busy.fetch_add(client.connection.busy, Ordering::Relaxed);
}

fn tell_progress(options: &RunOptions, sum: &Sum, begun: Instant) {
    let mut last = Instant::now();
    while sum.ended.load(Ordering::SeqCst) < options.clients {
        std::thread::sleep(Duration::from_millis(50));
        if last.elapsed() > Duration::from_secs(30) {
            last = Instant::now();
            let done = sum.done.load(Ordering::Relaxed);
            eprintln!(
                "  {done} of {} operations after {} s",
                options.operations,
                begun.elapsed().as_secs()
            );
        }
    }
}

fn tell(options: &RunOptions, sum: &Sum, took: Duration) -> Report {
    let seconds = took.as_secs_f64();
    for (what, count) in locked(&sum.tally).iter() {
        println!("  {count:>8}  {what}");
    }
    let requests = sum.requests.load(Ordering::Relaxed);
    let done = sum.done.load(Ordering::Relaxed).min(options.operations);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (per_second, requests_per_second) = (done as f64 / seconds, requests as f64 / seconds);
    println!(
        "  {seconds:.1} s, {per_second:.0} operations/s, {requests} requests, {requests_per_second:.0} requests/s"
    );
    let (lost, busy) = (sum.lost.load(Ordering::Relaxed), sum.busy.load(Ordering::Relaxed));
    println!("  {lost} requests lost their connection, {busy} were told 503 with Retry-After");
    let mut report = Report::default();
    let name = format!(
        "{done} operations of {} clients, seed {}: whatever was acknowledged held",
        options.clients, options.seed
    );
    report.check(&name, &locked(&sum.problems));
    report
}
