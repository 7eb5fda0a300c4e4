//! What is not done, and what is said then.

use std::fs;

use crate::harness::{ports, until};
use crate::tool::{address, at, command, files, json, json_lines, newcomer, run, standing, start};

#[test]
fn what_the_cluster_does_not_do_is_said_with_the_reason() {
    let mut cluster = start();
    let node = at(&cluster, &[1]);
    let own = address(&cluster, 1).to_owned();
    let nobody = format!("127.0.0.1:{}", ports::free());
    let version = json(&format!("members {node}"))["version"].as_str().unwrap().to_owned();
    let refused = |command: &str, task: &str, why: &str| {
        let text = run(&format!("{command} {node}")).refused();
        assert_eq!(text, format!("error: cannot {task}: {why}\nLook: lovebird members {node}\n"));
    };
    refused(
        "remove 9",
        "remove node 9",
        "it is no member, so there is nothing to do; the members are node 1",
    );
    refused(
        "remove 1",
        "remove node 1",
        "a group without a voter could never do anything again: add another one first",
    );
    refused("promote 9", "promote node 9", "node 9 is no member: add it first");
    refused(
        &format!("move 9={nobody}"),
        &format!("move node 9 to {nobody}"),
        "node 9 is no member: add it first",
    );
    refused("voters 1,9", "let nodes 1 and 9 vote", "node 9 is no member: add it first");
    refused(
        &format!("add 2={nobody}"),
        &format!("add node 2 at {nobody}"),
        &format!(
            "node 2 must run before it is added, and at {nobody} nothing answers: cannot reach {nobody}: tcp connect error: \
             transport error: Connection refused (os error 111)"
        ),
    );
    refused(
        &format!("add 2={own}"),
        &format!("add node 2 at {own}"),
        &format!("at {own} there is node 1, not node 2"),
    );
    refused(
        "remove 1 --expect 7.7",
        "remove node 1",
        &format!(
            "the change is based on membership 7.7, and the present one is {version}: look at the members again, and \
             decide anew"
        ),
    );
    let text = run(&format!("transfer 9 {node}")).refused();
    assert_eq!(
        text,
        format!("error: cannot hand over to node 9: node 9 is no member\nLook: lovebird status {node}\n")
    );
    assert_eq!(standing(&json(&format!("members {node}")), "voter"), [1]);

    // Based on the present membership it is done, and then that is an old one.
    newcomer(&mut cluster);
    let add = format!("add 2={} --learner --expect {version} {node}", address(&cluster, 2));
    assert_ne!(json(&add)["version"], version.as_str());
    assert!(
        run(&add).refused().contains(&format!("is based on membership {version}, and the present one is "))
    );
}

#[test]
fn a_second_change_meanwhile_is_refused_and_the_first_says_how_it_goes() {
    let mut cluster = start();
    let id = newcomer(&mut cluster);
    let node = at(&cluster, &[1]);
    let at_second = address(&cluster, 2).to_owned();
    run(&format!("add 2={at_second} --learner {node}")).done();
    // It is down, and so never catches up.
    cluster.node(id).kill();
    cluster.propose(1, "x+=1");
    let output = cluster.directory().join("promote");
    let mut first = command(&format!("promote 2 --json {node}"))
        .stdout(fs::File::create(&output).unwrap())
        .spawn()
        .unwrap();
    let lines = until("the first says how far the node is", || {
        let text = fs::read_to_string(&output).unwrap();
        text.ends_with('\n').then_some(text)
    });
    assert_eq!(json_lines(&lines)[0]["progress"]["behind"], 1, "{lines}");
    let text = run(&format!("move 2={at_second} {node}")).refused();
    let why =
        "another change is under way, to promote node 2: wait for it, or end the command that asked for it";
    assert_eq!(
        text,
        format!("error: cannot move node 2 to {at_second}: {why}\nLook: lovebird members {node}\n")
    );
    // Once it is back, the first one is done.
    cluster.node(id).start();
    assert!(first.wait().unwrap().success());
    assert_eq!(json_lines(&fs::read_to_string(&output).unwrap()).pop().unwrap()["done"], "promote");
}

#[test]
fn a_cluster_where_nobody_listens() {
    let address = format!("127.0.0.1:{}", ports::free());
    let node = format!("--node {address} --patience 0");
    let unreachable = format!(
        "cannot reach {address}: tcp connect error: transport error: Connection refused (os error 111)"
    );
    let patience = "the patience of this call is at its end, and asking again does no harm";
    let refused = |command: &str, task: &str, why: &str, look: &str| {
        let text = run(&format!("{command} {node}")).refused();
        assert_eq!(text, format!("error: cannot {task}: {why}\nLook: lovebird {look} --node {address}\n"));
    };
    let why = format!("{unreachable}; {patience}");
    refused("members", "find the leader", &why, "status");
    refused("remove 1", "remove node 1", &why, "members");
    refused("promote 1", "promote node 1", &why, "members");
    refused("transfer", "hand over", &why, "status");
    refused("snapshot", "take a snapshot", &unreachable, "status");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state");
    refused(&format!("export {}", file.display()), "export the state", &unreachable, "status");
    assert_eq!(files(directory.path()), [""; 0]);

    let status = run(&format!("status {node}"));
    assert_eq!(status.code, 1);
    let expected = format!("{address}  -     {unreachable}\n\nNo leader is known.\n");
    assert!(status.out.ends_with(&expected), "{status:?}");
    assert_eq!(
        status.err,
        format!(
            "error: cannot find the leader: none of the nodes answers: see that they run, and where; {patience}\n\
             Look: lovebird status --node {address}\n"
        )
    );
}

#[test]
fn a_file_that_is_there_is_kept() {
    let cluster = start();
    cluster.propose(1, "x+=1");
    let node = at(&cluster, &[1]);
    let path = cluster.directory().join("state");
    let file = path.display();
    fs::write(&path, "before").unwrap();
    assert_eq!(
        run(&format!("export {file} {node}")).refused(),
        format!("error: {file} is there already: choose another name, or replace it with --force\n")
    );
    assert_eq!(fs::read(&path).unwrap(), b"before");
    let exported = json(&format!("export {file} --force {node}"));
    assert_eq!(fs::metadata(&path).unwrap().len(), exported["bytes"].as_u64().unwrap());
    assert_ne!(fs::read(&path).unwrap(), b"before");
    assert_eq!(files(cluster.directory()), ["state"]);
}

#[test]
fn a_wrong_command_line_is_told_so() {
    let wrong = [
        "",
        "members",
        "members --node nowhere",
        "add 4 --node a:1",
        "voters --node a:1",
        "voters 1,x --node a:1",
        "remove 4 --expect 3 --node a:1",
        "export --node a:1",
    ];
    for arguments in wrong {
        let printed = run(arguments);
        assert_eq!((printed.code, printed.out.as_str()), (2, ""), "lovebird {arguments}: {printed:?}");
        assert!(!printed.err.is_empty());
    }
    let printed = run("members");
    assert!(
        printed.err.starts_with("error: no node is named that could be asked: name one or more with --node")
    );
}
