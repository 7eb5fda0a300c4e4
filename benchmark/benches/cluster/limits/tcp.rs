//! How long it takes to another process and back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use lovebird_benchmark::Latencies;

use super::echo::Echo;
use super::link::START_MAX;
use super::period::Period;
use crate::system::Outcome;

/// About what a command of 100 bytes takes with all that is around it.
const MESSAGE_BYTES: usize = 128;

/// Round trips of 128 bytes over one loopback connection, one at a time.
pub(crate) fn round_trips(echo: &Echo, time: Duration) -> Outcome<Latencies> {
    let mut stream = connect(echo.tcp)?;
    stream.set_nodelay(true)?;
    let mut bytes = [7; MESSAGE_BYTES];
    let mut latencies = Latencies::new();
    let period = Period::of(time);
    loop {
        let begun = Instant::now();
        stream.write_all(&bytes)?;
        stream.read_exact(&mut bytes)?;
        let now = Instant::now();
        if period.counts(now) {
            latencies.record(now - begun);
        } else if period.is_over(now) {
            return Ok(latencies);
        }
    }
}

/// The process may only just have been started.
fn connect(port: u16) -> Outcome<TcpStream> {
    let begun = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return Ok(stream),
            Err(error) if begun.elapsed() > START_MAX => return Err(error.into()),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}
