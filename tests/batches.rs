//! What gathers while a batch is under way travels as one entry, and an entry is the same bytes everywhere.
#![allow(clippy::unwrap_used, missing_docs)]

mod in_process;

use in_process::{Cluster, Sum};
use lovebird::Options;
use lovebird_core::entry::{Entry, EntryKind, encode_entries};

const CALLERS: u64 = 256;
const COMMANDS: u64 = 20;

/// Many callers on one handle at node `id`; every reply must be the sum at its own log index.
async fn propose_from_many(cluster: &Cluster<Sum>, id: u64) {
    let client = cluster.node(id).client();
    let callers = (0..CALLERS).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut last = 0;
            for _ in 0..COMMANDS {
                let committed = client.propose(1).await.unwrap();
                assert_eq!(
                    committed.reply, committed.index,
                    "each command adds 1, so the sum is the log index"
                );
                assert!(committed.index > last);
                last = committed.index;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}

fn entries(cluster: &Cluster<Sum>, id: u64) -> Vec<Entry> {
    cluster.log(id).read(0..u64::MAX, usize::MAX).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_share_entries_and_all_disks_hold_the_same_bytes() {
    let mut cluster = Cluster::<Sum>::start(3, Options::default()).await;
    let leader = cluster.leader().await;
    let follower = leader % 3 + 1;
    for id in [leader, follower] {
        let before = entries(&cluster, leader).len();
        propose_from_many(&cluster, id).await;
        let commands: Vec<Entry> = entries(&cluster, leader)
            .into_iter()
            .skip(before)
            .filter(|entry| entry.header.kind == EntryKind::Commands)
            .collect();
        let records: u64 = commands.iter().map(|entry| u64::from(entry.header.record_count)).sum();
        let average = records / commands.len() as u64;
        println!("through node {id} (leader {leader}): {records} records in {} entries", commands.len());
        assert_eq!(records, CALLERS * COMMANDS);
        assert!(average >= 10, "{records} records came in {} entries", commands.len());
    }
    cluster.applied(2 * CALLERS * COMMANDS).await;
    // Only a restart shows what is on the disk and not merely in memory.
    let expected = encode_entries(&entries(&cluster, leader));
    cluster.stop_all().await;
    for id in 1..=3 {
        cluster.restart(id).await;
        let held = encode_entries(&entries(&cluster, id));
        // A new leadership may have begun meanwhile: what was there must be there unchanged.
        assert_eq!(
            &held[..expected.len()],
            &expected[..],
            "node {id} holds other bytes than node {leader} did"
        );
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_proposed_at_once_without_a_session_is_one_entry_among_the_commands_of_others() {
    const BATCH: u64 = 500;
    let mut cluster = Cluster::<Sum>::start(3, Options::default()).await;
    let leader = cluster.leader().await;
    for id in [leader, leader % 3 + 1] {
        let plain = cluster.node(id).client().without_session();
        let others = propose_from_many(&cluster, id);
        let at_once = async {
            let outcomes = plain.propose_all(&vec![1; BATCH as usize]).await.unwrap();
            outcomes.into_iter().map(Result::unwrap).collect::<Vec<_>>()
        };
        let (committed, ()) = futures_util::join!(at_once, others);
        let first = committed[0].index;
        for (place, committed) in committed.iter().enumerate() {
            assert_eq!(committed.index, first + place as u64);
            assert_eq!(committed.reply, committed.index, "each command adds 1, so the sum is the log index");
        }
        assert_eq!(committed.len() as u64, BATCH);
        let holds = |entry: &Entry, index| {
            let records =
                entry.header.first_index..entry.header.first_index + u64::from(entry.header.record_count);
            records.contains(&index)
        };
        let whole = entries(&cluster, leader)
            .into_iter()
            .any(|entry| holds(&entry, first) && holds(&entry, first + BATCH - 1));
        assert!(whole, "the records from {first} on are not in one entry");
    }
    cluster.stop_all().await;
}
