//! What is said of directories that are not in order: torn, damaged, incomplete, not there.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use lovebird_storage::{Log, RealDisk};
use serde_json::json;

use crate::support::*;

/// Verifies a directory that is to be refused: the sentence that it ends with, and of what kind JSON says that it is.
fn refused(dir: &Path) -> (String, String) {
    let said = tool(&["verify"], dir);
    assert_eq!((said.code, said.errors.as_str()), (2, ""), "{said:?}");
    let json = tool(&["verify", "--json"], dir);
    assert_eq!((json.code, &json.json()["verdict"]), (2, &json!("damaged")));
    let advice = said.lines().last().unwrap().to_string();
    assert_eq!(json.json()["advice"], advice.as_str());
    (advice, json.json()["log"]["kind"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn torn_tail_is_no_damage_and_is_what_an_opening_cuts() {
    let node = node();
    let (path, offset, bytes) = tear(node.path());
    let said = tool(&["verify"], node.path());
    assert_eq!((said.code, said.errors.as_str()), (1, ""), "{said:?}");
    let advice = said.lines().last().unwrap().to_string();
    for words in [
        format!("{} ends at byte {offset}, before {bytes} bytes", path.display()),
        "If a node is running, this may be a write under way".to_owned(),
        "the next start cuts it. Nothing is lost".to_owned(),
    ] {
        assert!(advice.contains(&words), "{words} is not in {advice}");
    }
    assert!(said.out.contains("log indexes 31-60"), "the rest is told as ever: {}", said.out);
    let json = tool(&["verify", "--json"], node.path()).json();
    assert_eq!(json["verdict"], "torn");
    assert_eq!(json["log"]["torn"]["offset"], offset);
    assert_eq!(json["log"]["torn"]["bytes"], bytes);

    let listed = tool(&["list"], node.path());
    assert_eq!(listed.code, 1);
    assert!(listed.out.contains("torn by 512 bytes"), "{}", listed.out);
    let dumped = tool(&["dump"], node.path());
    assert_eq!((dumped.code, dumped.errors.lines().count()), (1, 1), "{dumped:?}");
    assert!(dumped.out.lines().last().unwrap().starts_with("0 60 1 60 "));

    drop(Log::open(Arc::new(RealDisk), &node.path().join("log"), &options()).unwrap());
    let cut = fs::read(path).unwrap();
    let garbage = b"and then the power went";
    assert!(!cut[offset as usize..].windows(garbage.len()).any(|bytes| bytes == garbage));
    assert_eq!(tool(&["verify"], node.path()).code, 0, "the opening has mended it");
}

/// Whether a sentence is the advice that `verify` gives but for how far the damage reaches, which only it knows.
fn same_damage(said: &str, advice: &str) -> bool {
    let (before, behind) = said.split_once(". Do not").unwrap();
    advice.starts_with(before) && advice.ends_with(behind)
}

#[test]
fn damage_is_told_where_it_is_and_all_around_it_is_shown() {
    let node = node();
    let path = &segments(node.path())[1];
    let at = frames(path)[3];
    flip(path, at + 100);
    let (advice, kind) = refused(node.path());
    assert_eq!(kind, "damaged");
    assert!(advice.contains(&format!("{} is damaged at byte {at}", path.display())), "{advice}");
    assert!(advice.contains("replace this replica"), "{advice}");

    for arguments in [&["dump"][..], &["dump", "--operations"], &["list"]] {
        let said = tool(arguments, node.path());
        assert_eq!(said.code, 2, "{arguments:?}");
        assert!(same_damage(said.errors.trim_end(), &advice), "{arguments:?}: {}", said.errors);
    }
    let indexes: Vec<u64> = tool(&["dump", "--json"], node.path())
        .json_lines()
        .iter()
        .map(|line| line["log_index"].as_u64().unwrap())
        .collect();
    assert!(indexes.is_sorted() && indexes.last() == Some(&60), "{indexes:?}");
    let gaps = indexes.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert_eq!(
        gaps, 1,
        "what is behind the damage in the same segment is left out, and nothing else: {indexes:?}"
    );
    let list = tool(&["list", "--json"], node.path()).json();
    let problems = list["log"]["segments"][1]["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1);
    assert!(same_damage(problems[0].as_str().unwrap(), &advice), "{problems:?}");
    assert_eq!(list["log"]["segments"][1]["frames"], 3);
}

#[test]
fn segments_that_are_missing_or_foreign_are_told() {
    let gone = node();
    let middle = segments(gone.path()).remove(1);
    fs::remove_file(&middle).unwrap();
    let (advice, kind) = refused(gone.path());
    assert_eq!(kind, "missing");
    assert!(advice.contains(&format!("{} is missing", middle.display())), "{advice}");
    assert_eq!(tool(&["dump"], gone.path()).code, 2);

    let stray = node();
    fs::write(stray.path().join("log/notes.txt"), "mine").unwrap();
    let (advice, kind) = refused(stray.path());
    assert_eq!(kind, "foreign");
    assert!(advice.contains("notes.txt"), "{advice}");
    assert_eq!(tool(&["list"], stray.path()).code, 2);

    let empty = node();
    fs::remove_dir_all(empty.path().join("log")).unwrap();
    let (advice, kind) = refused(empty.path());
    assert!(kind == "missing" && advice.contains("there is no log in"), "{advice}");
}

#[test]
fn footer_that_no_opening_believes_is_no_damage() {
    let node = node();
    let first = segments(node.path()).remove(0);
    let footer = frames(&first).last().unwrap() + 512;
    assert!(fs::read(&first).unwrap()[footer..].starts_with(b"LBIRDFTR"));
    flip(&first, footer + 70);
    let said = tool(&["verify", "--json"], node.path());
    assert_eq!((said.code, &said.json()["log"]["segments"][0]["end"]), (0, &json!("no footer")));
}

#[test]
fn damaged_snapshots_are_told() {
    let node = node();
    let newest = snapshots(node.path()).pop().unwrap();
    flip(&newest, 2 << 20);
    let (advice, _) = refused(node.path());
    assert!(advice.contains(&newest.display().to_string()), "{advice}");
    assert!(advice.contains("does not match its checksum"), "{advice}");
    assert!(advice.contains("replace this replica"), "{advice}");
    // The chunks are for `verify`.
    assert_eq!(tool(&["list"], node.path()).code, 0);

    let end = fs::metadata(&newest).unwrap().len() as usize - 20;
    flip(&newest, end);
    let said = tool(&["list"], node.path());
    assert_eq!(said.code, 2);
    assert!(said.out.contains("refused") && said.errors.contains("its footer does not match"), "{said:?}");

    let renamed = self::node();
    let oldest = snapshots(renamed.path()).remove(0);
    let name = oldest.to_string_lossy().replace("00020-", "00021-");
    fs::rename(&oldest, name).unwrap();
    assert!(refused(renamed.path()).0.contains("it was written as 00000000000000000020-"));
}

#[test]
fn identity_that_is_damaged_or_gone_is_told() {
    let node = node();
    let identity = node.path().join("identity");
    flip(&identity, 60);
    assert!(refused(node.path()).0.contains("damaged identity file"));
    fs::remove_file(&identity).unwrap();
    assert!(refused(node.path()).0.contains("has no identity file"));
    let said = tool(&["dump"], node.path());
    assert_eq!(said.code, 2);
    assert!(said.out.lines().count() > 30, "the log is shown all the same");
}

#[test]
fn directory_with_which_something_is_unfinished_is_told() {
    for (fixture, words) in [
        (&include_bytes!("../fixtures/unfinished/rescue")[..], "run the rescue again"),
        (
            &include_bytes!("../fixtures/unfinished/import")[..],
            "run the import again, or delete the directory",
        ),
    ] {
        let node = node();
        fs::write(node.path().join("identity"), fixture).unwrap();
        let (said, _) = refused(node.path());
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn worst_comes_last_and_the_rest_is_said_too() {
    let node = node();
    flip(&node.path().join("identity"), 60);
    flip(&snapshots(node.path())[0], 2 << 20);
    fs::remove_file(&segments(node.path())[1]).unwrap();
    let said = tool(&["verify"], node.path());
    assert_eq!(said.code, 2);
    assert!(said.out.contains("damaged identity file") && said.out.contains("its checksum"), "{}", said.out);
    assert!(said.lines().last().unwrap().contains("is missing from the log"), "{}", said.out);
}

#[test]
fn what_cannot_be_looked_at_is_said_on_standard_error() {
    let temp = tempfile::tempdir().unwrap();
    let nowhere = temp.path().join("nowhere");
    for (arguments, dir, words) in [
        (&["verify"][..], nowhere.as_path(), "No such file"),
        (&["verify", "--json"], &nowhere, "No such file"),
        (&["list"], &nowhere, "No such file"),
        (&["dump"], &nowhere, "No such file"),
        (&["verify"], temp.path(), "is neither a node's data directory nor that of a log"),
        (&["verify"], Path::new(TOOL), "Not a directory"),
        (&["mend"], temp.path(), "unrecognized subcommand"),
        (&["dump", "--from", "x"], temp.path(), "invalid value"),
    ] {
        let said = tool(arguments, dir);
        assert_eq!((said.code, said.out.as_str()), (3, ""), "{arguments:?}: {said:?}");
        assert!(said.errors.contains(words), "{arguments:?}: {}", said.errors);
    }
    let bare = Said::of(Command::new(TOOL).output().unwrap());
    assert_eq!(bare.code, 3);
    let help = Said::of(Command::new(TOOL).arg("--help").output().unwrap());
    assert_eq!((help.code, help.errors.as_str()), (0, ""));

    // What a later version has written is not damaged.
    let newer = node();
    let first = &segments(newer.path())[0];
    let mut bytes = fs::read(first).unwrap();
    bytes[8] = 2;
    fs::write(first, bytes).unwrap();
    let said = tool(&["verify"], newer.path());
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.errors.contains("upgrade"), "{}", said.errors);
}
