//! What a figure depends on beside the code. Not the machine's name, which tells a reader nothing.

use std::fs;
use std::io;
use std::path::Path;

/// How many cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How many threads ran or waited to, on average over the last minute; none where the system does not say.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The type of the file system that `dir` is on, such as `ext4`; "unknown" where the system does not say.
///
/// # Errors
/// If there is no such directory.
pub fn file_system(dir: &Path) -> io::Result<String> {
    let dir = fs::canonicalize(dir)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    Ok(find(&mounts, &dir).unwrap_or("unknown").to_owned())
}

/// The type of the innermost mount that `dir` is in. A later line hides an earlier one of the same mount point.
fn find<'a>(mounts: &'a str, dir: &Path) -> Option<&'a str> {
    // Fields as in proc_pid_mountinfo(5): the mount point is the fifth, the type the first behind a lone hyphen.
    let mount = |line: &'a str| {
        let (fields, rest) = line.split_once(" - ")?;
        Some((fields.split(' ').nth(4)?, rest.split(' ').next()?))
    };
    mounts
        .lines()
        .filter_map(mount)
        .filter(|(point, _)| dir.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_decides() {
        let mounts = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/a rw\n\
                      30 22 0:26 / /tmp rw - tmpfs tmpfs rw\n\
                      31 22 0:27 / /tmpest rw - xfs /dev/b rw\n";
        assert_eq!(find(mounts, Path::new("/tmp/x")), Some("tmpfs"));
        assert_eq!(find(mounts, Path::new("/tmpest")), Some("xfs"));
        assert_eq!(find(mounts, Path::new("/home")), Some("ext4"));
        assert_eq!(find("", Path::new("/home")), None);
    }
}
