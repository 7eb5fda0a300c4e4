//! What is said of directories that are in order.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use lovebird_core::service::Model;
use lovebird_storage::{DataDirectory, Expected, Log, RealDisk};
use serde_json::{Value, json};

use crate::support::*;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

#[test]
fn node_that_was_shut_down_is_good() {
    let node = node();
    let said = tool(&["verify"], node.path());
    assert_eq!((said.code, said.errors.as_str()), (0, ""), "{said:?}");
    let group = "group 0: log indexes 31-60, entries 31-60, term 1, purged up to entry 1:30, committed entry 1:55, \
                 vote in term 1 for 1#7, granted by a majority";
    assert!(said.lines().contains(&group), "{}", said.out);
    assert!(said.lines()[0].ends_with("node 2#beef, state-machine model, starts 1"), "{}", said.out);
    assert_eq!(said.lines().last(), Some(&"everything verifies: there is nothing to do"));

    let said = tool(&["verify", "--json"], node.path()).json();
    assert_eq!((&said["verdict"], &said["log"]["verdict"]), (&json!("good"), &json!("good")));
    assert_eq!(said["identity"]["node"], "2#beef");
    assert_eq!(said["identity"]["model"], "state-machine");
    let segments = said["log"]["segments"].as_array().unwrap();
    let ends: Vec<&Value> = segments.iter().map(|segment| &segment["end"]).collect();
    assert!(ends.len() > 2 && ends[0] == "footer" && *ends[ends.len() - 1] == "open", "{ends:?}");
    assert_eq!(said["log"]["groups"][0]["last_log_index"], 60);
    let states: Vec<&Value> =
        said["snapshots"].as_array().unwrap().iter().map(|view| &view["state"]).collect();
    assert_eq!(states, ["finished", "finished"]);
}

#[test]
fn fixtures_are_good_and_hold_what_they_hold() {
    let said = tool(&["verify", "--json"], &fixtures());
    assert_eq!(said.code, 0, "{said:?}");
    let groups = json!([
        {
            "group": 0, "first_log_index": 7, "last_log_index": 19, "first_entry_number": 5,
            "last_entry": { "term": 3, "number": 10 }, "purged": { "term": 3, "number": 4 },
            "vote": { "term": 3, "node": "1#feed", "granted": true }, "committed": { "term": 3, "number": 8 },
        },
        {
            "group": 9, "first_log_index": 7, "last_log_index": 7, "first_entry_number": 41,
            "last_entry": { "term": 3, "number": 41 }, "purged": { "term": 3, "number": 40 },
            "vote": null, "committed": null,
        },
    ]);
    assert_eq!(said.json()["log"]["groups"], groups);

    let lines = tool(&["dump", "--payload", "none"], &fixtures()).out;
    let indexes = |group: &str| -> Vec<u64> {
        let words = lines.lines().skip(1).map(|line| line.split(' ').collect::<Vec<_>>());
        words.filter(|words| words[0] == group).map(|words| words[1].parse().unwrap()).collect()
    };
    // 17 to 20 were cut off once, and 17 to 19 came again.
    assert_eq!((indexes("0"), indexes("9")), ((5..=19).collect(), vec![7]));

    let all = tool(&["dump", "--operations", "--payload", "none"], &fixtures()).out;
    for line in [
        "0000000000000004.segment:1100 0 entry 3:10 commands of 2 records from log index 17, 640 bytes, cut off later",
        "0000000000000004.segment:3136 0 truncate after entry 3:9",
        "0000000000000004.segment:3648 0 committed entry 3:8",
        "0000000000000004.segment:3677 9 purge up to entry 3:40, log index 6",
        "0000000000000005.segment:1600 0 purge up to entry 3:4, log index 6",
        "0000000000000005.segment:2212 0 record 17 3 10 2023-11-14T22:13:20.000000010Z 0 0 200",
    ] {
        assert!(all.lines().any(|found| found == line), "{line} is not in\n{all}");
    }
    assert_eq!(all.lines().filter(|line| line.ends_with("cut off later")).count(), 2);
}

#[test]
fn list_has_a_line_for_each_segment_and_each_snapshot() {
    let node = node();
    fs::write(node.path().join("snapshots/group-0/00000007.partial"), b"not yet").unwrap();
    let said = tool(&["list"], node.path());
    assert_eq!((said.code, said.errors.as_str()), (0, ""), "{said:?}");
    let names = segments(node.path()).len();
    let begin = said.lines().iter().position(|line| line.starts_with("segment ")).unwrap();
    let end = said.lines().iter().position(|line| line.starts_with("snapshots ")).unwrap();
    assert_eq!(end - begin - 1, names, "{}", said.out);
    assert!(said.lines()[end - 1].contains("open") && said.lines()[end - 1].ends_with("-60"), "{}", said.out);
    let words: Vec<Vec<&str>> =
        said.lines()[end + 2..].iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0][..3], ["0", "20", "1:20"]);
    assert_eq!(words[0][4..6], ["2", "finished"]);
    assert_eq!(words[1][4..6], ["newest", "finished"]);
    assert_eq!(words[2], ["0", "-", "-", "7", "-", "unfinished", "00000007.partial"]);

    let said = tool(&["list", "--json"], node.path()).json();
    let listed = said["log"]["segments"].as_array().unwrap();
    assert_eq!(listed.len(), names);
    assert_eq!(listed[names - 1]["groups"][0]["log_indexes"]["last"], 60);
    for (listed, path) in listed.iter().zip(segments(node.path())) {
        assert_eq!(listed["frames"], frames(&path).len());
        assert_eq!(listed["bytes_used"], frames(&path).last().unwrap() + 512);
        assert_eq!(listed["bytes"], fs::metadata(&path).unwrap().len());
    }
    let views = said["snapshots"].as_array().unwrap();
    let told: Vec<_> =
        views.iter().map(|view| (&view["log_index"], &view["order"], &view["state"])).collect();
    assert_eq!(told[0], (&json!(20), &json!(2), &json!("finished")));
    assert_eq!(told[1], (&json!(30), &json!(1), &json!("finished")));
    assert_eq!(told[2], (&Value::Null, &Value::Null, &json!("unfinished")));
}

#[test]
fn dump_shows_what_is_asked_for() {
    let node = node();
    let dump = |more: &[&str]| {
        let said = tool(&[&["dump", "--json"], more].concat(), node.path());
        assert_eq!((said.code, said.errors.as_str()), (0, ""));
        said.json_lines()
    };
    let indexes = |lines: &[Value]| -> Vec<u64> {
        lines.iter().map(|line| line["log_index"].as_u64().unwrap()).collect()
    };
    let all = dump(&[]);
    assert_eq!(indexes(&all).last(), Some(&60));
    assert_eq!(indexes(&dump(&["--from", "40", "--to", "42"])), [40, 41, 42]);
    assert_eq!(indexes(&dump(&["--from", "59"])), [59, 60]);
    assert_eq!(dump(&["--group", "1"]), Vec::<Value>::new());
    assert_eq!(indexes(&dump(&["--group", "0"])), indexes(&all));

    let one = |payload: &str| dump(&["--from", "40", "--to", "40", "--payload", payload]).remove(0);
    let text = format!("command 40\t{}", "x".repeat(300));
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(one("hex")["payload"], hex.as_str());
    assert_eq!(one("text")["payload"], text.escape_debug().to_string());
    assert_eq!(one("none")["payload"], Value::Null);
    let line = one("none");
    assert_eq!((&line["term"], &line["entry_number"]), (&json!(1), &json!(40)));
    assert_eq!(line["time_ns"], 1_700_000_000_000_000_040_u64);
    let numbers = ["session", "sequence", "window", "bytes"].map(|name| line[name].as_u64().unwrap());
    assert_eq!(numbers, [0, 0, 0, text.len() as u64]);

    // The offset is where the record is: behind its header of 20 bytes comes the payload.
    let file = fs::read(node.path().join("log").join(line["file"].as_str().unwrap())).unwrap();
    assert!(file[line["offset"].as_u64().unwrap() as usize + 20..].starts_with(text.as_bytes()));

    let operations = dump(&["--operations"]);
    let kinds = |kind: &str| operations.iter().filter(|line| line["kind"] == kind).count();
    assert_eq!((kinds("record"), kinds("committed")), (all.len(), 1));
    assert_eq!(kinds("checkpoint"), segments(node.path()).len());
}

#[test]
fn sessions_and_the_other_model_are_shown_as_what_they_are() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let primary = Expected { model: Model::PrimaryBackup, ..expected() };
    let mut directory = DataDirectory::open(Arc::new(RealDisk), dir, &primary, 7).unwrap();
    let log = Log::open(Arc::new(RealDisk), &dir.join("log"), &options()).unwrap().group(0);
    directory.count_start().unwrap();
    log.append(vec![barrier(), sessions(1, 1), outcomes(2, 2), sessions(3, 9)], durable()).unwrap();
    drop((log, directory));

    let said = tool(&["verify"], dir);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.lines()[0].ends_with("node 2#7, primary-backup model, starts 1"), "{}", said.out);
    assert!(said.out.contains("group 0: log indexes 1-2, entries 0-3, term 1"), "{}", said.out);
    assert_eq!(tool(&["list", "--json"], dir).json()["identity"]["model"], "primary-backup");

    let dump = tool(&["dump", "--operations", "--payload", "text"], dir).out;
    let words: Vec<&str> = dump.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    let due = [
        "0 entry 1:0 barrier, 0 bytes",
        "0 entry 1:1 sessions, 30 bytes",
        "0 entry 1:2 outcomes of 2 records from log index 1, 46 bytes",
        "0 record 1 1 2 - 1 20 3 x=5",
        "0 record 2 1 2 - 1 21 3 x=6",
        "0 entry 1:3 sessions, 30 bytes",
    ];
    assert_eq!(words, due);
    let records = tool(&["dump", "--json"], dir).json_lines();
    let told = |line: &Value| ["log_index", "session", "sequence", "window"].map(|name| line[name].as_u64());
    let told: Vec<_> = records.iter().map(told).collect();
    assert_eq!(told, [[1, 1, 20, 0], [2, 1, 21, 1]].map(|numbers| numbers.map(Some)));
    let kinds = tool(&["dump", "--json", "--operations"], dir).json_lines();
    let kinds: Vec<_> = kinds.iter().filter_map(|line| line["entry_kind"].as_str()).collect();
    assert_eq!(kinds, ["barrier", "sessions", "outcomes", "sessions"]);
}

#[test]
fn directory_of_a_log_alone_is_looked_at_too() {
    let node = node();
    let log = node.path().join("log");
    let said = tool(&["verify"], &log);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!said.out.contains("snapshot"), "{}", said.out);
    assert_eq!(tool(&["dump"], &log).out, tool(&["dump"], node.path()).out);
    assert_eq!(tool(&["list", "--json"], &log).json()["snapshots"], json!([]));
}

#[test]
fn node_that_has_never_started_needs_no_log() {
    let temp = tempfile::tempdir().unwrap();
    drop(DataDirectory::open(Arc::new(RealDisk), temp.path(), &expected(), 1).unwrap());
    let said = tool(&["verify"], temp.path());
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("no node has started from here yet"), "{}", said.out);
    assert_eq!(tool(&["verify", "--json"], temp.path()).json()["log"], Value::Null);
    for command in ["list", "dump"] {
        assert_eq!(tool(&[command], temp.path()).code, 0);
    }
}

#[test]
fn reader_that_has_seen_enough_ends_it_quietly() {
    let node = node();
    let log = Log::open(Arc::new(RealDisk), &node.path().join("log"), &options()).unwrap().group(0);
    (61..=500).for_each(|number| log.append(vec![command(number)], durable()).unwrap());
    let run = |arguments: &[&str]| {
        let mut child = Command::new(TOOL)
            .args(arguments)
            .arg(node.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ended = child.wait_with_output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap(), line)
    };
    for arguments in [&["dump", "--operations"][..], &["dump", "--json"], &["dump"]] {
        assert!(tool(arguments, node.path()).out.len() > 128 << 10, "more than any pipe holds");
        let (code, errors, line) = run(arguments);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(!line.is_empty());
    }
}

#[test]
fn verdict_is_the_exit_code_also_where_nobody_reads_it() {
    let node = node();
    tear(node.path());
    let mut child = Command::new(TOOL).arg("verify").arg(node.path()).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
