//! The tool's own process, and what it prints.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Cluster, until};

/// The leader takes a node for absent, and refuses what needs it, that was silent for twice this time; and what is refused for good is not
/// tried again. So it is long, for machines that have much else to do.
const FLAGS: [&str; 2] = ["--election-ms", "2000"];

/// One node, which leads.
pub(crate) fn start() -> Cluster {
    Cluster::start(1, &FLAGS)
}

/// One more node, which runs and waits to be added.
pub(crate) fn newcomer(cluster: &mut Cluster) -> u64 {
    let id = cluster.newcomer(&FLAGS);
    cluster.node(id).start();
    until("the new node listens", || cluster.nodes[id as usize - 1].status());
    id
}

/// What a command has printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Printed {
    /// The standard output of a command that has done what it was asked.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// The standard error of a command that has not.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert_eq!((self.code, self.out.as_str()), (1, ""), "{self:?}");
        self.err
    }
}

/// Runs the tool with these arguments, parted by blanks.
pub(crate) fn run(arguments: &str) -> Printed {
    let output = command(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Printed { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) fn command(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lovebird"));
    command.args(arguments.split_whitespace()).stdin(Stdio::null());
    command
}

/// The lines of JSON that a command prints.
#[track_caller]
pub(crate) fn json_lines(out: &str) -> Vec<Value> {
    let parse =
        |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?} is no JSON: {error}"));
    out.lines().map(parse).collect()
}

/// The answer of a command with `--json`: the last line, and those before it say that it goes on.
#[track_caller]
pub(crate) fn json(arguments: &str) -> Value {
    let mut lines = json_lines(&run(&format!("{arguments} --json")).done());
    let answer = lines.pop().expect("a command prints an answer");
    assert!(lines.iter().all(|line| line["progress"].is_object()), "{lines:?} is progress");
    answer
}

/// `--node …` for these nodes.
pub(crate) fn at(cluster: &Cluster, ids: &[u64]) -> String {
    let nodes: Vec<String> = ids.iter().map(|id| format!("--node {}", address(cluster, *id))).collect();
    nodes.join(" ")
}

pub(crate) fn address(cluster: &Cluster, id: u64) -> &str {
    &cluster.nodes[id as usize - 1].raft
}

/// The nodes of each standing, from `members --json`.
#[track_caller]
pub(crate) fn standing(members: &Value, standing: &str) -> Vec<u64> {
    let all = members["members"].as_array().unwrap().iter();
    all.filter(|member| member["standing"] == standing)
        .map(|member| member["node"].as_u64().unwrap())
        .collect()
}

/// The names in a directory that are no node's.
pub(crate) fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with("node-") && name.parse::<u64>().is_err());
    names.sort();
    names
}
