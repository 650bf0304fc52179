//! What a node may take of the machine, as the kernel has it.

use super::{super::limits::Kind, *};

const LIMIT: Duration = Duration::from_mins(1);

/// What the kernel holds a node to; `None` where the limit cannot be set on this machine.
fn read(world: &World, node: &NodeSpec, kind: Kind, [unified, version_1]: [&str; 2]) -> Option<String> {
    let set = world.local.0.set(node).unwrap();
    let (directory, is_unified) = set.limits.as_ref()?.directory(kind)?;
    Some(fs::read_to_string(directory.join(if is_unified { unified } else { version_1 })).unwrap().trim().to_owned())
}

fn enforces(world: &World, kind: Kind) -> bool {
    let enforced = world.local.0.limits.has(kind);
    if !enforced {
        println!("skipped: {kind:?} cannot be limited on this machine");
    }
    enforced
}

#[tokio::test]
async fn r081_limits_are_the_flavors_and_change_with_it() {
    let world = World::new();
    let node = world.made().await;
    let larger = NodeSpec { ram_mb: 2048, vcpus: 2, ..node.clone() };
    for (node, memory_mb, cpus, processes) in [(&node, 640_u64, 1, 512), (&larger, 2304, 2, 512), (&node, 640, 1, 512)] {
        world.ensure_node(world.lease(), node).await.unwrap();
        if enforces(&world, Kind::Memory) {
            assert_eq!(read(&world, node, Kind::Memory, ["memory.max", "memory.limit_in_bytes"]), Some((memory_mb << 20).to_string()));
        }
        if enforces(&world, Kind::Cpus) {
            let quota = read(&world, node, Kind::Cpus, ["cpu.max", "cpu.cfs_quota_us"]).unwrap();
            assert_eq!(quota.split(' ').next().unwrap(), (cpus * 100_000).to_string());
        }
        if enforces(&world, Kind::Processes) {
            assert_eq!(read(&world, node, Kind::Processes, ["pids.max", "pids.max"]), Some(processes.to_string()));
        }
    }
    // Groups that a reboot took come back with the next start, with their limits.
    world.local.0.set(&node).unwrap().remove_group().unwrap();
    world.start(world.lease(), &node, "server", &contract::service()).await.unwrap();
    if enforces(&world, Kind::Memory) {
        assert_eq!(read(&world, &node, Kind::Memory, ["memory.max", "memory.limit_in_bytes"]), Some((640_u64 << 20).to_string()));
    }
    let set = world.local.0.set(&node).unwrap();
    let groups: Vec<PathBuf> =
        [Kind::Memory, Kind::Cpus, Kind::Processes].iter().filter_map(|kind| Some(set.limits.as_ref()?.directory(*kind)?.0.to_owned())).collect();
    assert!(groups.iter().all(|group| group.exists()));
    world.destroy_node(world.lease(), &node).await.unwrap();
    assert!(groups.iter().all(|group| !group.exists() && !group.parent().unwrap().exists()), "nothing of them is left: {groups:?}");
}

#[tokio::test]
async fn a_process_over_its_nodes_memory_is_killed_alone() {
    let world = World::new();
    if !enforces(&world, Kind::Memory) {
        return;
    }
    let node = NodeSpec { ram_mb: 16, ..world.node(0) };
    world.ensure_node(world.lease(), &node).await.unwrap();
    world.start(world.lease(), &node, "server", &sh("setsid sleep 1000 & exec sleep 1000")).await.unwrap();
    let service = world.pids(&node, 2).await;
    // 144 MB are allowed.
    let takes = |mb: u32| sh(&format!("perl -e '$x = \"x\" x ({mb} << 20)'"));
    world.run(world.lease(), &node, &takes(20), LIMIT).await.unwrap();
    let error = world.run(world.lease(), &node, &takes(400), LIMIT).await.unwrap_err();
    assert!(error.to_string().contains("sh ended"), "{error:#}");
    assert_eq!(world.pids(&node, 2).await, service, "the server goes on");
}

#[tokio::test]
async fn a_node_is_held_to_the_processor_time_of_its_group() {
    let world = World::new();
    if !enforces(&world, Kind::Cpus) {
        return;
    }
    let node = world.made().await;
    world.start(world.lease(), &node, "server", &sh("while :; do :; done")).await.unwrap();
    // A whole processor may be more than a busy machine, or one with a single processor, has for it: a tenth is not.
    let set = world.local.0.set(&node).unwrap();
    let (group, is_unified) = set.limits.as_ref().unwrap().directory(Kind::Cpus).unwrap();
    let (file, tenth) = if is_unified { ("cpu.max", "10000 100000") } else { ("cpu.cfs_quota_us", "10000") };
    fs::write(group.join(file), tenth).unwrap();
    let end = Instant::now() + LIMIT;
    loop {
        let stat = read(&world, &node, Kind::Cpus, ["cpu.stat", "cpu.stat"]).unwrap();
        let throttled = stat.lines().find_map(|l| l.strip_prefix("nr_throttled ")).unwrap();
        if throttled != "0" {
            break;
        }
        assert!(Instant::now() < end, "{stat}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_node_that_only_forks_comes_to_an_end() {
    let world = World::new();
    if !enforces(&world, Kind::Processes) {
        return;
    }
    let node = world.made().await;
    let forks = sh("i=0; while [ $i -lt 600 ]; do sleep 1000 & i=$((i + 1)); done");
    let error = format!("{:#}", world.run(world.lease(), &node, &forks, LIMIT).await.unwrap_err());
    assert!(error.to_lowercase().contains("fork"), "{error}");
}
