//! What a node's programs may do, and what they cannot talk Granary into.

use super::*;
use crate::server::platform::{Dial, File};
use std::os::unix::fs::{MetadataExt, symlink};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

const LIMIT: Duration = Duration::from_secs(10);

/// A server that answers on a socket as the node's user.
const ECHO: &str = r#"use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die $!;
while (my $c = $s->accept) { print $c "hello"; close $c }"#;

#[tokio::test]
async fn a_datastore_cannot_read_another() {
    if !is_root() {
        return;
    }
    let (world, other) = (World::new(), World::new());
    let node = world.made().await;
    let spied = other.made().await;
    let secret = File { name: "secret".to_owned(), content: b"x".to_vec(), secret: true };
    other.put_files(other.lease(), &spied, &[secret]).await.unwrap();
    let paths = other.paths(&spied);
    let run = async |script: String| world.run(world.lease(), &node, &sh(&script), LIMIT).await;
    for path in [&paths.data, &paths.config, &paths.run, &paths.log] {
        assert!(run(format!("ls {}", path.display())).await.is_err(), "{}", path.display());
    }
    assert!(run(format!("cat {}/secret", paths.config.display())).await.is_err());
    let own = other.run(other.lease(), &spied, &sh(&format!("cat {}/secret", paths.config.display())), LIMIT).await.unwrap();
    assert_eq!(own.stdout, "x");
}

#[tokio::test]
async fn a_program_has_its_users_rights_and_can_gain_none() {
    let world = World::new();
    let node = world.made().await;
    let status = world.run(world.lease(), &node, &sh("cat /proc/self/status; touch made; mkdir dir"), LIMIT).await.unwrap().stdout;
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    let data = fs::metadata(world.paths(&node).data).unwrap();
    let (uid, gid) = (data.uid(), data.gid());
    assert_eq!(field("Uid:"), [uid; 4].map(|id| id.to_string()).join("\t"));
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("CapEff:"), "0000000000000000");
    let made = fs::metadata(world.paths(&node).data.join("made")).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (uid, gid, 0o600), "nothing it makes is open to others");
    if is_root() {
        assert_eq!((field("Groups:").as_str(), uid == 0), ("", false));
        assert_eq!(fs::metadata(world.paths(&node).config).unwrap().mode() & 0o7777, 0o750);
    }
    for path in [world.paths(&node).data, world.paths(&node).run] {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o700);
    }
}

#[tokio::test]
async fn a_node_cannot_lead_granary_out_of_its_directories() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let node = world.made().await;
    let target = world.home.path().join("target");
    fs::create_dir(&target).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(target.join("kept"), "kept").unwrap();
    let paths = world.paths(&node);
    let (at, config, log) = (target.display(), paths.config.display(), paths.log.display());
    let links = sh(&format!("ln -s {at} dir; ln -s {at}/kept file; ln -s {at} .new"));
    world.run(world.lease(), &node, &links, LIMIT).await.unwrap();
    for script in [format!("touch {config}/x"), format!("touch {log}/x"), format!("rm -r {config}"), format!("echo 1 >{config}/../service")] {
        assert!(world.run(world.lease(), &node, &sh(&script), LIMIT).await.is_err(), "{script}");
    }
    let file = |name: &str| File { name: name.to_owned(), content: b"bad".to_vec(), secret: false };
    assert!(world.put_files(world.lease(), &node, &[file("data/dir/x")]).await.is_err());
    world.put_files(world.lease(), &node, &[file("data/file")]).await.unwrap();
    world.wipe_data(world.lease(), &node).await.unwrap();
    assert_eq!(fs::read_to_string(target.join("kept")).unwrap(), "kept");
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
    assert_eq!(fs::read_dir(&paths.data).unwrap().count(), 0);
}

#[tokio::test]
async fn an_administrators_stream_ends_at_the_nodes_own_user() {
    let world = World::new();
    let node = world.made().await;
    let run = world.paths(&node).run;
    let socket = run.join("s").display().to_string();
    let perl = Program { path: "/usr/bin/perl".into(), args: vec!["-e".to_owned(), ECHO.to_owned(), socket], env: Vec::new() };
    world.start(world.lease(), &node, "server", &perl).await.unwrap();
    let end = Instant::now() + Duration::from_secs(5);
    let mut stream = loop {
        match world.dial(&node, Dial::Socket("s")).await {
            Err(e) if Instant::now() > end => panic!("{e:#}: {}", world.tail(&node, "server", 1000).await),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            Ok(stream) => break stream,
        }
    };
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "hello");
    assert!(world.dial(&node, Dial::Socket("../s")).await.is_err());
    if is_root() {
        // The way to another datastore's server: a link to a socket where somebody else answers.
        let elsewhere = world.home.path().join("elsewhere");
        let _listens = UnixListener::bind(&elsewhere).unwrap();
        symlink(&elsewhere, run.join("led")).unwrap();
        let error = world.dial(&node, Dial::Socket("led")).await.err().expect("refused");
        assert!(format!("{error:#}").contains("user 0 answers"), "{error:#}");
    }
}

#[tokio::test]
async fn a_port_is_reached_and_seen_as_taken() {
    let world = World::new();
    let node = world.node(0);
    let listener = tokio::net::TcpListener::bind((node.address.ip(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    assert!(!world.is_free(address).await.unwrap());
    let mut stream = world.dial(&node, Dial::Port(address.port())).await.unwrap();
    let (mut accepted, _) = listener.accept().await.unwrap();
    stream.write_all(b"x").await.unwrap();
    assert_eq!(accepted.read_u8().await.unwrap(), b'x');
    drop((listener, accepted, stream));
    assert!(world.is_free(address).await.unwrap(), "what has ended holds nothing");
    assert!(world.dial(&node, Dial::Port(address.port())).await.is_err());
    assert!(world.is_free("192.0.2.1:5432".parse().unwrap()).await.is_err(), "not an address of this machine");
}
