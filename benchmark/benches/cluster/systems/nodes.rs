//! Processes of programs that are not ours: found, started, watched until they serve, and ended whatever becomes of us.

use std::error::Error;
use std::fmt::Write;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use bytes::Bytes;

use crate::process::Process;
use crate::system::{Client, Outcome, Place, System};

/// How long it may take until a system serves.
const START_MAX: Duration = Duration::from_secs(60);

/// How long one look at whether it serves may take: what began before there was a leader may wait for ever.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// How long a call may take: far longer than any call does, so that whoever reaches it has lost an answer.
pub(super) const CALL_MAX: Duration = Duration::from_secs(30);

/// No caller of the load has this key.
const KEY_OF_NOBODY: u32 = u32::MAX;

/// How much of what a process said is repeated in an error.
const LINES_MAX: usize = 5;

/// The processes of a system.
#[derive(Debug)]
pub(super) struct Nodes {
    /// Ends the others when we are killed, since their programs, unlike ours, do not watch whether we still live. It is the first
    /// to go: once the others are gone as well, their numbers may be given to processes that are nobody's business.
    _guard: Process,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    process: Process,
    log: PathBuf,
}

/// What starting a system needs to know of it.
pub(super) trait Start: System {
    /// Its processes.
    fn nodes(&mut self) -> &mut Nodes;

    /// Does what comes before the first write, and finds out what is known of a system only when it runs. It is called again when
    /// it fails or the writes after it do, since nothing else says that a system is not ready.
    fn prepare(&mut self) -> impl Future<Output = Outcome<()>> + Send;
}

impl Nodes {
    /// Starts a process for each of `commands`. Their logs go to `dir`.
    ///
    /// They do not see our environment: most of these programs take options from it, and one of those could turn off syncing.
    pub(super) fn start(name: &str, commands: Vec<Command>, dir: &Path) -> Outcome<Nodes> {
        let mut nodes = Vec::with_capacity(commands.len());
        for (place, mut command) in commands.into_iter().enumerate() {
            command.env_clear();
            let log = dir.join(format!("{name}-{}.log", place + 1));
            let process = Process::start(&format!("node {} of {name}", place + 1), command, &log)?;
            nodes.push(Node { process, log });
        }
        let mut guard = Command::new("/bin/sh");
        guard.args(["-c", "trap '' HUP INT TERM; read -r _; kill -KILL \"$@\"", "guard"]);
        guard.args(nodes.iter().map(|node| node.process.id().to_string()));
        let log = dir.join(format!("{name}-guard.log"));
        Ok(Nodes { _guard: Process::start("the guard", guard, &log)?, nodes })
    }

    /// Their numbers.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.process.id()).collect()
    }

    /// An error with what it said if one of them has ended.
    fn check(&mut self) -> Outcome<()> {
        for node in &mut self.nodes {
            if let Err(error) = node.process.check() {
                return Err(format!("{error}{}", node.said()).into());
            }
        }
        Ok(())
    }
}

impl Node {
    /// The last lines of its log, which vanishes with the run.
    fn said(&self) -> String {
        // A process may say what is no text.
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let mut said = format!("\n{} ends with:", self.log.display());
        for line in &lines[lines.len().saturating_sub(LINES_MAX)..] {
            // Writing to a string does not fail.
            let _ = write!(said, "\n    {line}");
        }
        said
    }
}

/// The system, as soon as a write through each of its nodes has been acknowledged and it says who leads.
pub(super) async fn until_it_serves<S: Start>(mut system: S) -> Outcome<S> {
    let begun = Instant::now();
    loop {
        system.nodes().check()?;
        let error = match tokio::time::timeout(LOOK_MAX, look(&mut system)).await {
            Ok(Ok(())) => return Ok(system),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {LOOK_MAX:?}"),
        };
        if begun.elapsed() > START_MAX {
            let said: String = system.nodes().nodes.iter().map(Node::said).collect();
            return Err(format!("{} does not serve: {error}{said}", system.facts().name).into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn look<S: Start>(system: &mut S) -> Outcome<()> {
    system.prepare().await?;
    for place in 0..system.processes().len() {
        let client = system.connect(Place::Node(place)).await?;
        client.write(KEY_OF_NOBODY, Bytes::from_static(b"it serves")).await?;
    }
    system.connect(Place::Leader).await?;
    Ok(())
}

/// What `call` comes to, or an error if it takes too long: no benchmark waits for ever for an answer that was lost.
pub(super) async fn bounded<T, E>(call: impl Future<Output = Result<T, E>>) -> Outcome<T>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    match tokio::time::timeout(CALL_MAX, call).await {
        Ok(outcome) => outcome.map_err(Into::into),
        Err(_) => Err(format!("a call was not answered within {CALL_MAX:?}").into()),
    }
}

/// Where `program` is. Servers are often not in the path of a user.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// A command that runs `program`, or an error if it is nowhere.
pub(super) fn command(program: &str) -> Outcome<Command> {
    let found = find(program).ok_or_else(|| format!("{program} is not installed"))?;
    Ok(Command::new(found))
}
