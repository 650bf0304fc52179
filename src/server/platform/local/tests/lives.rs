//! What a node's life leaves behind, and what it must never touch.

use super::*;
use crate::server::platform::Signal;
use std::collections::BTreeSet;

const OUTLIVES: &str = "GRANARY_TEST_OUTLIVES";

impl World {
    /// A server with a child in a session of its own and an orphan in another; where there are control groups, also one
    /// that has left the directory and closed its files. And how many these are.
    fn family(&self) -> (Program, usize) {
        let server = "setsid sleep 1000 & (setsid sleep 1000 &)";
        let left = "(cd / && setsid sleep 1000 >/dev/null 2>&1 &)";
        match self.group() {
            Some(_) => (sh(&format!("{server}; {left}; exec sleep 1000")), 4),
            None => (sh(&format!("{server}; exec sleep 1000")), 3),
        }
    }
}

#[tokio::test]
async fn fencing_kills_sessions_of_their_own_and_orphans() {
    for world in [World::new(), World::without_groups()] {
        let node = world.made().await;
        let (family, count) = world.family();
        world.start(world.lease(), &node, "server", &family).await.unwrap();
        let pids = world.pids(&node, count).await;
        let sessions: BTreeSet<u32> = pids.iter().filter_map(|pid| proc::stat(*pid)).map(|s| s.session).collect();
        assert_eq!((pids.len(), sessions.len()), (count, count), "each is a session of its own");
        world.fence(world.lease(), &node).await.unwrap();
        assert!(pids.iter().all(|pid| !proc::lives(*pid)));
        assert_eq!(world.presence(&node).await, Presence::Dead);
    }
}

#[tokio::test]
async fn a_stray_outside_the_control_group_is_fenced_too() {
    let world = World::new();
    let node = world.made().await;
    // As a backend that an administrator moved: same user, same directory, another group.
    let outside = world.bare();
    outside.start(world.lease(), &node, "server", &sh("setsid sleep 1000 & exec sleep 1000")).await.unwrap();
    let pids = world.pids(&node, 2).await;
    assert_eq!(pids.len(), 2);
    world.fence(world.lease(), &node).await.unwrap();
    assert!(pids.iter().all(|pid| !proc::lives(*pid)));
}

#[tokio::test]
async fn leftovers_are_not_running_and_are_fenced_before_a_start() {
    for world in [World::new(), World::without_groups()] {
        let node = world.made().await;
        world.start(world.lease(), &node, "server", &sh("setsid sleep 1000 & exec sleep 1000")).await.unwrap();
        let pids = world.pids(&node, 2).await;
        let first = world.first(&node).await;
        world.signal(world.lease(), &node, Signal::Terminate).await.unwrap();
        let left = world.pids(&node, 1).await;
        assert_eq!(left, pids.iter().copied().filter(|pid| *pid != first).collect::<Vec<_>>());
        let Presence::Leaderless(why) = world.presence(&node).await else { panic!("not leaderless") };
        assert!(why.contains(&left[0].to_string()) && why.contains("sleep"), "{why}");
        assert!(world.wipe_data(world.lease(), &node).await.is_err());
        world.start(world.lease(), &node, "server", &contract::service()).await.unwrap();
        assert!(!proc::lives(left[0]));
        assert_eq!(world.pids(&node, 1).await, [world.first(&node).await]);
    }
}

#[tokio::test]
async fn two_granaries_start_one_service() {
    let world = World::new();
    let other = Local::new(world.home.path(), &region()).unwrap();
    let node = world.made().await;
    let service = contract::service();
    let start = |local: Local| {
        let (node, service, lease) = (node.clone(), service.clone(), world.lease());
        async move { local.start(lease, &node, "server", &service).await }
    };
    let all = (0..8).map(|i| start(if i % 2 == 0 { world.local.clone() } else { other.clone() }));
    for done in futures::future::join_all(all).await {
        done.unwrap();
    }
    assert_eq!(world.pids(&node, 1).await.len(), 1);
    assert_eq!(world.presence(&node).await, other.presence(&node).await);
}

#[tokio::test]
async fn a_service_outlives_who_started_it_and_is_adopted() {
    let Some(wanted) = std::env::var_os(OUTLIVES) else { return outlives_its_parent().await };
    // The other side: a Granary that starts a service and ends.
    let wanted = wanted.into_string().unwrap();
    let mut words = wanted.split(' ');
    let mut word = || words.next().unwrap();
    let local = Local::new(word(), &region()).unwrap();
    let mut node = contract::node(word().parse().unwrap(), 0);
    node.id = word().parse().unwrap();
    let lease = Lease { datastore: node.datastore, token: 1 };
    local.start(lease, &node, "server", &sh("setsid sleep 1000 & exec sleep 1000")).await.unwrap();
}

async fn outlives_its_parent() {
    let world = World::new();
    let node = world.made().await;
    let wanted = format!("{} {} {}", world.home.path().display(), node.datastore, node.id);
    let exe = std::env::current_exe().unwrap();
    let output = again(&["a_service_outlives_who_started_it_and_is_adopted"], &[], &exe, &[(OUTLIVES, OsStr::new(&wanted))]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(world.pids(&node, 2).await.len(), 2);
    let first = world.first(&node).await;
    world.start(world.lease(), &node, "server", &contract::service()).await.unwrap();
    assert_eq!(world.first(&node).await, first);
    world.destroy_node(world.lease(), &node).await.unwrap();
    assert!(!proc::lives(first));
}

#[tokio::test]
async fn a_pid_that_is_anothers_now_is_never_signalled() {
    let world = World::new();
    let node = world.made().await;
    let mut foreign = Command::new("/bin/sleep").arg("1000").current_dir("/").spawn().unwrap();
    let pid = foreign.id();
    // As on a machine whose pids went round: the recorded pid lives, but began at another time, or in another boot.
    let stat = proc::stat(pid).unwrap();
    let boot = proc::boot().unwrap();
    for record in [format!("{pid} {} {boot}", stat.started - 1), format!("{pid} {} another-boot", stat.started)] {
        for name in ["service", "run"] {
            fs::write(world.local.0.dirs.node(&node).path().join(name), &record).unwrap();
        }
        assert_eq!(world.presence(&node).await, Presence::Dead);
        world.signal(world.lease(), &node, Signal::Terminate).await.unwrap();
        world.run(world.lease(), &node, &sh("true"), Duration::from_secs(5)).await.unwrap();
        world.fence(world.lease(), &node).await.unwrap();
    }
    world.destroy_node(world.lease(), &node).await.unwrap();
    let lives = proc::lives(pid);
    foreign.kill().unwrap();
    foreign.wait().unwrap();
    assert!(lives);
}

#[tokio::test]
async fn what_somebody_else_made_is_refused_and_untouched() {
    let world = World::new();
    let mut node = world.node(0);
    node.volume = Some(Uuid::new_v4());
    world.ensure_node(world.lease(), &node).await.unwrap();
    world.destroy_node(world.lease(), &node).await.unwrap();
    let dirs = &world.local.0.dirs;
    let places = [dirs.node(&node), dirs.volume(node.volume.unwrap(), node.datastore), dirs.sockets("node", node.id)];
    for place in places.iter().map(super::super::owned::Owned::path) {
        fs::create_dir(place).unwrap();
        fs::write(place.join("precious"), "kept").unwrap();
        let made = world.ensure_node(world.lease(), &node).await.unwrap_err();
        assert!(format!("{made:#}").contains("is in the way"), "{made:#}");
        assert!(world.start(world.lease(), &node, "server", &contract::service()).await.is_err());
        assert!(world.destroy_node(world.lease(), &node).await.is_err());
        assert_eq!(fs::read_to_string(place.join("precious")).unwrap(), "kept");
        assert_eq!(fs::read_dir(place).unwrap().count(), 1);
        fs::remove_dir_all(place).unwrap();
        world.destroy_node(world.lease(), &node).await.unwrap();
    }
    // A link to a marked directory is not ours either.
    let other = world.made().await;
    std::os::unix::fs::symlink(dirs.node(&other).path(), dirs.node(&node).path()).unwrap();
    assert!(world.destroy_node(world.lease(), &node).await.is_err());
    assert!(dirs.node(&other).is_there().unwrap());
}

#[tokio::test]
async fn a_making_or_removal_that_was_broken_off_is_repeated() {
    let world = World::new();
    let node = world.node(0);
    let dirs = &world.local.0.dirs;
    // Killed between the directory and its mark, and after the mark.
    let half = |marked: bool| {
        let datastore = dirs.datastore(world.datastore);
        let half = datastore.path().with_file_name(format!(".{}.new", world.datastore));
        fs::create_dir(&half).unwrap();
        if marked {
            fs::write(half.join(".granary"), "half").unwrap();
        }
    };
    half(false);
    world.ensure_node(world.lease(), &node).await.unwrap();
    world.destroy_node(world.lease(), &node).await.unwrap();
    half(true);
    world.destroy_datastore(world.lease()).await.unwrap();
    // Killed between the mark's end and the directory's.
    fs::create_dir(dirs.datastore(world.datastore).path()).unwrap();
    fs::create_dir(dirs.sockets("node", node.id).path()).unwrap();
    world.ensure_node(world.lease(), &node).await.unwrap();
    world.destroy_node(world.lease(), &node).await.unwrap();
    world.destroy_datastore(world.lease()).await.unwrap();
    fs::create_dir(dirs.datastore(world.datastore).path()).unwrap();
    world.destroy_datastore(world.lease()).await.unwrap();
    assert_eq!(world.left(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn destroying_leaves_nothing_but_the_token() {
    let world = World::new();
    let nodes = [world.node(0), world.node_with_volume(1)];
    let (family, count) = world.family();
    let mut pids = Vec::new();
    for node in &nodes {
        world.ensure_node(world.lease(), node).await.unwrap();
        world.start(world.lease(), node, "server", &family).await.unwrap();
        pids.extend(world.pids(node, count).await);
    }
    assert_eq!(pids.len(), 2 * count);
    let passwd = || fs::read_to_string("/etc/passwd").unwrap().matches(&world.datastore.to_string()).count();
    assert_eq!(passwd(), usize::from(is_root()));
    for node in &nodes {
        world.destroy_node(world.lease(), node).await.unwrap();
    }
    world.destroy_datastore(world.lease()).await.unwrap();
    assert!(pids.iter().all(|pid| !proc::lives(*pid)));
    assert_eq!(passwd(), 0);
    assert_eq!(world.left(), Vec::<PathBuf>::new());
    assert_eq!(world.mounts(), Vec::<String>::new());
    assert!(world.group().is_none_or(|group| !group.exists()));
    let locks: Vec<_> = fs::read_dir(world.home.path().join("locks")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(locks.contains(&world.datastore.to_string().into()) && locks.len() <= 2, "{locks:?}");
}

#[tokio::test]
async fn a_home_that_cannot_serve_is_refused_with_the_reason() {
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let open_to_all = Local::new(closed.path(), &region()).unwrap_err();
    assert!(open_to_all.to_string().contains("only this user can change"), "{open_to_all}");
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o775)).unwrap();
    Local::new(closed.path(), &region()).unwrap();
    assert_eq!(fs::metadata(closed.path()).unwrap().permissions().mode() & 0o777, 0o755, "closed to its group");
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let below = Local::new(closed.path().join("home"), &region());
    assert_eq!(below.is_err(), is_root(), "nodes' users cannot pass a closed directory");
    let incus = Region { platform: "incus".to_owned(), ..region() };
    assert!(Local::new(closed.path(), &incus).unwrap_err().to_string().contains("incus"));
}

#[tokio::test]
async fn sockets_of_a_deep_home_lie_in_a_short_place() {
    let world = World::new();
    let deep = world.home.path().join("a".repeat(100));
    let local = Local::new(&deep, &region()).unwrap();
    let node = world.node(0);
    let paths = local.paths(&node);
    let base = paths.run.ancestors().nth(2).unwrap().to_owned();
    let made = local.ensure_node(world.lease(), &node).await;
    let length = paths.run.as_os_str().len();
    let there = paths.run.is_dir();
    let destroyed = local.destroy_node(world.lease(), &node).await;
    let datastore = local.destroy_datastore(world.lease()).await;
    let empty = fs::read_dir(&base).unwrap().flatten().map(|e| e.file_name()).collect::<Vec<_>>();
    fs::remove_dir_all(&base).unwrap();
    made.unwrap();
    destroyed.unwrap();
    datastore.unwrap();
    assert!(there && length <= 90, "{}", paths.run.display());
    assert_eq!(empty, [".granary"]);
}
