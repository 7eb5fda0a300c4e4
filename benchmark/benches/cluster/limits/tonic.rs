//! What a call costs, and what a message on a stream costs, when nothing is done behind it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::poll_fn;
use lovebird_benchmark::Latencies;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::echo::Echo;
use super::link;
use super::period::Period;
use crate::process::Usage;
use crate::system::Outcome;

/// A command of the load.
const MESSAGE_BYTES: usize = 100;

/// What came of calls, or of messages on a stream and their answers.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    /// Calls a second.
    pub(crate) rate: f64,
    pub(crate) latencies: Latencies,
    /// CPU time a call, of this process.
    pub(crate) client_cpu: Duration,
    /// CPU time a call, of the one that answers.
    pub(crate) server_cpu: Duration,
}

/// Unary calls over one connection, with so many outstanding.
pub(crate) async fn unary(echo: &Echo, outstanding: usize, time: Duration) -> Outcome<Calls> {
    let channel = link::connect(echo.grpc).await?;
    let period = Period::of(time);
    let callers = (0..outstanding).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move {
            let message = Bytes::from_static(&[7; MESSAGE_BYTES]);
            let mut latencies = Latencies::new();
            loop {
                let begun = Instant::now();
                link::unary(&channel, message.clone()).await?;
                let now = Instant::now();
                if period.counts(now) {
                    latencies.record(now - begun);
                } else if period.is_over(now) {
                    return Ok(latencies);
                }
            }
        })
    });
    calls(echo, period, callers.collect()).await
}

/// Messages on one stream, one command each, with so many outstanding.
pub(crate) async fn streamed(echo: &Echo, outstanding: usize, time: Duration) -> Outcome<Calls> {
    let channel = link::connect(echo.grpc).await?;
    let (send, mut sent) = mpsc::unbounded_channel();
    let mut answers = link::stream(&channel, poll_fn(move |context| sent.poll_recv(context))).await?;
    let period = Period::of(time);
    let caller = tokio::spawn(async move {
        let message = Bytes::from_static(&[7; MESSAGE_BYTES]);
        let mut latencies = Latencies::new();
        let mut begun = VecDeque::with_capacity(outstanding);
        loop {
            while begun.len() < outstanding {
                begun.push_back(Instant::now());
                send.send(message.clone())?;
            }
            answers.message().await?.ok_or("the stream of answers ended")?;
            let now = Instant::now();
            let took = begun.pop_front().map_or(Duration::ZERO, |begun| now - begun);
            if period.counts(now) {
                latencies.record(took);
            } else if period.is_over(now) {
                return Ok(latencies);
            }
        }
    });
    calls(echo, period, vec![caller]).await
}

/// Watches both processes during the period, and gathers what the callers have counted.
async fn calls(echo: &Echo, period: Period, callers: Vec<JoinHandle<Outcome<Latencies>>>) -> Outcome<Calls> {
    let usage = || Outcome::Ok((Usage::of(&[std::process::id()])?.cpu, Usage::of(&[echo.id()])?.cpu));
    tokio::time::sleep_until(period.begins.into()).await;
    let before = usage()?;
    tokio::time::sleep_until(period.ends.into()).await;
    let after = usage()?;
    let mut latencies = Latencies::new();
    for caller in callers {
        latencies.add(&caller.await??);
    }
    let each = |used: Duration| used.div_f64(latencies.count().max(1) as f64);
    Ok(Calls {
        rate: latencies.count() as f64 / (period.ends - period.begins).as_secs_f64(),
        client_cpu: each(after.0 - before.0),
        server_cpu: each(after.1 - before.1),
        latencies,
    })
}
