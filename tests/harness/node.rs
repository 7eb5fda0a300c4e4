//! One node: where it is, its process while it runs, and what it says of itself.

use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::http::{Freshness, Http, Reply};
use super::process::Process;

/// Enough for any request that can be answered at all.
pub const LONG: Duration = Duration::from_secs(30);

/// A node's role, as its status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Leader,
    Follower,
    Candidate,
    Learner,
}

/// What `GET /status` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub id: u64,
    pub role: Role,
    pub term: u64,
    pub leader: Option<u64>,
    pub committed: u64,
    pub applied: u64,
    pub snapshot: u64,
    pub first: u64,
    pub last: u64,
    pub members: Vec<(u64, String)>,
    pub voters: Vec<u64>,
    pub learners: Vec<u64>,
    pub joint: bool,
}

impl Status {
    fn read(reply: &Reply) -> Status {
        assert_eq!(reply.status, 200, "{reply:?} is no status");
        let number = |name| reply.number(name) as u64;
        let members = reply.body["members"].as_array().unwrap();
        let nodes = |name| {
            // Older builds do not tell.
            let nodes = reply.body[name].as_array().into_iter().flatten();
            nodes.map(|node| node.as_u64().unwrap()).collect()
        };
        Status {
            id: number("id"),
            role: match reply.text("role") {
                "leader" => Role::Leader,
                "follower" => Role::Follower,
                "candidate" => Role::Candidate,
                "learner" => Role::Learner,
                other => panic!("{other:?} is no role"),
            },
            term: number("term"),
            leader: reply.body["leader"].as_u64(),
            committed: number("committed"),
            applied: number("applied"),
            snapshot: number("snapshot"),
            first: number("first"),
            last: number("last"),
            members: members
                .iter()
                .map(|member| {
                    (member["id"].as_u64().unwrap(), member["address"].as_str().unwrap().to_owned())
                })
                .collect(),
            voters: nodes("voters"),
            learners: nodes("learners"),
            joint: reply.body["joint"].as_bool().unwrap_or(false),
        }
    }
}

/// A node. Tests may change what the next start is given.
pub struct Node {
    pub id: u64,
    pub http: Http,
    pub raft: String,
    pub data: PathBuf,
    /// What `--peer` says, once per member.
    pub peers: Vec<(u64, String)>,
    /// What `--join` says, in place of `--peer`.
    pub joins: Vec<String>,
    /// What `--cluster` says.
    pub cluster: String,
    /// Further arguments.
    pub flags: Vec<String>,
    /// What is run.
    pub program: PathBuf,
    pub process: Option<Process>,
    /// Where its processes print to.
    pub output: PathBuf,
}

impl Node {
    fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = [
            "node",
            "--id",
            &self.id.to_string(),
            "--data",
            self.data.to_str().unwrap(),
            "--http",
            self.http.address(),
            "--raft",
            &self.raft,
            "--cluster",
            &self.cluster,
        ]
        .map(str::to_owned)
        .to_vec();
        for (id, address) in &self.peers {
            arguments.extend(["--peer".to_owned(), format!("{id}={address}")]);
        }
        for address in &self.joins {
            arguments.extend(["--join".to_owned(), address.clone()]);
        }
        arguments.extend(self.flags.iter().cloned());
        arguments
    }

    pub fn start(&mut self) {
        assert!(self.process.is_none(), "node {} runs already", self.id);
        self.process = Some(Process::start(&self.program, &self.arguments(), &self.output));
    }

    #[track_caller]
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap_or_else(|| panic!("node {} does not run", self.id))
    }

    /// `kill -9`.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process().kill();
        self.process = None;
    }

    /// SIGTERM, and waits for the end.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.process().terminate();
        self.wait()
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.process().wait();
        self.process = None;
        status
    }

    /// What its process, and those before it, have printed.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Waits for it to end by itself, which must be a failure, and returns what it said.
    #[track_caller]
    pub fn refusal(&mut self) -> String {
        let before = self.output().len();
        self.start();
        let status = self.wait();
        let said = self.output()[before..].to_owned();
        assert!(!status.success(), "node {} ended well, and should have failed; it said {said:?}", self.id);
        said
    }

    /// Its status, if it answers.
    pub fn status(&self) -> Option<Status> {
        self.http.get("/status").ok().as_ref().map(Status::read)
    }

    /// A local read.
    #[track_caller]
    pub fn stale(&self, variable: &str) -> (u64, i64) {
        self.http.read(variable, Freshness::Stale, LONG).unwrap().ok()
    }
}
