//! What is mounted, and which file lies under a loop device, as the kernel says it.

use std::{
    fs::{self, File},
    io,
    os::unix::{ffi::OsStringExt, fs::FileExt},
    path::{Path, PathBuf},
};

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub at: PathBuf,
    /// `major:minor` of its device.
    device: String,
}

/// The uppermost mount at exactly this path.
///
/// # Errors
/// When the kernel's list cannot be read.
pub fn at(path: &Path) -> io::Result<Option<Mount>> {
    Ok(parse(&fs::read_to_string("/proc/self/mountinfo")?).into_iter().rfind(|mount| mount.at == path))
}

fn parse(mountinfo: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(2);
        let (device, at) = (fields.next()?.to_owned(), fields.nth(1)?);
        Some(Mount { at: unescape(at), device })
    };
    mountinfo.lines().filter_map(mount).collect()
}

/// The kernel writes blanks and backslashes of a path as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = tail.get(..3).filter(|_| *first == b'\\').and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    std::ffi::OsString::from_vec(bytes).into()
}

impl Mount {
    /// Its loop device; `None` when it lies on something else.
    pub fn device(&self) -> Option<Loop> {
        let name = fs::canonicalize(format!("/sys/dev/block/{}", self.device)).ok()?;
        Loop::named(name.file_name()?.to_str()?)
    }
}

/// A loop device in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loop {
    name: String,
    /// The file under it.
    pub file: PathBuf,
}

impl Loop {
    fn named(name: &str) -> Option<Self> {
        let file = fs::read(format!("/sys/block/{name}/loop/backing_file")).ok()?;
        let file = String::from_utf8(file).ok()?;
        // The kernel marks a file that was removed; it is still held.
        let file = file.trim_end_matches('\n');
        Some(Self { name: name.to_owned(), file: file.strip_suffix(" (deleted)").unwrap_or(file).into() })
    }

    /// Every loop device over this file.
    pub fn over(file: &Path) -> Vec<Self> {
        let names = fs::read_dir("/sys/block").into_iter().flatten().flatten().filter_map(|e| e.file_name().into_string().ok());
        names.filter(|name| name.starts_with("loop")).filter_map(|name| Self::named(&name)).filter(|device| device.file == file).collect()
    }

    /// Its file.
    pub fn path(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }

    /// Whether it writes past the page cache of its file.
    pub fn is_direct(&self) -> bool {
        fs::read_to_string(format!("/sys/block/{}/loop/dio", self.name)).is_ok_and(|dio| dio.trim() == "1")
    }

    /// Bytes of the device, which are those its file had when the kernel last looked.
    ///
    /// # Errors
    /// When it is gone.
    pub fn size(&self) -> io::Result<u64> {
        let sectors = fs::read_to_string(format!("/sys/block/{}/size", self.name))?;
        sectors.trim().parse::<u64>().map(|sectors| sectors * 512).map_err(io::Error::other)
    }

    /// Bytes of the ext4 on it, from its superblock: a growth that was broken off leaves less than the device has.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file_system_size(&self) -> io::Result<u64> {
        let mut block = [0; 1024];
        File::open(self.path())?.read_exact_at(&mut block, 1024)?;
        let field = |at: usize| u64::from(u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]));
        // s_blocks_count_lo, s_blocks_count_hi, s_log_block_size.
        Ok((field(0x4) | field(0x150) << 32) * (1024 << field(0x18).min(6)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_with_blanks_in_its_path() {
        let info = "30 23 0:30 / /sys rw,relatime - sysfs sysfs rw\n42 27 7:0 / /a\\040b/data rw,nosuid - ext4 /dev/loop0 rw\n";
        let mounts = parse(info);
        assert_eq!(mounts[1], Mount { at: "/a b/data".into(), device: "7:0".to_owned() });
        assert_eq!(unescape("/a\\134\\x"), PathBuf::from("/a\\\\x"));
    }

    #[test]
    fn what_is_mounted_here_is_seen() {
        assert!(at(Path::new("/proc")).unwrap().is_some_and(|mount| mount.device().is_none()));
        assert_eq!(at(Path::new("/nonexistent")).unwrap(), None);
        assert!(Loop::over(Path::new("/nonexistent")).is_empty());
    }
}
