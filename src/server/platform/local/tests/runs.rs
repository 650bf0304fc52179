//! Programs that run to their end, what they say, and what they may leave.

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_program_says_what_it_did() {
    let world = World::new();
    let node = world.made().await;
    let program = Program { env: vec![("OWN".to_owned(), "x".to_owned())], ..sh("echo out; echo err >&2; pwd; env | sort; umask") };
    let output = world.run(world.lease(), &node, &program, LIMIT).await.unwrap();
    let data = world.paths(&node).data.canonicalize().unwrap();
    let env: Vec<&str> = output.stdout.lines().skip(2).collect();
    assert!(output.stdout.starts_with(&format!("out\n{}\n", data.display())), "{}", output.stdout);
    assert_eq!(env[..3], ["LANG=C.UTF-8", "LC_ALL=C.UTF-8", "OWN=x"], "nothing of Granary's own reaches it");
    assert!(env[3].starts_with("PATH=") && env[4].starts_with("PWD=") && env.len() == 6, "{env:?}");
    assert_eq!((env[5], output.stderr.as_str(), output.code), ("0077", "err\n", Some(0)));
}

#[tokio::test]
async fn a_failure_carries_the_end_of_what_it_said() {
    let world = World::new();
    let node = world.made().await;
    let run = async |script: &str| format!("{:#}", world.run(world.lease(), &node, &sh(script), LIMIT).await.unwrap_err());
    let error = run("seq 100000 >&2; echo 'no space left' >&2; exit 3").await;
    assert!(error.starts_with("sh ended with code 3") && error.ends_with("99999\n100000\nno space left") && error.len() < 3000, "{error}");
    assert!(run("kill -KILL $$").await.contains("ended by a signal"));
    assert!(run("exit 1").await.contains("said nothing"));
    let missing = Program { path: "/nonexistent/initdb".into(), args: Vec::new(), env: Vec::new() };
    let error = world.run(world.lease(), &node, &missing, LIMIT).await.unwrap_err();
    assert!(error.to_string().contains("/nonexistent/initdb is not there"), "{error}");
}

#[tokio::test]
async fn a_flood_is_cut_to_its_end() {
    let world = World::new();
    let node = world.made().await;
    let output = world.run(world.lease(), &node, &sh("head -c 5000000 /dev/zero | tr '\\0' x; echo end"), LIMIT).await.unwrap();
    assert_eq!(output.stdout.len(), 1 << 20);
    assert!(output.stdout.ends_with("xend\n"));
}

#[tokio::test]
async fn after_its_limit_it_is_killed_with_its_children_and_the_service_stays() {
    for world in [World::new(), World::without_groups()] {
        let node = world.made().await;
        world.start(world.lease(), &node, "server", &sh("setsid sleep 1000 & exec sleep 1000")).await.unwrap();
        let service = world.pids(&node, 2).await;
        let script = sh("sleep 1000 & setsid sleep 1000 & echo begun; sleep 1000");
        let began = Instant::now();
        let error = world.run(world.lease(), &node, &script, Duration::from_secs(2)).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
        assert!(error.to_string().contains("did not end within 2s and was killed: begun"), "{error}");
        assert_eq!(world.pids(&node, 2).await, service);
    }
}

#[tokio::test]
async fn what_a_program_leaves_in_the_background_ends_with_it() {
    for world in [World::new(), World::without_groups()] {
        let node = world.made().await;
        let began = Instant::now();
        let output = world.run(world.lease(), &node, &sh("sleep 1000 & echo done"), LIMIT).await.unwrap();
        assert_eq!(output.stdout, "done\n");
        assert!(began.elapsed() < Duration::from_secs(5), "an open pipe does not hold it up");
        assert_eq!(world.pids(&node, 0).await, [0; 0]);
    }
}

#[tokio::test]
async fn a_run_whose_granary_died_is_ended_by_the_next() {
    for world in [World::new(), World::without_groups()] {
        let node = world.made().await;
        world.start(world.lease(), &node, "server", &contract::service()).await.unwrap();
        let service = world.first(&node).await;
        // The runtime's end is Granary's: nothing of it waits for the program any more.
        let (local, spec, lease) = (world.local.clone(), node.clone(), world.lease());
        let died = move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.spawn(async move { local.run(lease, &spec, &sh("sleep 1000 & exec sleep 1000"), LIMIT).await });
            std::thread::sleep(Duration::from_millis(500));
            runtime.shutdown_background();
        };
        tokio::task::spawn_blocking(died).await.unwrap();
        assert_eq!(world.pids(&node, 3).await.len(), 3);
        world.run(world.lease(), &node, &sh("true"), LIMIT).await.unwrap();
        assert_eq!(world.pids(&node, 1).await, [service]);
    }
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_is_ended_before_the_next_effect() {
    for world in [World::new(), World::without_groups()] {
        let node = world.made().await;
        let slow = sh("echo begun >begun; sleep 1000 & sleep 1000; echo done >done");
        let waited = tokio::time::timeout(Duration::from_millis(500), world.run(world.lease(), &node, &slow, LIMIT)).await;
        assert!(waited.is_err());
        // The next effect comes after its end, not into it.
        let next = Lease { token: 2, ..world.lease() };
        world.put_files(next, &node, &[]).await.unwrap();
        assert!(world.pids(&node, 0).await.is_empty());
        assert!(world.has_file(&node, "begun").await.unwrap() && !world.has_file(&node, "done").await.unwrap());
    }
}

#[tokio::test]
async fn a_service_writes_its_log_and_a_program_is_asked_without_rights() {
    let world = World::new();
    let node = world.made().await;
    for line in ["first", "second"] {
        world.start(world.lease(), &node, "server", &sh(&format!("echo {line}; echo {line} >&2; exec sleep 1000"))).await.unwrap();
        let end = Instant::now() + Duration::from_secs(5);
        while world.tail(&node, "server", 1000).await.matches(line).count() < 2 && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.fence(world.lease(), &node).await.unwrap();
    }
    assert_eq!(world.tail(&node, "server", 1000).await, "first\nfirst\nsecond\nsecond\n");
    assert_eq!(world.tail(&node, "server", 4).await, "ond\n");
    assert_eq!(world.tail(&node, "../config/x", 4).await, "");
    let asked = world.ask(&sh("id -u; exit 7")).await.unwrap();
    let uid = if is_root() { "65534\n".to_owned() } else { format!("{}\n", super::super::User::me().uid) };
    assert_eq!((asked.stdout, asked.code), (uid, Some(7)));
    assert_eq!(world.find(&["/bin/s*h".to_owned()]).await.iter().filter(|p| p.ends_with("sh")).count(), 1);
}
