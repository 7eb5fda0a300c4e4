//! Nothing is changed, and nothing more is needed than to read. That each single run changes nothing is checked by
//! [`tool`](crate::support::tool).

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use lovebird_storage::{Log, RealDisk};

use crate::support::*;

const COMMANDS: [&[&str]; 4] = [&["verify"], &["list"], &["dump"], &["dump", "--operations"]];

/// Whom a file's permissions bind. They do not bind root, who runs these tests in many a container.
const NOBODY: u32 = 65534;

/// Takes the permission to write from everything in a directory.
fn protect(dir: &Path) {
    for path in picture(dir).keys() {
        let mode = if path.is_dir() { 0o555 } else { 0o444 };
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
}

/// Gives it back, so that the directory can be removed.
fn release(dir: &Path) {
    for path in picture(dir).keys() {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn permission_to_read_is_all_that_is_needed() {
    let (node, own) = (node(), tempfile::tempdir().unwrap());
    tear(node.path());
    protect(node.path());
    // A place from which everybody may run the tool.
    let copy = own.path().join("lovebird-log");
    fs::copy(TOOL, &copy).unwrap();
    for path in [own.path(), &copy] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let run = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments);
        if fs::metadata(own.path()).unwrap().uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.output().unwrap()
    };
    let dir = node.path().to_str().unwrap();
    let before = picture(node.path());
    // The test's own test: who runs the tool may really not write.
    let lock = format!("{dir}/identity");
    assert!(
        !run(Path::new("sh"), &["-c", &format!(": >> {lock}")]).status.success(),
        "the file can be written"
    );
    for arguments in COMMANDS {
        let said = Said::of(run(&copy, &[arguments, &[dir]].concat()));
        assert_eq!(said.code, 1, "{arguments:?}: {said:?}");
        assert!(!said.errors.contains("ermission"), "{arguments:?}: {said:?}");
    }
    assert_eq!(picture(node.path()), before);
    release(node.path());
}

#[test]
fn what_an_opening_would_remove_or_cut_stays() {
    let node = node();
    tear(node.path());
    fs::write(node.path().join("log/0000000000000001.spare"), b"LBIRDLOG").unwrap();
    fs::write(node.path().join("snapshots/group-0/00000000.partial"), b"LBIRDSNP").unwrap();
    fs::remove_file(node.path().join("lock")).unwrap();
    for arguments in COMMANDS {
        assert_eq!(tool(arguments, node.path()).code, 1);
    }
    assert!(!node.path().join("lock").exists(), "the tool takes no lock");
    // The picture that all these tests rest on shows what an opening does.
    let before = picture(node.path());
    drop(Log::open(Arc::new(RealDisk), &node.path().join("log"), &options()).unwrap());
    assert_ne!(picture(node.path()), before);
}
