//! Processes that are measured: started, watched from outside, and ended.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::system::Outcome;

/// What the kernel counts as one unit of CPU time, on every architecture that Linux has now (`sysconf(_SC_CLK_TCK)`).
const TICKS_A_SECOND: u64 = 100;

/// A process of ours. It is killed when this is dropped: what it has acknowledged is looked at before.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `command`. What it says goes to the file `log`, and its standard input stays open as long as we live, so that a process
    /// of ours can end by itself when we are gone.
    pub(crate) fn start(name: &str, mut command: Command, log: &Path) -> Outcome<Process> {
        let log = File::create(log)?;
        let child = command
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{name} cannot be started: {error}"))?;
        Ok(Process { child, name: name.to_owned() })
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error if it has ended.
    pub(crate) fn check(&mut self) -> Outcome<()> {
        match self.child.try_wait()? {
            Some(status) => Err(format!("{} has ended with {status}", self.name).into()),
            None => Ok(()),
        }
    }

    /// Ends it with SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Outcome<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.kill();
    }
}

/// Ports of the loopback interface that nobody listened on just now, all different.
pub(crate) fn free_ports<const N: usize>() -> Outcome<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::with_capacity(N);
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// What some processes have used since they began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Time on a core, in user space and in the kernel, of all their threads. In steps of 10 ms.
    pub(crate) cpu: Duration,
    /// What is in memory now.
    pub(crate) resident_bytes: u64,
}

impl Usage {
    /// Of all these processes together.
    pub(crate) fn of(processes: &[u32]) -> Outcome<Usage> {
        let mut sum = Usage::default();
        for process in processes {
            let read = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}"));
            let stat = read("stat")?;
            // The fields behind the name, which may hold spaces: the 12th and 13th are user and system time (proc_pid_stat(5)).
            let fields: Vec<&str> =
                stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
            let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
            let (Some(user), Some(system)) = (ticks(11), ticks(12)) else {
                return Err(format!("/proc/{process}/stat does not say how much time it used").into());
            };
            sum.cpu += Duration::from_millis((user + system) * 1_000 / TICKS_A_SECOND);
            sum.resident_bytes += field(&read("status")?, "VmRSS:").unwrap_or(0) << 10;
        }
        Ok(sum)
    }

    /// What came since `earlier`; of memory, what there is now.
    pub(crate) fn since(&self, earlier: &Usage) -> Usage {
        Usage { cpu: self.cpu.saturating_sub(earlier.cpu), resident_bytes: self.resident_bytes }
    }
}

/// How many bytes were written so far to the device that holds `dir`, by whomever; none where the system does not say. What the
/// kernel counts for a process (`write_bytes` of proc_pid_io(5)) is of no use here: where the page cache holds large folios, it counts
/// all of a folio of which a sector is written.
pub(crate) fn device_written_bytes(dir: &Path) -> Option<u64> {
    let device = fs::metadata(dir).ok()?.dev();
    // Fields as in Documentation/admin-guide/iostats.rst: the device, its name, and sectors of 512 bytes written as the tenth.
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
    let all = fs::read_to_string("/proc/diskstats").ok()?;
    let of_it = all.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|fields| {
        let is = |at: usize, number: u64| fields.get(at).and_then(|field| field.parse().ok()) == Some(number);
        is(0, major) && is(1, minor)
    })?;
    Some(of_it.get(9)?.parse::<u64>().ok()? * 512)
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}
