//! Free ports.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which systems take the ports of outgoing connections: a port of that range could be taken by some
/// connection while the node that owns it is down.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on, and that this test binary has not given out before.
pub fn free() -> u16 {
    free_run(1)
}

/// The first of `count` such ports in a row.
pub fn free_run(count: u16) -> u16 {
    // Test binaries that run at the same time begin in different places.
    let start = (std::process::id().wrapping_mul(97) % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let offset = (start + NEXT.fetch_add(count, Ordering::Relaxed) % COUNT) % COUNT;
        let ports = FIRST + offset..FIRST + offset + count;
        if ports.clone().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return ports.start;
        }
    }
    panic!("no {count} free ports in a row from {FIRST} to {}", FIRST + COUNT);
}
