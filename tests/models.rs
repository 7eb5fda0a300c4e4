//! The arithmetic service in both models, side by side; its keys, its reads, and its log over HTTP.
#![allow(clippy::unwrap_used, missing_docs)]

mod harness;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use harness::{Cluster, Http, Reply, until};
use serde_json::{Value, json};

const REQUEST: Duration = Duration::from_secs(10);

const MODES: [&str; 2] = ["state-machine", "primary-backup"];

fn start(mode: &str) -> Cluster {
    Cluster::start(3, &["--mode", mode])
}

/// The records from `from` on, as node `id` tells them: (index, text).
fn log(cluster: &Cluster, id: u64, from: u64) -> Vec<(u64, String)> {
    let reply = cluster.http(id).get(&format!("/log?from={from}&limit=100")).unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    let records = reply.body.as_array().unwrap();
    let record = |record: &Value| {
        assert_eq!(record["kind"], "command");
        assert!(record["term"].as_u64().unwrap() >= 1);
        (record["index"].as_u64().unwrap(), record["text"].as_str().unwrap().to_owned())
    };
    records.iter().map(record).collect()
}

/// The answers to a sequence of requests, and what the log holds of them.
fn tell(mode: &str) -> (Vec<Reply>, Vec<String>) {
    let cluster = start(mode);
    let statements =
        ["x+=5", "x*=4", "x/=0", "y-=3", "x+=9223372036854775807", "y/=2", "x?", "x-=20", "y*=-1"];
    let answers: Vec<Reply> = statements
        .iter()
        .zip([1, 2, 3].iter().cycle())
        .map(|(statement, id)| cluster.http(*id).statement(statement).unwrap())
        .collect();
    let last = answers.last().unwrap().number("index") as u64;
    assert_eq!(last, 8, "every command has a log index, a refused one too, and a read has none");
    cluster.agree(&[]);
    let logs: Vec<_> = cluster.ids().into_iter().map(|id| log(&cluster, id, 1)).collect();
    assert!(logs.iter().all(|log| *log == logs[0]), "{logs:?}");
    assert_eq!(logs[0].iter().map(|(index, _)| *index).collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>());
    assert_eq!(log(&cluster, 2, 7), logs[0][6..]);
    (answers, logs[0].iter().map(|(_, text)| text.clone()).collect())
}

#[test]
fn both_models_answer_alike_and_log_what_is_theirs() {
    let [(answers, requests), (same, outcomes)] = MODES.map(tell);
    assert_eq!(answers, same);
    assert_eq!(
        requests,
        ["x+=5", "x*=4", "x/=0", "y-=3", "x+=9223372036854775807", "y/=2", "x-=20", "y*=-1"]
    );
    assert_eq!(outcomes, ["x=5", "x=20", "x/=0", "y=-3", "x+=9223372036854775807", "y=-1", "x=0", "y=1"]);
}

#[test]
fn a_mode_that_is_not_that_of_the_data_or_of_the_peers_is_an_error() {
    for [mode, other] in [MODES, [MODES[1], MODES[0]]] {
        let mut cluster = start(mode);
        cluster.propose(1, "x+=5");
        cluster.node(3).kill();
        cluster.node(3).flags = ["--mode", other].map(str::to_owned).to_vec();
        let said = cluster.node(3).refusal();
        assert!(said.contains(mode) && said.contains(other) && said.contains("data directory"), "{said}");
        // The same where there is no data yet: the peers know.
        let data = cluster.directory().join("elsewhere");
        cluster.node(3).data = data;
        let said = cluster.node(3).refusal();
        assert!(said.contains(&format!("runs the service in the {mode} model")), "{said}");
        // Nothing is lost by it.
        cluster.node(3).data = cluster.directory().join("3");
        cluster.node(3).flags = ["--mode", mode].map(str::to_owned).to_vec();
        cluster.node(3).start();
        assert_eq!(cluster.insist(3, "x+=0").1, 5);
    }
}

#[test]
fn the_same_key_gives_the_same_answer_and_index_whatever_happens_between() {
    for mode in MODES {
        let mut cluster = start(mode);
        let keyed = |cluster: &Cluster, id: u64, key: &str, statement: &str| {
            cluster.http(id).keyed(key, statement, REQUEST).unwrap()
        };
        let first = keyed(&cluster, 1, "alice/1", "x+=5");
        assert_eq!(first.ok(), (1, 5));
        assert_eq!(keyed(&cluster, 2, "alice/1", "x+=5"), first);
        let refused = keyed(&cluster, 3, "alice/2", "x/=0");
        assert_eq!((refused.status, refused.number("index")), (422, 2));
        assert_eq!(keyed(&cluster, 1, "alice/2", "x/=0"), refused);
        // A name may hold a slash; numbers come in any order; other names have numbers of their own.
        assert_eq!(keyed(&cluster, 1, "team/bob/9", "x+=1").ok(), (3, 6));
        assert_eq!(keyed(&cluster, 1, "team/bob/4", "x+=1").ok(), (4, 7));
        let leader = cluster.leader();
        cluster.node(leader).kill();
        let other = cluster.others(leader)[0];
        until("the others answer", || (keyed(&cluster, other, "alice/1", "x+=5") == first).then_some(()));
        cluster.kill_all();
        cluster.start_all();
        cluster.leader();
        for id in cluster.ids() {
            assert_eq!(keyed(&cluster, id, "alice/1", "x+=5"), first);
            assert_eq!(keyed(&cluster, id, "alice/2", "x/=0"), refused);
        }
        assert_eq!(cluster.read(1, "x").1, 7);
        assert_eq!(cluster.agree(&[]).0, 4, "no duplicate has entered the log");
        let long = format!("{}/1", "a".repeat(300));
        for wrong in ["alice", "alice/", "/1", "alice/0", "alice/-1", "alice/x", "", &long] {
            let reply = keyed(&cluster, 1, wrong, "x+=5");
            assert_eq!(reply.status, 400, "{wrong:?} was answered {reply:?}");
        }
    }
}

#[test]
fn a_name_that_has_expired_is_gone() {
    let cluster = Cluster::start(3, &["--key-expiry-ms", "300"]);
    let first = cluster.http(1).keyed("alice/1", "x+=5", REQUEST).unwrap();
    assert_eq!(first.ok(), (1, 5));
    let gone = until("the name has expired", || {
        cluster.propose(2, "y+=1");
        let reply = cluster.http(3).keyed("alice/1", "x+=5", REQUEST).unwrap();
        (reply != first).then_some(reply)
    });
    assert_eq!((gone.status, gone.text("outcome")), (410, "expired"));
    assert_eq!(cluster.read(1, "x").1, 5);
}

#[test]
fn reads_of_every_kind_say_where_they_were_read() {
    let mut cluster = start("state-machine");
    let (index, _) = cluster.propose(1, "x+=5");
    let get = |cluster: &Cluster, id: u64, query: &str| {
        cluster.http(id).get(&format!("/variables/x?{query}")).unwrap()
    };
    for id in cluster.ids() {
        for query in ["read=linearizable", "read=lease", "at-least=1", "at-least=1&read=stale", "at-least=0"]
        {
            let (at, value) = get(&cluster, id, query).ok();
            assert!(
                at <= index && (query == "at-least=0" || (at, value) == (index, 5)),
                "{query} at node {id}"
            );
        }
        let reply = cluster.http(id).post("/?read=lease", "x?").unwrap();
        assert_eq!(reply.ok(), (1, 5));
        let reply = get(&cluster, id, "at-least=7&timeout_ms=200");
        assert_eq!((reply.status, reply.number("index")), (503, 1), "{reply:?}");
        for wrong in ["read=fresh", "at-least=x", "at-least=1&read=linearizable", "at-least=-1"] {
            assert_eq!(get(&cluster, id, wrong).status, 400, "{wrong}");
        }
    }
    // Without a majority only what needs none is answered.
    for id in [2, 3] {
        cluster.node(id).kill();
    }
    assert_eq!(get(&cluster, 1, "read=stale").ok(), (1, 5));
    assert_eq!(get(&cluster, 1, "at-least=1").ok(), (1, 5));
    until("the lease is over", || {
        (get(&cluster, 1, "read=lease&timeout_ms=200").status == 503).then_some(())
    });
    assert_eq!(get(&cluster, 1, "read=linearizable&timeout_ms=200").status, 503);
}

/// A subscriber by server-sent events.
struct Events {
    lines: std::io::Lines<BufReader<TcpStream>>,
}

impl Events {
    fn open(node: &Http, from: u64, last_event_id: Option<u64>) -> Events {
        let mut stream = TcpStream::connect(node.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let last = last_event_id.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        let request = format!("GET /log?from={from}&follow=true HTTP/1.1\r\nHost: test\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut lines = BufReader::new(stream).lines();
        let head: Vec<String> =
            lines.by_ref().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
        assert!(head[0].contains("200"), "{head:?}");
        assert!(head.iter().any(|line| line.to_lowercase().contains("text/event-stream")), "{head:?}");
        Events { lines }
    }

    /// The ids of the next events, each of which is the index in its data.
    fn take(&mut self, count: usize) -> Vec<u64> {
        let mut ids = Vec::new();
        let mut id = None;
        while ids.len() < count {
            let line = self.lines.next().unwrap().unwrap();
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.parse::<u64>().unwrap());
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data: Value = serde_json::from_str(data).unwrap();
                assert_eq!(data["index"], json!(id.unwrap()));
                ids.extend(id.take());
            }
        }
        ids
    }
}

#[test]
fn the_log_is_followed_and_resumed_by_its_indexes() {
    let mut cluster = start("primary-backup");
    for _ in 0..5 {
        cluster.propose(1, "x+=1");
    }
    let mut events = Events::open(cluster.http(2), 2, None);
    assert_eq!(events.take(4), [2, 3, 4, 5]);
    cluster.propose(3, "x+=1");
    cluster.propose(1, "x+=1");
    assert_eq!(events.take(2), [6, 7]);
    // Its node dies, and it goes on at another where it stopped.
    cluster.node(2).kill();
    drop(events);
    let mut events = Events::open(cluster.http(3), 2, Some(7));
    cluster.insist(1, "x+=1");
    assert_eq!(events.take(1), [8]);
    for wrong in ["from=0", "limit=0", "limit=1000000", "from=x", "follow=perhaps"] {
        assert_eq!(cluster.http(1).get(&format!("/log?{wrong}")).unwrap().status, 400, "{wrong}");
    }
    assert_eq!(cluster.http(1).get("/log?from=100").unwrap().body, json!([]));
    // A node that follows somebody ends all the same.
    assert!(cluster.node(3).terminate().success());
}

#[test]
fn whoever_comes_too_late_is_told_and_takes_the_snapshot() {
    let cluster = Cluster::start(3, &["--snapshot-records", "20", "--keep-records", "5"]);
    for _ in 0..60 {
        cluster.propose(1, "x+=1");
    }
    until("the log is purged", || cluster.nodes[0].status().filter(|status| status.first > 20));
    for path in ["/log?from=1", "/log?from=1&follow=true"] {
        let reply = cluster.http(1).get(path).unwrap();
        assert_eq!(reply.status, 410, "{reply:?}");
        assert!(reply.number("first") > 20, "{reply:?}");
    }
    let reply = cluster.http(1).get("/snapshot").unwrap();
    assert_eq!(reply.body, json!({ "index": 60, "variables": { "x": 60 } }));
    cluster.propose(2, "x+=1");
    let mut events = Events::open(cluster.http(1), reply.number("index") as u64 + 1, None);
    assert_eq!(events.take(1), [61]);
}
