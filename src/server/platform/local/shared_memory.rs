//! System V shared memory: each of `PostgreSQL`'s servers has a segment, and takes back its own after a kill. One that never comes
//! back leaves it for ever, and a machine has room for 4096.

use super::launch::tool;
use anyhow::{Context, ensure};
use std::{fs, process::Command};

/// What the kernel says of a segment.
#[derive(Debug, PartialEq, Eq)]
struct Segment {
    id: u32,
    creator: u32,
    attached: u32,
    uid: u32,
}

/// Fields of a line are `key shmid perms size cpid lpid nattch uid …`; the first line names them.
fn parse(list: &str) -> Vec<Segment> {
    let segment = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let mut next = |skip: usize| fields.nth(skip)?.parse().ok();
        Some(Segment { id: next(0)?, creator: next(2)?, attached: next(1)?, uid: next(0)? })
    };
    list.lines().filter_map(segment).collect()
}

/// Frees what a process that has ended left: made by it, as this user, and held by nobody.
///
/// # Errors
/// When the kernel's list cannot be read, or a segment not be freed.
pub fn free(creator: u32, uid: u32) -> anyhow::Result<()> {
    let list = fs::read_to_string("/proc/sysvipc/shm").context("shared memory cannot be listed")?;
    for left in parse(&list).iter().filter(|segment| segment.creator == creator && segment.uid == uid && segment.attached == 0) {
        let freed = Command::new(tool("ipcrm")).args(["--shmem-id", &left.id.to_string()]).env_clear().output().context("ipcrm cannot be started")?;
        ensure!(freed.status.success(), "a segment of shared memory cannot be freed: {}", String::from_utf8_lossy(&freed.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_told_by_its_maker_its_user_and_its_holders() {
        let list = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime\n  11100167     557056   600                    56  2474  2483      3   101   104   101   104 1795276990\n";
        assert_eq!(parse(list), [Segment { id: 557_056, creator: 2474, attached: 3, uid: 101 }]);
    }
}
