//! Which of several survivors is gone on from, and what is said of the cost.

use std::path::PathBuf;
use std::sync::Arc;

use lovebird_core::entry::Entry;
use lovebird_core::identity::{ClusterId, Membership};
use lovebird_core::service::Model;
use lovebird_storage::rescue::{Incomparable, Survey, compare, survey};
use lovebird_storage::{Disk, MemoryDisk};

use super::support::*;

/// A survey of node `node`, whose log is `entries`, of which those up to `committed` are known to be so.
fn surveyed(node: u64, entries: Vec<Entry>, committed: u64) -> Survey {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let path = PathBuf::from(format!("/data/{node}"));
    let committed = entries.iter().map(Entry::id).find(|id| id.number == committed);
    leave(&disk, &path, node, entries, committed);
    survey(&*disk, &path).unwrap()
}

#[test]
fn greatest_last_entry_wins_by_term_and_then_by_number() {
    let short = surveyed(1, history(20), 10);
    let long = surveyed(2, history(30), 10);
    let late = surveyed(3, [history(19), vec![barrier(2, 20)]].concat(), 10);
    let chosen = |surveys: &[&Survey]| {
        let surveys: Vec<Survey> = surveys.iter().map(|survey| (*survey).clone()).collect();
        let comparison = compare(&surveys).unwrap();
        assert_eq!(comparison.node, surveys[comparison.chosen].identity.id);
        assert_eq!(comparison.directory, surveys[comparison.chosen].directory);
        comparison.node
    };
    assert_eq!(chosen(&[&short, &long]), life(2));
    assert_eq!(chosen(&[&long, &short]), life(2));
    assert_eq!(chosen(&[&long, &late]), life(3), "a later term counts for more than a longer log");
    assert_eq!(chosen(&[&late, &short, &long]), life(3));
    let equal = surveyed(3, history(30), 10);
    assert_eq!(chosen(&[&long, &equal]), life(2));
    assert_eq!(chosen(&[&equal, &long]), life(3), "of equals the first");
}

#[test]
fn single_survivor_of_three_may_have_lost_what_the_others_acknowledged() {
    let comparison = compare(&[surveyed(2, history(30), 25)]).unwrap();
    assert!(!comparison.is_majority);
    assert_eq!(comparison.voters_here, [life(2)].into());
    assert_eq!(comparison.voters_missing, [life(1), life(3)].into());
    assert_eq!(comparison.lost_from(), Some(30));
    assert_eq!(comparison.in_doubt(), Some(25..=29));
    assert_eq!(
        comparison.to_string(),
        "go on from /data/2, the directory of 2#22, whose log reaches furthest, to entry 1:30 and log index 29. 1 of 3 voters \
         are here, which is no majority: records from log index 30 on that were acknowledged, if there were any, are lost. \
         Records 25 to 29 may have been acknowledged to nobody, and are kept"
    );
}

#[test]
fn majority_has_lost_nothing_and_needs_no_rescue() {
    let comparison = compare(&[surveyed(2, history(30), 29), surveyed(3, history(28), 10)]).unwrap();
    assert!(comparison.is_majority);
    assert_eq!(comparison.lost_from(), None);
    assert!(
        comparison.to_string().contains("no rescue is needed: start them, and replace the others."),
        "{comparison}"
    );
    assert!(comparison.to_string().ends_with("Record 29 may have been acknowledged to nobody, and is kept"));
    let everybody = [1, 2, 3].map(|node| surveyed(node, history(30), 29));
    assert!(compare(&everybody).unwrap().to_string().contains("is needed: start them. Of their logs"));
    let all = compare(&[surveyed(2, history(30), 30), surveyed(3, history(28), 10)]).unwrap();
    assert_eq!(all.in_doubt(), None);
    assert!(all.to_string().ends_with("Everything up to its end was committed"), "{all}");
}

#[test]
fn what_any_survivor_knows_to_be_committed_is_in_no_doubt() {
    let comparison = compare(&[surveyed(2, history(30), 5), surveyed(3, history(28), 27)]).unwrap();
    assert_eq!((comparison.node, comparison.in_doubt()), (life(2), Some(27..=29)));
}

#[test]
fn those_who_do_not_vote_are_no_majority() {
    let voters = |voters: &[u64], learners: &[u64]| {
        let mut entries = history(20);
        entries.push(membership(1, 21, &members(voters, learners)));
        [surveyed(2, entries.clone(), 5), surveyed(3, entries, 5)]
    };
    assert!(compare(&voters(&[2, 3, 4], &[1])).unwrap().is_majority);
    let comparison = compare(&voters(&[1, 3, 4], &[2])).unwrap();
    assert!(!comparison.is_majority);
    assert_eq!(comparison.voters_here, [life(3)].into());
    assert!(!compare(&voters(&[1, 2, 3, 4], &[])).unwrap().is_majority, "half of four is no majority");
}

#[test]
fn majority_of_both_sets_is_needed_while_a_change_is_under_way() {
    let joint = |second: &[u64]| {
        let second = second.iter().map(|node| life(*node)).collect();
        let all = members(&[1, 2, 3, 4, 5], &[]);
        let voters = vec![[1, 2, 3].map(life).into(), second];
        let mut entries = history(20);
        entries.push(membership(1, 21, &Membership { voters, ..all }));
        [surveyed(2, entries.clone(), 5), surveyed(3, entries, 5)]
    };
    assert!(!compare(&joint(&[3, 4, 5])).unwrap().is_majority);
    assert!(compare(&joint(&[2, 3, 4])).unwrap().is_majority);
}

#[test]
fn another_life_of_a_voter_is_no_voter() {
    let mut other = surveyed(3, history(30), 5);
    other.identity.id.incarnation += 1;
    assert!(!compare(&[surveyed(2, history(30), 5), other]).unwrap().is_majority);
}

#[test]
fn what_is_damaged_is_neither_chosen_nor_counted() {
    let mut damaged = surveyed(3, history(30), 19);
    damaged.problems.push("it is damaged".to_owned());
    let comparison = compare(&[damaged.clone(), surveyed(2, history(20), 5)]).unwrap();
    assert_eq!((comparison.chosen, comparison.node), (1, life(2)));
    assert_eq!(
        comparison.in_doubt(),
        Some(5..=19),
        "what it says of commit points may be of another history"
    );
    assert_eq!(comparison.voters_missing, [life(1), life(3)].into());
    assert_eq!(compare(&[damaged]), Err(Incomparable::Nothing));
    assert_eq!(compare(&[]), Err(Incomparable::Nothing));
}

#[test]
fn members_nobody_knows_are_no_majority() {
    let mut found = surveyed(2, history(20), 5);
    found.membership = Membership::default();
    assert!(!compare(&[found]).unwrap().is_majority);
}

#[test]
fn what_does_not_belong_together_is_not_compared() {
    let (one, other) = (surveyed(2, history(20), 5), surveyed(3, history(20), 5));
    let mut cluster = other.clone();
    cluster.identity.cluster = ClusterId(7);
    let mut model = other.clone();
    model.identity.model = Model::PrimaryBackup;
    let mut copy = one.clone();
    copy.directory = "/backup/2".into();
    let mut begun = other;
    begun.unfinished = Some(NEW);
    for (other, words) in [
        (cluster, format!("belongs to the cluster 0000000000000007, and /data/2 to the cluster {}", old())),
        (model, "in the primary-backup model, and /data/2 in the state-machine model".to_owned()),
        (copy, "/backup/2 and /data/2 are both the directory of 2#22".to_owned()),
        (begun, "/data/3 was being rescued, to go on as the cluster 00000000feedbeef".to_owned()),
    ] {
        let error = compare(&[one.clone(), other]).unwrap_err().to_string();
        assert!(error.contains(&words), "{error}");
    }
}
