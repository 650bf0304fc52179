//! Bad luck of a whole machine, with real PostgreSQL and HAProxy: it was rebooted, its disk is full.

use super::real::{Machine, Small};
use crate::{
    model::status::Status,
    server::{db, domain, jobs::owner::Owner},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Everything below a directory, by its name.
fn named(below: &Path, name: &str) -> Vec<PathBuf> {
    let found = Command::new("find").arg(below).args(["-name", name]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// Processes that work in the home or were started with a path of it.
fn processes(home: &Path) -> Vec<i32> {
    let inside = |pid: i32| {
        let process = Path::new("/proc").join(pid.to_string());
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(home)) || String::from_utf8_lossy(&line).contains(home.to_str().unwrap())
    };
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != i32::try_from(std::process::id()).unwrap() && inside(*pid)).collect()
}

/// Somebody else's process, which has a number that was ours before the reboot.
struct Stranger(Child);

impl Stranger {
    fn new() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a reboot leaves: files of the disk, with numbers of processes that are others' now; nothing of /run, no control
/// group, no process.
fn reboot(home: &Path, stranger: u32) {
    for pid in processes(home) {
        let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
    }
    let begun = Instant::now();
    while processes(home).iter().any(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))) {
        assert!(begun.elapsed() < Duration::from_secs(20), "they do not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    for sockets in fs::read_dir(home.join("s")).unwrap().flatten() {
        fs::remove_dir_all(sockets.path()).unwrap();
    }
    let nodes = named(&home.join("datastores"), "service");
    assert!(!nodes.is_empty());
    for record in nodes.into_iter().filter(|record| record.is_file()) {
        fs::write(record, format!("{stranger} 1 00000000-0000-0000-0000-000000000000\n")).unwrap();
    }
    for lock in named(home, "postmaster.pid") {
        let text = fs::read_to_string(&lock).unwrap();
        let rest = text.split_once('\n').unwrap().1;
        fs::write(lock, format!("{stranger}\n{rest}")).unwrap();
    }
}

/// Removes the control groups of nodes and edges that are gone.
fn clear_groups(ids: &[Uuid]) {
    for id in ids {
        let mut groups: Vec<PathBuf> = named(Path::new("/sys/fs/cgroup"), &format!("*{id}*"));
        for group in groups.clone() {
            groups.extend(fs::read_dir(group).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.is_dir()));
        }
        groups.sort();
        for group in groups.into_iter().rev() {
            let _ = fs::remove_dir(group);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reboot_in_the_middle_of_a_job_everything_comes_back_with_its_data() {
    let mut machine = Machine::new().await;
    let ids = [machine.ask("orders", "127.0.0.1/32").await, machine.ask("events", "127.0.0.1/32").await];
    let mut nodes = ids.to_vec();
    for id in ids {
        nodes.push(machine.until_running(id).await.nodes[0].id);
        machine.psql(id, "create table t as select generate_series(1, 1000) as n").await.unwrap();
    }
    machine.rest().await;

    // One datastore was being restarted when the machine went down: its lease belongs to a process of another boot.
    domain::datastore::restart(&machine.app, &machine.actor, ids[0]).await.unwrap();
    let before = Uuid::now_v7();
    let owner = Owner { boot_id: "00000000-0000-0000-0000-000000000000".into(), ..Owner::me().unwrap() };
    db::workers::enter(&machine.app.db, before, machine.app.host, &owner).await.unwrap();
    db::jobs::claim(&machine.app.db, machine.app.host, before).await.unwrap().unwrap();
    let mut stranger = Stranger::new();
    reboot(machine.home.path(), stranger.0.id());
    clear_groups(&nodes);

    machine.start_again().await;
    for id in ids {
        machine.until_running(id).await;
        assert_eq!(machine.psql(id, "select count(*) from t").await.unwrap(), "1000");
    }
    assert!(stranger.0.try_wait().unwrap().is_none(), "somebody else's process was ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_log_of_a_database_loses_no_row_and_heals_when_there_is_room() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can mount a small disk");
        return;
    }
    let machine = Machine::new().await;
    let datastores = machine.home.path().join("datastores");
    let disk = Small::mount(&datastores, "size=400m,mode=0711");
    let id = machine.ask_ephemeral("orders").await;
    machine.until_running(id).await;
    machine.psql(id, "create table t (n int)").await.unwrap();

    // Less room than the next part of the log needs, so that it is the log that finds none.
    let filler = datastores.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    fs::set_permissions(&filler, fs::Permissions::from_mode(0o600)).unwrap();
    while rustix::fs::statvfs(&datastores).is_ok_and(|disk| disk.f_bavail * disk.f_frsize > 8 << 20) {
        file.write_all(&vec![1; 1 << 20]).unwrap();
    }
    let (begun, mut acknowledged) = (Instant::now(), 0);
    loop {
        if machine.psql(id, &format!("insert into t values ({acknowledged})")).await.is_err() {
            break;
        }
        acknowledged += 1;
        if machine.psql(id, "select pg_logical_emit_message(false, 'fill', repeat('x', 4000000))").await.is_err() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "the log never filled");
    }
    let why = "No space left on device";
    let view = machine.until(id, |v| v.row.status == Status::Down && v.job.as_ref().is_some_and(|j| j.error.is_some())).await;
    let job = view.job.unwrap();
    let said = format!("{:?} {:?}", job.error, job.steps.iter().filter_map(|s| s.log_excerpt.clone()).collect::<Vec<_>>());
    assert!(said.contains(why), "{said}");
    machine.psql(id, "select 1").await.unwrap_err();
    // Not in circles: the pauses grow.
    let starts = || fs::read_to_string(&named(&datastores, "postgresql.log")[0]).unwrap().matches("starting PostgreSQL").count();
    let before = starts();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(starts() - before <= 8, "started {} times in 10 s", starts() - before);

    drop(file);
    fs::remove_file(&filler).unwrap();
    machine.until_running(id).await;
    let rows = machine.psql(id, "select count(distinct n) from t").await.unwrap();
    assert!(rows.parse::<u32>().unwrap() >= acknowledged, "{rows} rows of {acknowledged} that were acknowledged");
    domain::datastore::delete(&machine.app, &machine.actor, id, "orders").await.unwrap();
    machine.until_gone(id).await;
    drop(disk);
}
