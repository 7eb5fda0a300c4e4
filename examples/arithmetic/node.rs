//! One node: the library's node and the HTTP in front of it, from the command line to a clean end.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use lovebird::{ClientOptions, Node, NodeBuilder, Primary, Stopped};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::http::{self, Calculator};
use crate::peer::Peer;
use crate::service::Arithmetic;

/// How long a clean end may take. A node may be killed at any moment, so nothing is lost when it takes longer.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// How long those who are answered already may take to go, before the node ends.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// Which model the service runs in. This is the one place where it is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// The log holds what clients ask for: `x+=5`.
    StateMachine,
    /// The log holds what a primary made of it: `x=6`.
    PrimaryBackup,
}

#[derive(Args)]
pub struct Options {
    /// This node's number.
    #[arg(long)]
    pub id: u64,
    /// The directory of its log and its snapshots.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Where it listens to users.
    #[arg(long, value_name = "ADDRESS")]
    pub http: SocketAddr,
    /// Where it listens to its peers.
    #[arg(long, value_name = "ADDRESS")]
    pub raft: SocketAddr,
    /// A member that the cluster begins with and where its peers reach it; once per member, this one included.
    #[arg(long = "peer", value_name = "ID=ADDRESS", required_unless_present = "join")]
    pub peers: Vec<Peer>,
    /// A node of a cluster that runs already, instead of --peer; may be given several times. This node waits to be added.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "peers")]
    pub join: Vec<String>,
    /// The disk of this node is lost for good: with an empty directory it takes its own place again.
    #[arg(long)]
    pub replace: bool,
    /// The cluster's name, the same on all nodes.
    #[arg(long, value_name = "NAME", default_value = "arithmetic")]
    pub cluster: String,
    /// What the log holds, the same on all nodes and for as long as the data lives.
    #[arg(long, value_enum, default_value_t = Mode::StateMachine)]
    pub mode: Mode,
    /// Take a snapshot after so many records …
    #[arg(long, value_name = "RECORDS", default_value_t = 100_000)]
    pub snapshot_records: u64,
    /// … or so many bytes of them.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    pub snapshot_bytes: u64,
    /// How many records stay behind a snapshot, for slow followers.
    #[arg(long, value_name = "RECORDS", default_value_t = 10_000)]
    pub keep_records: u64,
    /// How often the leader is heard, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub heartbeat_ms: u64,
    /// After how long a silence of the leader's another is elected, in milliseconds; up to twice that, by chance.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    pub election_ms: u64,
    /// After so many milliseconds without use a name of an Idempotency-Key expires.
    #[arg(long, value_name = "MS", default_value_t = 24 * 3600 * 1000)]
    pub key_expiry_ms: u64,
    /// Begin with an empty directory; what is deleted must be a node's.
    #[arg(long)]
    pub fresh: bool,
    /// End when standard input, a pipe, ends: how a launcher takes its nodes with it, however it goes itself.
    #[arg(long, hide = true)]
    pub until_stdin_ends: bool,
}

/// Runs a node until it is asked to end, or cannot go on.
pub async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    match options.mode {
        Mode::StateMachine => run_service(Arithmetic::default(), options).await,
        Mode::PrimaryBackup => run_service(Primary(Arithmetic::default()), options).await,
    }
}

async fn run_service<S: Calculator>(service: S, options: Options) -> Result<(), Box<dyn Error>> {
    if options.fresh && options.data.try_exists()? {
        lovebird::remove_data(&options.data)?;
    }
    // Listened to from here on, so that a signal that comes during the start is not missed, and ends the start too.
    let asked = asked_to_end(options.until_stdin_ends)?;
    tokio::pin!(asked);
    let listener = TcpListener::bind(options.http).await.map_err(|error| {
        format!("cannot listen on {}: {error}; free it or choose another --http", options.http)
    })?;
    let node = tokio::select! {
        node = start(service, &options) => node?,
        () = &mut asked => return Ok(()),
    };
    let (end_http, http_ends) = tokio::sync::oneshot::channel::<()>();
    let router = http::router(node.clone());
    let http = axum::serve(listener, router).with_graceful_shutdown(async move {
        // An error means that the sender is gone, which is a reason to end as well.
        let _ = http_ends.await;
    });
    let mut http = tokio::spawn(http.into_future());
    let stopped = tokio::select! {
        stopped = node.stopped() => stopped,
        () = &mut asked => Stopped::Shutdown,
    };
    // No new connections; then those who are there get their answers, except for those who follow the log, who would stay for ever;
    // then the node, which hands over if it leads.
    drop(end_http);
    let ended = timeout(SHUTDOWN_MAX, async {
        let early = timeout(LAST_REQUESTS, &mut http).await;
        node.shutdown().await;
        match early {
            Ok(ended) => ended,
            Err(_) => http.await,
        }
    });
    match (stopped, ended.await) {
        (Stopped::Shutdown, Ok(http)) => Ok(http??),
        (Stopped::Shutdown, Err(_)) => {
            Err(format!("the node did not end within {SHUTDOWN_MAX:?} and was cut short; nothing is lost")
                .into())
        }
        (broken, _) => Err(broken.into()),
    }
}

async fn start<S: Calculator>(service: S, options: &Options) -> Result<Node<S>, lovebird::StartError> {
    let client_options = ClientOptions {
        key_expiry: Duration::from_millis(options.key_expiry_ms),
        ..ClientOptions::default()
    };
    let mut builder = NodeBuilder::new(service)
        .client_options(client_options)
        .cluster(&options.cluster)
        .id(options.id)
        .listen(options.raft.to_string())
        .data_dir(&options.data)
        .snapshot_every(options.snapshot_records, options.snapshot_bytes)
        .keep_records(options.keep_records)
        .heartbeat(Duration::from_millis(options.heartbeat_ms))
        .election_timeout(Duration::from_millis(options.election_ms));
    for peer in &options.peers {
        builder = builder.member(peer.id, &peer.address);
    }
    builder = builder.join(&options.join);
    if options.replace {
        builder = builder.replace();
    }
    builder.start().await
}

/// Resolves at SIGTERM, at Ctrl-C, and at the end of standard input if that is watched.
pub fn asked_to_end(watch_stdin: bool) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut stdin = if watch_stdin { Some(stdin_pipe()?) } else { None };
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = end_of(stdin.as_mut()) => {}
        }
    })
}

/// Standard input as a pipe that tasks can wait for: reading it on a thread would hold up the end of the process.
fn stdin_pipe() -> std::io::Result<pipe::Receiver> {
    use std::os::fd::AsFd;
    pipe::Receiver::from_owned_fd(std::io::stdin().as_fd().try_clone_to_owned()?)
}

async fn end_of(pipe: Option<&mut pipe::Receiver>) {
    let Some(pipe) = pipe else { return std::future::pending().await };
    let mut ignored = [0; 64];
    // A pipe that fails is as good as ended: nobody holds it who could still ask for anything.
    while pipe.read(&mut ignored).await.is_ok_and(|bytes| bytes > 0) {}
}
