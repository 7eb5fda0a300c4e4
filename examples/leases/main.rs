//! Leases and a lottery, on three nodes within one process: what a state machine does that needs a clock and chance.
//!
//! `cargo run --release --example leases` tells a short story and ends; its data vanishes with it. The service is `service.rs`.

#![forbid(unsafe_code)]
#![allow(unreachable_pub, missing_docs)]

mod service;

use std::error::Error;
use std::time::{Duration, SystemTime};

use lovebird::{Node, NodeBuilder, Read};
use service::{Command, Leases, Reply};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    // Ports that are free now; between this and the start somebody else may take them, and the example then says so.
    let listeners: Vec<_> =
        (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let addresses: Vec<String> =
        listeners.iter().map(|l| Ok(l.local_addr()?.to_string())).collect::<std::io::Result<_>>()?;
    drop(listeners);
    let mut nodes = Vec::new();
    for (id, address) in (1..).zip(&addresses) {
        let mut builder = NodeBuilder::new(Leases::default())
            .cluster("leases")
            .id(id)
            .listen(address)
            .data_dir(directory.path().join(id.to_string()));
        for (id, address) in (1..).zip(&addresses) {
            builder = builder.member(id, address);
        }
        nodes.push(builder.start().await?);
    }
    story(&nodes).await?;
    for node in nodes {
        node.shutdown().await;
    }
    Ok(())
}

async fn story(nodes: &[Node<Leases>]) -> Result<(), Box<dyn Error>> {
    let second = Duration::from_secs(1);
    let acquire = |holder: &str| Command::Acquire {
        lease: "printer".to_owned(),
        holder: holder.to_owned(),
        duration: second,
    };
    let (alice, bob) = (nodes[0].client(), nodes[1].client());
    let granted = alice.propose(acquire("alice")).await?;
    println!("record {}: alice asks for the printer: {}", granted.index, told(&granted.reply));
    let refused = bob.propose(acquire("bob")).await?;
    println!("record {}: bob asks for the printer: {}", refused.index, told(&refused.reply));
    // Nobody has to notice that the time is over: the next command does, by the time in the log.
    tokio::time::sleep(second + Duration::from_millis(100)).await;
    let granted = bob.propose(acquire("bob")).await?;
    println!("record {}: bob asks again a second later: {}", granted.index, told(&granted.reply));
    for node in nodes {
        let read = node.client().query("printer".to_owned(), Read::AtLeast(granted.index)).await?;
        let held = read.answer.ok_or("the lease is gone")?;
        println!("node {} says that it is {}'s, by token {}", node.status().id, held.holder, held.token);
    }
    for holder in ["alice", "bob", "carol"] {
        alice.propose(Command::Enter { holder: holder.to_owned() }).await?;
    }
    let drawn = bob.propose(Command::Draw).await?;
    println!("record {}: one of alice, bob and carol is drawn: {}", drawn.index, told(&drawn.reply));
    let released =
        bob.propose(Command::Release { lease: "printer".to_owned(), holder: "bob".to_owned() }).await?;
    println!("record {}: bob gives the printer back", released.index);
    Ok(())
}

fn told(reply: &Reply) -> String {
    match reply {
        Reply::Granted { until, token } => {
            let left = until.duration_since(SystemTime::now()).unwrap_or_default();
            format!("granted for another {} ms, by token {token}", left.as_millis())
        }
        Reply::Held { by, .. } => format!("it is {by}'s"),
        Reply::Done => "done".to_owned(),
        Reply::Drawn(Some(holder)) => holder.clone(),
        Reply::Drawn(None) => "nobody takes part".to_owned(),
    }
}
