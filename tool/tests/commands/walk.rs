//! From one node to five, and back, with everything that an operator does on the way.

use std::fs;

use serde_json::Value;

use crate::harness::{Cluster, until};
use crate::tool::{address, at, files, json, newcomer, run, standing, start};

/// A cluster on its way, and what was written to it.
struct Walk {
    cluster: Cluster,
    sum: i64,
}

impl Walk {
    /// What the tool says of the members, asked at `ids`.
    #[track_caller]
    fn members(&self, ids: &[u64]) -> Value {
        json(&format!("members {}", at(&self.cluster, ids)))
    }

    /// Checks who votes, that nothing is between two sets, and that what was written before is there on each; and writes more.
    #[track_caller]
    fn check(&mut self, voters: &[u64]) {
        let members = self.members(voters);
        assert_eq!(standing(&members, "voter"), voters, "{members}");
        assert_eq!(members["members"].as_array().unwrap().len(), voters.len(), "{members}");
        assert_eq!(members["changing"], false);
        for id in voters {
            assert_eq!(self.cluster.read(*id, "x").1, self.sum, "at node {id}");
        }
        self.sum += 1;
        assert_eq!(self.cluster.propose(voters[0], "x+=1").1, self.sum);
    }

    /// Runs a command at the nodes `ids`, which must say this first and the version behind it, and how to check it.
    #[track_caller]
    fn does(&self, command: &str, ids: &[u64], says: &str) {
        let nodes = at(&self.cluster, ids);
        let out = run(&format!("{command} {nodes}")).done();
        let version = self.members(ids)["version"].as_str().unwrap().to_owned();
        assert_eq!(out, format!("{says} (membership {version}).\nCheck: lovebird members {nodes}\n"));
    }

    #[track_caller]
    fn add(&mut self, ids: &[u64]) {
        let id = newcomer(&mut self.cluster);
        let address = address(&self.cluster, id).to_owned();
        self.does(&format!("add {id}={address}"), ids, &format!("Node {id} votes now"));
        self.check(&(1..=id).collect::<Vec<u64>>());
    }

    /// A node that was removed ends by itself.
    #[track_caller]
    fn has_ended(&mut self, id: u64) {
        assert!(!self.cluster.node(id).wait().success());
        assert!(self.cluster.nodes[id as usize - 1].output().contains("removed"));
    }
}

#[test]
fn from_one_node_to_five_and_back() {
    let mut walk = Walk { cluster: start(), sum: 0 };
    walk.check(&[1]);
    walk.add(&[1]);
    walk.add(&[1]);
    loses_a_disk(&mut walk);
    walk.add(&[2, 3]);
    walk.add(&[4]);
    hands_over(&mut walk);
    takes_the_state_along(&mut walk);

    // The leader goes, which hands over first, and it alone is asked.
    let leader = walk.cluster.leader();
    let stay: Vec<u64> = (1..=5).filter(|id| *id != leader).collect();
    walk.does(
        &format!("remove {leader}"),
        &[leader, stay[0]],
        &format!("Node {leader} is no member any more; its process ends by itself"),
    );
    walk.has_ended(leader);
    walk.check(&stay);

    let three = [stay[0], stay[2], stay[3]];
    let [a, b, c] = three;
    walk.does(
        &format!("voters {a},{b},{c}"),
        &stay,
        &format!("Nodes {a}, {b} and {c} vote now, and nobody else"),
    );
    walk.has_ended(stay[1]);
    walk.check(&three);

    another_takes_its_place(&mut walk, three);
}

/// `kill -9`, and the directory is gone.
fn loses_a_disk(walk: &mut Walk) {
    let life = |walk: &Walk| walk.members(&[1, 3])["members"][1]["incarnation"].clone();
    let before = life(walk);
    let node = walk.cluster.node(2);
    node.kill();
    fs::remove_dir_all(&node.data).unwrap();
    node.flags.push("--replace".to_owned());
    node.start();
    until("node 2 has its place again", || {
        let members = walk.members(&[1, 3]);
        (standing(&members, "voter") == [1, 2, 3] && members["members"].as_array()?.len() == 3)
            .then_some(())
            .filter(|()| members["members"][1]["incarnation"] != before)
    });
    walk.cluster.agree(&["x".to_owned()]);
    walk.check(&[1, 2, 3]);
}

fn hands_over(walk: &mut Walk) {
    let all = [1, 2, 3, 4, 5];
    let leader = walk.cluster.leader();
    let heir = walk.cluster.others(leader)[2];
    let nodes = at(&walk.cluster, &all);
    for _ in 0..2 {
        // The second time it leads already.
        let out = run(&format!("transfer {heir} {nodes}")).done();
        assert_eq!(out, format!("Node {heir} leads now.\nCheck: lovebird status {nodes}\n"));
        assert_eq!(json(&format!("status {nodes}"))["leader"]["node"], heir);
    }
    let next = json(&format!("transfer {nodes}"))["leader"].as_u64().unwrap();
    assert_ne!(next, heir);
    walk.check(&all);
}

fn takes_the_state_along(walk: &mut Walk) {
    let node = at(&walk.cluster, &[5]);
    let address = address(&walk.cluster, 5).to_owned();
    let applied = walk.cluster.agree(&["x".to_owned()]).0;
    let out = run(&format!("snapshot {node}")).done();
    assert_eq!(
        out,
        format!(
            "The node at {address} has a snapshot of the log up to index {applied}.\nCheck: lovebird status {node}\n"
        )
    );
    assert_eq!(json(&format!("status {node}"))["nodes"][0]["status"]["snapshot"], applied);
    let path = walk.cluster.directory().join("state");
    let file = path.display();
    let out = run(&format!("export {file} {node}")).done();
    let size = fs::metadata(&path).unwrap().len();
    assert_eq!(
        out,
        format!(
            "The state of the node at {address} as of log index {applied} is in {file} ({size} bytes).\n\
             Check: ls -l {file}\n"
        )
    );
    // It is the file that the node has.
    // Each group of a node has a directory of its own.
    let snapshots = walk.cluster.node(5).data.join("snapshots");
    let groups = fs::read_dir(snapshots).unwrap().map(|group| group.unwrap().path());
    let mut files_of = groups.flat_map(|group| fs::read_dir(group).unwrap()).map(|file| file.unwrap().path());
    let exported = fs::read(&path).unwrap();
    assert!(files_of.any(|snapshot| fs::read(snapshot).unwrap() == exported));
    assert_eq!(files(walk.cluster.directory()), ["state"]);
    walk.check(&[1, 2, 3, 4, 5]);
}

/// A sixth node comes as a learner, is promoted, leaves again, and comes back in another's place.
fn another_takes_its_place(walk: &mut Walk, [a, b, c]: [u64; 3]) {
    let id = newcomer(&mut walk.cluster);
    let place = format!("{id}={}", address(&walk.cluster, id));
    walk.does(
        &format!("add {place} --learner"),
        &[a],
        &format!("Node {id} is a learner now, and holds the log"),
    );
    assert_eq!(standing(&walk.members(&[id]), "learner"), [id]);
    assert_eq!(walk.cluster.read(id, "x").1, walk.sum);
    walk.does(&format!("promote {id}"), &[id], &format!("Node {id} votes now"));
    walk.check(&[a, b, c, id]);
    walk.does(&format!("move {place}"), &[a], &format!("Node {id} is at {} now", address(&walk.cluster, id)));

    let next = newcomer(&mut walk.cluster);
    let place = format!("{next}={}", address(&walk.cluster, next));
    walk.does(
        &format!("replace {id} {place}"),
        &[a, b],
        &format!("Node {next} has the place of node {id}, which is no member any more"),
    );
    walk.has_ended(id);
    walk.check(&[a, b, c, next]);
}
