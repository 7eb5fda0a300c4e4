//! What is done where no node runs: a cluster goes on after its majority is lost, and a new one begins from an export.

use std::fs;

use crate::harness::{Cluster, until};
use crate::tool::{address, at, json, json_lines, run, standing};

/// The arguments that name the directories of these nodes.
fn data(cluster: &Cluster, ids: &[u64]) -> String {
    let each = |id: &u64| format!("--data {}", cluster.nodes[*id as usize - 1].data.display());
    ids.iter().map(each).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_survivor_goes_on_after_the_majority_is_lost() {
    let mut cluster = Cluster::start(3, &[]);
    for _ in 0..20 {
        cluster.propose(1, "x+=1");
    }
    cluster.agree(&["x".to_owned()]);

    // A node that runs is left alone.
    let refused = run(&format!("rescue {} --confirm test", data(&cluster, &[1]))).refused();
    assert!(refused.contains("is in use by another process"), "{refused}");

    cluster.kill_all();
    // The second disk comes back later, when it is too late; the third is gone.
    fs::remove_dir_all(&cluster.node(3).data).unwrap();
    let all = run(&format!("rescue {}", data(&cluster, &[1, 2]))).refused();
    assert!(all.contains("which is a majority") && all.contains("nothing has been done"), "{all}");

    let survivor = data(&cluster, &[1]);
    let looked = run(&format!("rescue {survivor} --look")).done();
    for part in ["log index 20", "which is no majority", "records from log index 21 on"] {
        assert!(looked.contains(part), "{part:?} is missing in {looked}");
    }
    let asked = run(&format!("rescue {survivor}")).refused();
    assert!(asked.contains("confirm it with --confirm \"test\""), "{asked}");
    let wrong = run(&format!("rescue {survivor} --confirm yes")).refused();
    assert!(wrong.contains("nothing has been done: the cluster is called \"test\""), "{wrong}");

    let printed = run(&format!("rescue {survivor} --confirm test --json")).done();
    let lines = json_lines(&printed);
    assert_eq!(lines[0]["progress"]["lost_from"], 21);
    let done = &lines[1];
    assert_eq!(
        (&done["done"], &done["node"], &done["last_index"]),
        (&"rescue".into(), &1.into(), &20.into())
    );
    assert_ne!(done["cluster"], done["was"]);

    // Started as before, it is the cluster by itself.
    cluster.node(1).start();
    cluster.leader();
    assert_eq!(cluster.read(1, "x").1, 20);
    assert_eq!(cluster.propose(1, "x+=1"), (21, 21));
    // Who comes back from the old cluster is kept out.
    let said = cluster.node(2).refusal();
    assert!(said.contains("if that cluster was rescued without this node"), "{said}");
    // On an empty directory it is welcome.
    let first = address(&cluster, 1).to_owned();
    for id in [2, 3] {
        let node = cluster.node(id);
        if node.data.exists() {
            fs::remove_dir_all(&node.data).unwrap();
        }
        (node.peers, node.joins) = (Vec::new(), vec![first.clone()]);
        node.start();
        until("it listens", || cluster.nodes[id as usize - 1].status());
        let added = run(&format!("add {id}={} {}", address(&cluster, id), at(&cluster, &[1]))).done();
        assert!(added.starts_with(&format!("Node {id} votes now")), "{added}");
    }
    assert_eq!(standing(&json(&format!("members {}", at(&cluster, &[2]))), "voter"), [1, 2, 3]);
    assert_eq!(cluster.agree(&["x".to_owned()]), (21, vec![21]));
}

#[test]
fn a_new_cluster_begins_from_an_export() {
    let mut cluster = Cluster::start(1, &[]);
    for _ in 0..7 {
        cluster.propose(1, "x+=2");
    }
    let file = cluster.directory().join("state.snapshot");
    run(&format!("export {} {}", file.display(), at(&cluster, &[1]))).done();
    // What comes later is not in it.
    cluster.propose(1, "x+=2");

    let id = cluster.newcomer(&[]);
    let own = address(&cluster, id).to_owned();
    let node = cluster.node(id);
    let import = format!(
        "import {} --data {} --cluster copy --id {id} --address {own}",
        file.display(),
        node.data.display()
    );
    let done = json(&import);
    assert_eq!((&done["done"], &done["last_index"]), (&"import".into(), &7.into()));
    // A directory that is somebody's is left alone.
    let again = run(&import.replace("--cluster copy", "--cluster other")).refused();
    assert!(again.contains("cannot begin a cluster from the snapshot"), "{again}");

    (node.cluster, node.peers, node.joins) = ("copy".to_owned(), vec![(id, own.clone())], Vec::new());
    node.start();
    until("the copy serves", || {
        let status = cluster.nodes[id as usize - 1].status()?;
        (status.leader == Some(id)).then_some(())
    });
    assert_eq!(cluster.read(id, "x").1, 14);
    assert_eq!(cluster.propose(id, "x+=1"), (8, 15));
    assert_eq!(cluster.read(1, "x").1, 16);

    let broken = cluster.directory().join("broken.snapshot");
    fs::write(&broken, &fs::read(&file).unwrap()[..100]).unwrap();
    let target = cluster.directory().join("nowhere");
    let refused = run(&format!(
        "import {} --data {} --cluster c --id 1 --address 127.0.0.1:1",
        broken.display(),
        target.display()
    ))
    .refused();
    assert!(refused.contains("export the snapshot again or choose another one"), "{refused}");
}
