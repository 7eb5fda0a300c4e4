//! The harness is what the other tests believe, so it is tested too.

#![allow(clippy::unwrap_used)]

mod harness;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::catch_unwind;
use std::path::Path;
use std::time::Duration;

use harness::Cluster;
use harness::links::Links;
use harness::load::History;
use harness::process::Process;

#[test]
fn a_cut_link_carries_one_way_and_holds_the_other() {
    let mut cluster = Cluster::stopped(2, &[]);
    let links = Links::new(&mut cluster);
    // This test in place of the nodes: node 1 has connected to node 2.
    let listener = TcpListener::bind(&cluster.node(2).raft).unwrap();
    let mut one = TcpStream::connect(&cluster.node(1).peers[1].1).unwrap();
    let (mut two, _) = listener.accept().unwrap();
    let mut byte = [0];

    one.write_all(b"a").unwrap();
    two.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"a");

    links.cut(1, 2);
    one.write_all(b"b").unwrap();
    two.write_all(b"c").unwrap();
    one.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"c", "the other direction is open");
    two.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let error = two.read_exact(&mut byte).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "a byte came through a link that is cut");

    links.mend(1, 2);
    two.set_read_timeout(None).unwrap();
    two.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"b", "what was held goes on");

    links.cut(2, 1);
    one.write_all(b"d").unwrap();
    two.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"d");
    two.write_all(b"e").unwrap();
    one.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert_eq!(one.read_exact(&mut byte).unwrap_err().kind(), ErrorKind::WouldBlock);

    drop(two);
    drop(listener);
    drop(links);
    one.set_read_timeout(None).unwrap();
    let ended = one.read(&mut byte);
    assert!(!matches!(ended, Ok(1..)), "links that are gone carry nothing");
}

/// What a client was told, as (log index, value, unknown outcomes before it).
fn history(acknowledged: &[(u64, i64, u64)], unknown: u64) -> History {
    History {
        variable: "x".to_owned(),
        acknowledged: acknowledged.to_vec(),
        unknown,
        not_committed: 9,
        failed: 0,
    }
}

#[track_caller]
fn assert_noticed(history: History, value: i64) {
    let told = format!("{history:?}");
    assert!(
        catch_unwind(|| history.check(value)).is_err(),
        "a broken promise went unnoticed: x is {value} after {told}"
    );
}

#[test]
fn a_broken_promise_is_noticed() {
    let kept = [(1, 1, 0), (4, 2, 0), (9, 4, 1)];
    history(&[], 0).check(0);
    history(&kept, 1).check(4);
    history(&kept, 2).check(5);

    // An acknowledged command is lost.
    assert_noticed(history(&kept, 1), 2);
    // A command counts twice.
    assert_noticed(history(&kept, 1), 5);
    assert_noticed(history(&[(1, 1, 0), (2, 3, 0)], 0), 2);
    // A command that was certainly not committed is.
    assert_noticed(history(&[], 0), 1);
    // Acknowledged values or log indexes go back.
    assert_noticed(history(&[(1, 2, 1), (2, 1, 1)], 1), 2);
    assert_noticed(history(&[(2, 1, 0), (1, 2, 0)], 0), 2);
}

#[test]
fn memory_is_read_from_a_running_process() {
    let (program, output) = (Path::new("/bin/cat"), Path::new("/dev/null"));
    let mut process = Process::start(program, &["/dev/zero".to_owned()], output);
    let memory = process.memory();
    assert!(memory.peak_bytes >= memory.resident_bytes && memory.peak_bytes > 0, "{memory:?}");
    process.kill();
}
