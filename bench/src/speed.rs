//! Requests/s and CPU time a request of each workload, Ochre beside the peer.
//!
//! Two regimes say something on a machine with two processors: without pipelining, server and
//! client on the same one (the server's share of a fixed amount of CPU); with 16 requests in
//! flight, one each (the server is the bottleneck). Between two clients on two processors without
//! pipelining, the client is what is measured.
//!
//! The bare loop (`ochre-server --ok`) runs in each round too: it parses nothing and answers OK,
//! which is the floor that sockets set.

use crate::chart::{self, Bar};
use crate::driver::{self, Regime, Run};
use crate::listeners::Listeners;
use crate::options::Options;
use crate::report::{self, Table};
use crate::stats::{Ratio, median};
use crate::workload::{Data, FAMILIES, WORKLOADS, Workload, prepare};
use anyhow::Result;
use ochre_testkit::Server;

const P1: Regime = Regime { name: "P=1", pipeline: 1, server_cpus: "0", client_cpus: "0" };
const P16: Regime = Regime { name: "P=16", pipeline: 16, server_cpus: "0", client_cpus: "1" };

const NOTES: &str = "A us and B us: median CPU microseconds a request, all threads of the server. \
    Floor us: the bare loop. CPU A/B: median of the pairwise ratios with its quartiles, `?` where \
    it differs from the ratio of the medians by more than 5 %. Pairs: counted + discarded. Ext: \
    processors busy with something else, median of all runs. P=1: server and client on one \
    processor; P=16: one each.\n";

/// Runs the workloads of the types.
pub(crate) fn run(options: &Options) -> Result<()> {
    compare(options, ("speed", "Speed"), WORKLOADS)
}

/// Runs those of the other families.
pub(crate) fn run_families(options: &Options) -> Result<()> {
    compare(options, ("families", "Families"), FAMILIES)
}

fn compare(options: &Options, (name, title): (&str, &str), workloads: &[Workload]) -> Result<()> {
    println!("\n## {title}\n");
    let mut table = Table::new(&[
        "Workload",
        "Regime",
        "A req/s",
        "B req/s",
        "A us",
        "B us",
        "Floor us",
        "CPU A/B",
        "Of medians",
        "req/s A/B",
        "Pairs",
        "Ext",
    ]);
    let mut bars = Vec::new();
    for workload in workloads.iter().filter(|w| options.wants(w.name)) {
        let servers = Servers::start(options)?;
        for server in [&servers.ours, &servers.theirs] {
            prepare(server, workload.data)?;
        }
        let _listeners = Listeners::start(&[&servers.ours, &servers.theirs], workload.listeners)?;
        for regime in [P1, P16] {
            if regime.pipeline == 1 && !workload.at_p1 {
                continue;
            }
            let result = contest(options, &servers, workload, &regime)?;
            let label = format!("{} {}", workload.name, regime.name);
            table.row(&result.cells(workload, &regime));
            bars.push(Bar {
                label,
                value: result.cpu.median,
                quartiles: Some(result.cpu.quartiles),
                tick: result.floor_us.map(|floor| floor / median(&result.theirs_us)),
            });
        }
    }
    let chart =
        chart::svg("CPU time a request, A / B", "lower is better; tick: the bare loop", &bars);
    report::write(options, name, title, &table, NOTES, &chart)
}

/// The servers of one workload.
struct Servers {
    ours: Server,
    theirs: Server,
    floor: Option<Server>,
}

impl Servers {
    fn start(options: &Options) -> Result<Servers> {
        let pinned = ["taskset", "-c", P1.server_cpus];
        let one = ["--io-threads", "1"];
        Ok(Servers {
            ours: Server::start_behind(&pinned, &options.ochre, &one),
            theirs: Server::start_behind(&pinned, &options.peer, &one),
            floor: options.has_floor.then(|| Server::start_behind(&pinned, &options.floor, &[])),
        })
    }
}

/// What the pairs of one workload and regime gave.
struct Contest {
    cpu: Ratio,
    rps: Ratio,
    ours_us: Vec<f64>,
    theirs_us: Vec<f64>,
    ours_rps: Vec<f64>,
    theirs_rps: Vec<f64>,
    floor_us: Option<f64>,
    ext: f64,
}

impl Contest {
    fn cells(&self, workload: &Workload, regime: &Regime) -> Vec<String> {
        vec![
            workload.name.into(),
            regime.name.into(),
            format!("{:.0}", median(&self.ours_rps)),
            format!("{:.0}", median(&self.theirs_rps)),
            format!("{:.2}", median(&self.ours_us)),
            format!("{:.2}", median(&self.theirs_us)),
            self.floor_us.map_or("-".into(), |us| format!("{us:.2}")),
            self.cpu.text(),
            format!("{:.2}", self.cpu.of_medians),
            self.rps.text(),
            format!("{}+{}", self.cpu.pairs, self.cpu.discarded),
            format!("{:.2}", self.ext),
        ]
    }
}

fn contest(
    options: &Options,
    servers: &Servers,
    workload: &Workload,
    regime: &Regime,
) -> Result<Contest> {
    let client = &options.client;
    let go = |server: &Server, requests| driver::run(client, server, workload, regime, requests);
    let requests =
        driver::requests_for(client, &servers.theirs, workload, regime, options.seconds)?;
    // Warm-up: the first run after loading finds cold caches and unfinished rehashing.
    go(&servers.ours, requests / 4)?;
    let (mut pairs, mut floor): (Vec<(Run, Run)>, Vec<f64>) = (Vec::new(), Vec::new());
    for round in 0..options.pairs {
        let pair = if round % 2 == 0 {
            let ours = go(&servers.ours, requests)?;
            (ours, go(&servers.theirs, requests)?)
        } else {
            let theirs = go(&servers.theirs, requests)?;
            (go(&servers.ours, requests)?, theirs)
        };
        pairs.push(pair);
        if let Some(server) = servers.floor.as_ref().filter(|_| workload.data != Data::List) {
            floor.push(go(server, requests)?.cpu_us);
        }
    }
    let of = |what: fn(&Run) -> f64| -> (Vec<f64>, Vec<f64>) {
        pairs.iter().map(|(ours, theirs)| (what(ours), what(theirs))).unzip()
    };
    let paired = |what: fn(&Run) -> f64| -> Vec<(f64, f64)> {
        pairs.iter().map(|(ours, theirs)| (what(ours), what(theirs))).collect()
    };
    let (ours_us, theirs_us) = of(|run| run.cpu_us);
    let (ours_rps, theirs_rps) = of(|run| run.rps);
    let ext: Vec<f64> = pairs.iter().flat_map(|(ours, theirs)| [ours.ext, theirs.ext]).collect();
    Ok(Contest {
        cpu: Ratio::of(&paired(|run| run.cpu_us)),
        rps: Ratio::of(&paired(|run| run.rps)),
        ours_us,
        theirs_us,
        ours_rps,
        theirs_rps,
        floor_us: (!floor.is_empty()).then(|| median(&floor)),
        ext: median(&ext),
    })
}
