//! What the edge costs a client that reads: pgbench through it, through a bare HAProxy, and straight to the same server, with
//! the same TLS. The three take turns, so that what else the machine does hits all alike.

use crate::{
    bare,
    client::Endpoint,
    datastore,
    peers::address,
    processes,
    report::{Report, verdict},
    served::Served,
};
use granary::server::db::plan::{Plan, Purpose};
use rustix::process::{Signal, kill_process};
use std::{
    fmt::Write as _,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

const ROUNDS: usize = 10;
const SECONDS: &str = "3";
/// 100 000 rows each: what is read fits into memory.
const SCALE: &str = "5";
const CLIENTS: [u32; 2] = [1, 8];
/// Of the bare HAProxy's.
const LEAST: f64 = 0.95;

/// HAProxy with no more than it needs.
struct Bare {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Bare {
    fn start(server: SocketAddr) -> Self {
        let folder = tempfile::Builder::new().prefix("granary-haproxy-").tempdir().unwrap();
        let address = SocketAddr::from((address(30), 5432));
        let mut text = "global\n    maxconn 2000\ndefaults\n    mode tcp\n".to_owned();
        text += "    timeout connect 3s\n    timeout client 1h\n    timeout server 1h\n";
        let _ = write!(text, "listen postgresql\n    bind {address}\n    server primary {server}\n");
        let config = folder.path().join("haproxy.cfg");
        std::fs::write(&config, text).unwrap();
        let program = ["/usr/sbin/haproxy", "/usr/bin/haproxy"].into_iter().find(|path| std::path::Path::new(path).exists()).unwrap();
        // In a session of its own, as the edge and any service: the kernel shares out its time by session.
        let process = Command::new("setsid").arg(program).arg("-db").arg("-f").arg(&config).stdout(Stdio::null()).spawn().unwrap();
        Self { process, address, _folder: folder }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Who runs pgbench where.
struct Target {
    name: &'static str,
    address: SocketAddr,
}

pub(crate) async fn measure(report: &mut Report) {
    let served = Served::start(0).await;
    let draft = served.draft("speed").await;
    let id = served.finish(draft).await;
    let endpoint = served.connection(id).await;
    let plan = Plan::load(&served.app.db, id).await.unwrap();
    let direct = plan.address(Purpose::Private(0)).unwrap();
    admit(&served, &plan);
    let bare = Bare::start(direct);
    let edge = SocketAddr::new(endpoint.host.parse().unwrap(), endpoint.port);
    let targets = [("edge", edge), ("bare HAProxy", bare.address), ("direct", direct)].map(|(name, address)| Target { name, address });
    let bench = |target: &Target, args: &[&str]| pgbench(target.address, &endpoint, args);
    bench(&targets[2], &["-i", "-q", "-s", SCALE]);
    for clients in CLIENTS {
        let mut rates = [const { Vec::new() }; 3];
        for round in 0..ROUNDS {
            for turn in 0..targets.len() {
                // Nobody is always first.
                let of = (turn + round) % targets.len();
                rates[of].push(rate(&bench(&targets[of], &["-S", "-n", "-T", SECONDS, "-c", &clients.to_string()])));
            }
        }
        compare(report, clients, &targets, rates);
    }
}

fn compare(report: &mut Report, clients: u32, targets: &[Target; 3], rates: [Vec<f64>; 3]) {
    let medians = rates.map(|mut rates| {
        rates.sort_unstable_by(f64::total_cmp);
        rates[rates.len() / 2]
    });
    for (target, median) in targets.iter().zip(medians) {
        let of_bare = median / medians[1];
        let mut note = format!("{of_bare:.3} × bare HAProxy");
        if target.name == "edge" {
            let _ = write!(note, "; {}", verdict("at least 0.95 ×", of_bare >= LEAST));
        }
        report.value(&format!("pgbench -S, {clients} clients: {}", target.name), &format!("{median:.0} /s (n = {ROUNDS})"), &note);
    }
}

/// The server lets in clients that come from its edge alone; here it lets in those of this machine too.
fn admit(served: &Served, plan: &Plan) {
    let node = plan.node_spec(&plan.nodes[0]);
    let access = served.app.platform(&plan.region).unwrap().paths(&node).config.join("pg_hba.conf");
    let text = std::fs::read_to_string(&access).unwrap() + "hostssl  all  all  127.0.0.1/32  scram-sha-256\n";
    std::fs::write(&access, text).unwrap();
    // The postmaster passes it on.
    let data = datastore::data(served, plan, &plan.nodes[0]);
    for pid in processes::within(&data) {
        let is_postmaster =
            std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains('\0') && line.contains("/postgres\0"));
        if is_postmaster {
            kill_process(pid, Signal::HUP).unwrap();
        }
    }
}

/// What it printed.
fn pgbench(address: SocketAddr, endpoint: &Endpoint, args: &[&str]) -> String {
    let mut command = Command::new(bare::programs().join("pgbench"));
    command.args(args).env("PGSSLMODE", "require").env("PGPASSWORD", &endpoint.password).env("PGUSER", &endpoint.user);
    command.env("PGHOST", address.ip().to_string()).env("PGPORT", address.port().to_string());
    command.env("PGDATABASE", &endpoint.database);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{address}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn rate(output: &str) -> f64 {
    let line = output.lines().find_map(|line| line.strip_prefix("tps = ")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
