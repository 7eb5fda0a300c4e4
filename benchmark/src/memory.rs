//! How much memory this process has.

use std::fs;
use std::io;

/// Bytes of this process that are in memory now, pages of mapped files included.
///
/// Read from `/proc/self/status`, which says it in kibibytes, whatever the size of a page.
///
/// # Errors
/// Where there is no such file, which is everywhere but on Linux.
pub fn resident_bytes() -> io::Result<u64> {
    read("VmRSS:")
}

/// The most that [`resident_bytes`] has been since this process began: what was needed only for a moment counts too.
///
/// # Errors
/// As for [`resident_bytes`].
pub fn peak_bytes() -> io::Result<u64> {
    read("VmHWM:")
}

fn read(field: &str) -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    parse(&status, field).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("/proc/self/status does not say {field}"))
    })
}

fn parse(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kibibytes_are_found_in_the_middle() {
        let status = "Name:\tlog\nVmHWM:\t  9 kB\nVmRSS:\t    1234 kB\nRssAnon:\t 5 kB\n";
        assert_eq!(parse(status, "VmRSS:"), Some(1234 << 10));
        assert_eq!(parse("Name:\tlog\n", "VmRSS:"), None);
    }
}
