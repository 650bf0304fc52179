//! Volumes: a file system of their own as root, else a directory that is watched.

use super::*;
use crate::server::platform::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

const LIMIT: Duration = Duration::from_mins(1);

fn file(name: &str) -> File {
    File { name: name.to_owned(), content: b"kept".to_vec(), secret: true }
}

/// A world where volumes have a real size; `None`, and said, where this machine lets nobody mount.
fn real() -> Option<World> {
    let world = World::new();
    let real = world.enforcement().volumes;
    if !real {
        println!("skipped: only root can mount, and only where loop devices are there");
    }
    real.then_some(world)
}

impl World {
    fn volume(&self, node: &NodeSpec) -> PathBuf {
        self.local.0.dirs.volume(node.volume.unwrap(), node.datastore).path().to_owned()
    }
}

/// Names of the loop devices over a file.
fn loops_over(file: &Path) -> impl Iterator<Item = String> {
    let names = fs::read_dir("/sys/block").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(move |name| fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).is_ok_and(|over| Path::new(over.trim_end()) == file))
}

/// Fills its storage to the last block.
fn fill() -> Program {
    sh("dd if=/dev/zero of=full bs=1M; exit $?")
}

#[tokio::test]
async fn a_volume_is_a_file_system_of_its_size_that_its_node_can_fill_and_no_more() {
    let Some(world) = real() else { return };
    let node = world.node_with_volume(1);
    let begun = Instant::now();
    world.ensure_node(world.lease(), &node).await.unwrap();
    println!("a node with a volume was made in {:?}", begun.elapsed());
    assert_eq!(world.mounts().len(), 2, "one mount, one loop device: {:?}", world.mounts());
    assert_eq!(fs::read_dir(world.paths(&node).data).unwrap().count(), 0, "the engine finds it empty");
    let empty = world.space(&node).await.unwrap();
    assert!(empty.used < 10 << 20 && (900 << 20..1 << 30).contains(&empty.free), "{empty:?}");
    let options = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = options.lines().find(|l| l.contains(&node.volume.unwrap().to_string())).unwrap();
    assert!(line.contains("nosuid") && line.contains("nodev"), "{line}");

    let path = world.volume(&node).join("image");
    let past_the_cache = fs::OpenOptions::new().read(true).custom_flags(0x4000).open(&path); // O_DIRECT
    assert_eq!(past_the_cache.is_ok(), loops_over(&path).all(|name| fs::read_to_string(format!("/sys/block/{name}/loop/dio")).unwrap() == "1\n"));

    let error = world.run(world.lease(), &node, &fill(), LIMIT).await.unwrap_err();
    assert!(error.to_string().contains("No space left on device"), "{error:#}");
    let full = world.space(&node).await.unwrap();
    assert!(full.free < 1 << 20 && full.used > 900 << 20, "{full:?}");
    world.run(world.lease(), &node, &sh("rm full"), LIMIT).await.unwrap();
    assert!(world.space(&node).await.unwrap().free > 900 << 20);
    let image = fs::metadata(world.volume(&node).join("image")).unwrap();
    assert_eq!((image.len(), image.mode() & 0o7777, image.uid()), (1 << 30, 0o600, 0), "the node cannot reach what is under its file system");
    world.destroy_node(world.lease(), &node).await.unwrap();
    assert_eq!(world.mounts(), Vec::<String>::new());
}

#[tokio::test]
async fn r084_a_volume_grows_and_never_shrinks() {
    let Some(world) = real() else { return };
    let small = world.node_with_volume(1);
    let large = NodeSpec { storage: Storage::Volume { volume_type: "dynamic".to_owned(), gb: 2 }, ..small.clone() };
    world.ensure_node(world.lease(), &small).await.unwrap();
    world.put_files(world.lease(), &small, &[file("data/kept")]).await.unwrap();
    for node in [&large, &large, &small] {
        world.ensure_node(world.lease(), node).await.unwrap();
        let space = world.space(node).await.unwrap();
        assert!(space.free > 1900 << 20, "{space:?}");
        assert!(world.has_file(node, "kept").await.unwrap());
        assert_eq!(world.mounts().len(), 2, "{:?}", world.mounts());
    }
}

#[tokio::test]
async fn a_growth_while_the_server_runs_is_done_or_says_why_and_the_next_start_does_it() {
    let Some(world) = real() else { return };
    let small = world.node_with_volume(1);
    let large = NodeSpec { storage: Storage::Volume { volume_type: "dynamic".to_owned(), gb: 2 }, ..small.clone() };
    world.ensure_node(world.lease(), &small).await.unwrap();
    world.start(world.lease(), &small, "server", &sh("echo >held; exec sleep 1000 <held")).await.unwrap();
    let service = world.pids(&small, 1).await;
    let grown = world.ensure_node(world.lease(), &large).await;
    assert_eq!(world.pids(&small, 1).await, service);
    if let Err(error) = grown {
        // A container may keep this right from root.
        assert!(format!("{error:#}").contains("Permission denied to resize"), "{error:#}");
        assert!(world.space(&large).await.unwrap().free < 1 << 30);
        world.fence(world.lease(), &large).await.unwrap();
        world.ensure_node(world.lease(), &large).await.unwrap();
    }
    assert!(world.space(&large).await.unwrap().free > 1900 << 20);
}

#[tokio::test]
async fn after_a_reboot_a_volume_is_attached_again_and_its_absence_is_never_taken_for_emptiness() {
    let Some(world) = real() else { return };
    let node = world.node_with_volume(1);
    world.ensure_node(world.lease(), &node).await.unwrap();
    world.put_files(world.lease(), &node, &[file("data/kept")]).await.unwrap();
    let data = world.paths(&node).data;
    for again in ["ensure", "start"] {
        // As a reboot leaves it.
        assert!(Command::new("umount").arg(&data).status().unwrap().success());
        let error = world.has_file(&node, "kept").await.unwrap_err();
        assert!(error.to_string().contains("is not attached"), "{error:#}");
        assert!(world.space(&node).await.is_err());
        match again {
            "ensure" => drop(world.ensure_node(world.lease(), &node).await.unwrap()),
            _ => world.start(world.lease(), &node, "server", &contract::service()).await.unwrap(),
        }
        assert!(world.has_file(&node, "kept").await.unwrap(), "{again}");
    }
    world.detach(world.lease(), &node).await.unwrap();
    assert_eq!((world.mounts(), world.presence(&node).await), (Vec::new(), Presence::Dead));
    // What was written where the volume should be is neither hidden nor used.
    fs::write(data.join("stray"), "").unwrap();
    let error = world.ensure_node(world.lease(), &node).await.unwrap_err();
    assert!(format!("{error:#}").contains("do not lie on its volume"), "{error:#}");
    fs::remove_file(data.join("stray")).unwrap();
    world.ensure_node(world.lease(), &node).await.unwrap();
    assert!(world.has_file(&node, "kept").await.unwrap());
}

#[tokio::test]
async fn a_making_that_was_killed_anywhere_is_repeated() {
    let Some(world) = real() else { return };
    let node = world.node_with_volume(1);
    world.ensure_node(world.lease(), &node).await.unwrap();
    let (volume, data) = (world.volume(&node), world.paths(&node).data);
    let image = volume.join("image");
    let umount = || assert!(Command::new("umount").arg(&data).status().unwrap().success());
    let again = async |what: &str| {
        world.ensure_node(world.lease(), &node).await.unwrap_or_else(|e| panic!("{what}: {e:#}"));
        assert_eq!(world.mounts().len(), 2, "{what}: {:?}", world.mounts());
        assert!(!volume.join("image.new").exists(), "{what}");
    };
    umount();
    fs::remove_dir(&data).unwrap();
    fs::rename(&image, volume.join("image.new")).unwrap();
    again("half an image").await;
    umount();
    fs::remove_dir(&data).unwrap();
    again("an image without its directory").await;
    umount();
    assert!(Command::new("losetup").args(["--find", "--nooverlap"]).arg(&image).status().unwrap().success());
    assert_eq!(world.mounts().len(), 1);
    again("a loop device without its mount").await;
    let mounted = Command::new("mount").args(["-t", "ext4", "-o", "loop"]).args([&image, &data]).stderr(std::process::Stdio::null()).status();
    println!("mounted twice: {:?}", mounted.unwrap().success());
    world.destroy_node(world.lease(), &node).await.unwrap();
    assert_eq!((world.mounts(), volume.exists()), (Vec::new(), false));
}

#[tokio::test]
async fn what_somebody_else_mounted_or_looped_is_refused_and_untouched() {
    let Some(world) = real() else { return };
    let node = world.node_with_volume(1);
    world.ensure_node(world.lease(), &node).await.unwrap();
    world.detach(world.lease(), &node).await.unwrap();
    let data = world.paths(&node).data;
    assert!(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&data).status().unwrap().success());
    fs::write(data.join("precious"), "kept").unwrap();
    let errors = [
        world.ensure_node(world.lease(), &node).await.map(drop),
        world.start(world.lease(), &node, "server", &contract::service()).await,
        world.detach(world.lease(), &node).await,
        world.destroy_node(world.lease(), &node).await,
    ];
    for error in errors {
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.contains("is left alone"), "{error}");
    }
    assert_eq!(fs::read_to_string(data.join("precious")).unwrap(), "kept");
    assert!(Command::new("umount").arg(&data).status().unwrap().success());
    world.destroy_node(world.lease(), &node).await.unwrap();
}

#[tokio::test]
async fn a_volume_that_was_made_as_a_directory_stays_one() {
    let world = World::new();
    let bare = world.bare();
    let node = world.node_with_volume(1);
    bare.ensure_node(world.lease(), &node).await.unwrap();
    bare.put_files(world.lease(), &node, &[file("data/kept")]).await.unwrap();
    world.ensure_node(world.lease(), &node).await.unwrap();
    assert!(world.has_file(&node, "kept").await.unwrap());
    assert_eq!(world.mounts(), Vec::<String>::new());
    let space = world.space(&node).await.unwrap();
    let write = sh("head -c 100M /dev/zero >big");
    world.run(world.lease(), &node, &write, LIMIT).await.unwrap();
    let grown = world.space(&node).await.unwrap();
    assert!(grown.used >= space.used + (99 << 20) && grown.free <= space.free - (99 << 20), "{space:?} {grown:?}");
}

#[tokio::test]
async fn a_probe_that_was_killed_is_cleared_away() {
    let Some(world) = real() else { return };
    let mut dead = Command::new("/bin/true").spawn().unwrap();
    dead.wait().unwrap();
    let left = world.home.path().canonicalize().unwrap().join(format!(".probe-{}", dead.id()));
    fs::create_dir_all(left.join("data")).unwrap();
    fs::write(left.join(".granary"), "probe").unwrap();
    let (image, data) = (left.join("image"), left.join("data"));
    fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
    assert!(Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-F"]).arg(&image).status().unwrap().success());
    assert!(Command::new("mount").args(["-o", "loop"]).args([&image, &data]).status().unwrap().success());
    let local = Local::new(world.home.path(), &region()).unwrap();
    assert!(local.enforcement().volumes && !left.exists());
    assert_eq!(world.mounts(), Vec::<String>::new());
}
