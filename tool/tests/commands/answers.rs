//! What programs are told, and how it looks to people.

use crate::harness::ports;
use crate::tool::{address, at, json, json_lines, newcomer, run, start};

#[test]
fn every_answer_is_json_if_that_is_wished() {
    let mut cluster = start();
    cluster.propose(1, "x+=1");
    newcomer(&mut cluster);
    let (own, other, node) = (address(&cluster, 1), address(&cluster, 2), at(&cluster, &[1, 2]));
    let file = cluster.directory().join("state");
    let file = file.display();
    assert_eq!(json(&format!("status {node}"))["nodes"][0]["asked"], own);
    let commands = [
        ("add", format!("add 2={other} --learner")),
        ("promote", "promote 2".to_owned()),
        ("move", format!("move 2={other}")),
        ("replace", format!("replace 2 2={other}")),
        ("transfer", "transfer 1".to_owned()),
        ("snapshot", "snapshot".to_owned()),
        ("export", format!("export {file}")),
        ("voters", "voters 1,2".to_owned()),
        ("remove", "remove 2".to_owned()),
    ];
    for (name, command) in commands {
        let answer = json(&format!("{command} {node}"));
        assert_eq!(answer["done"], name);
        assert!(answer["check"].is_string(), "{answer}");
    }
    let members = json(&format!("members {node}"));
    assert_eq!(members["members"].as_array().unwrap().len(), 1);
    assert_eq!(members["members"][0]["leads"], true);

    let unknown = run(&format!("promote 9 --json {node}")).refused();
    let expected = format!(
        r#"{{"error":"cannot promote node 9: node 9 is no member: add it first","kind":"refused","look":"lovebird members {node}"}}"#
    );
    assert_eq!(unknown, expected + "\n");
    let nobody = format!("127.0.0.1:{}", ports::free());
    for command in ["members", "transfer", "remove 1"] {
        let text = run(&format!("{command} --json --patience 0 --node {nobody}")).refused();
        assert_eq!(json_lines(&text)[0]["kind"], "unavailable");
    }
    let there = run(&format!("export {file} --json {node}")).refused();
    assert_eq!(json_lines(&there)[0]["kind"], "file");
}

#[test]
fn members_and_status_are_tables() {
    let cluster = start();
    cluster.propose(1, "x+=1");
    let (node, own) = (at(&cluster, &[1]), address(&cluster, 1));
    let members = json(&format!("members {node}"));
    let life = members["members"][0]["incarnation"].as_str().unwrap();
    let version = members["version"].as_str().unwrap();
    let (a, b) = (life.len().max("incarnation".len()), own.len());
    assert_eq!(
        run(&format!("members {node}")).done(),
        format!(
            "node  {:a$}  standing      {:b$}  behind  silent  snapshot\n1     {life:a$}  voter, leads  {own}  -       -       -\n\n\
             Membership {version}. The voters are not changing.\n",
            "incarnation", "address"
        )
    );
    let status = json(&format!("status {node}"));
    let leader = &status["leader"];
    assert_eq!(
        run(&format!("status {node}")).done(),
        format!(
            "{:b$}  node  role    term  leader  committed  applied  snapshot  first  last\n\
             {own}  1     leader  {:<4}  1       1          1        0         1      1\n\n\
             Cluster \"test\", id {}, state-machine model.\nNode 1 leads; membership {version}: node 1 votes.\n",
            "address",
            leader["term"].as_u64().unwrap(),
            leader["cluster"]["id"].as_str().unwrap(),
        )
    );
}
