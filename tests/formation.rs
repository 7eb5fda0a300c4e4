//! However a first start goes wrong, there is one cluster in the end, or none.
#![allow(clippy::unwrap_used, missing_docs)]

mod in_memory;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use in_memory::{Sum, until};
use lovebird::{Model, Node, Options};
use lovebird_core::entry::{Entry, EntryKind};
use lovebird_core::identity::{ClusterId, RaftId};
use lovebird_core::log_store::{LogStore, Vote};
use lovebird_core::transport::{AppendRequest, Hello, Route};
use lovebird_storage::{LogOptions, MemoryDisk};
use lovebird_transport::MemoryNetwork;

struct Running {
    node: Node<Sum>,
    log: Arc<dyn LogStore>,
}

impl Running {
    /// Puts a node on the network, which does not join yet.
    async fn open(network: &MemoryNetwork, id: RaftId, members: &BTreeMap<u64, String>) -> Running {
        let parts = in_memory::parts(
            network,
            Arc::new(MemoryDisk::new()),
            id,
            members.clone(),
            &LogOptions::default(),
        );
        let log = parts.log.clone();
        let node = Node::open(Sum::default(), parts, Options::default()).await.unwrap();
        network.register(&members[&id.node], node.endpoint());
        Running { node, log }
    }

    /// The entry that made the cluster, if this node has one.
    fn founding(&self) -> Option<Entry> {
        self.log.read(0..1, usize::MAX).unwrap().into_iter().next()
    }
}

/// Someone started two empty directories with the founder's id, on two machines. Each asks the others, and finds them empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_founders_one_at_most_gets_the_others() {
    for round in 0..10 {
        let network = MemoryNetwork::new();
        let members = |founder: &str| {
            BTreeMap::from([(1, founder.to_owned()), (2, "second".to_owned()), (3, "third".to_owned())])
        };
        let one = Running::open(&network, RaftId::new(1, 100), &members("first")).await;
        let other = Running::open(&network, RaftId::new(1, 200), &members("also first")).await;
        let second = Running::open(&network, RaftId::new(2, 300), &members("first")).await;
        let third = Running::open(&network, RaftId::new(3, 400), &members("first")).await;
        // The others join meanwhile, and learn of founders by being asked.
        let joined = [&one, &other, &second, &third].map(|running| {
            let node = running.node.clone();
            tokio::spawn(async move { node.join().await })
        });
        for joining in joined {
            // Whoever comes too late may be told that it must not take part.
            let _ = joining.await.unwrap();
        }
        until("the others belong to one cluster", || {
            let (second, third) = (second.founding()?, third.founding()?);
            assert_eq!(second, third, "in round {round} each founder got one of the others");
            Some(())
        })
        .await;
        let founders = [&one, &other].map(|founder| founder.founding() == second.founding());
        // The others were told one address of node 1, which may be the wrong one's. The founder reaches them in any case.
        let founder =
            founders.iter().position(|belongs| *belongs).expect("the cluster was founded by one of the two");
        let client = [&one, &other][founder].node.client().with_timeout(Duration::from_secs(60));
        assert_eq!(client.propose(5).await.unwrap().reply, 5);
        let applied = [&one, &other].map(|founder| founder.node.status().applied);
        for (belongs, applied) in founders.iter().zip(applied) {
            assert!(*belongs || applied == 0, "the other founder has a cluster of its own");
        }
        for running in [one, other, second, third] {
            running.node.shutdown().await;
        }
    }
}

/// The stream was opened before another life of the founder's node presented itself, and speaks only behind that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founder_that_was_replaced_is_not_heard_on_a_stream_that_it_had_open() {
    let network = MemoryNetwork::new();
    let members = ["first", "second", "third"].map(str::to_owned);
    let members: BTreeMap<u64, String> = (1..).zip(members).collect();
    for replaced in [false, true] {
        let id = RaftId::new(2, 300 + u64::from(replaced));
        let second = Running::open(&network, id, &members).await;
        let endpoint = second.node.endpoint();
        let cluster = ClusterId::of("in memory", &members.keys().copied().collect());
        let (one, other) = (RaftId::new(1, 100), RaftId::new(1, 200));
        let hello = async |from| {
            endpoint
                .hello(Hello { cluster, from, model: Model::StateMachine, members_at: None })
                .await
                .unwrap()
        };
        hello(one).await;
        let (sender, requests) = tokio::sync::mpsc::unbounded_channel();
        let requests =
            stream::unfold(requests, async |mut requests| Some((requests.recv().await?, requests))).boxed();
        let route = Route { cluster, group: 0, from: one, to: id };
        let mut replies = endpoint.append(route, requests).await.unwrap();
        if replaced {
            hello(other).await;
            assert_eq!(hello(other).await.known_as, Some(other));
        }
        let mut entry = Entry::new(EntryKind::Blank, Bytes::new());
        entry.header.term = 1;
        let vote = Vote { term: 1, node: one, committed: true };
        let entries = vec![entry];
        sender.send(AppendRequest { vote, previous: None, entries, committed: None }).unwrap();
        drop(sender);
        let reply = replies.next().await;
        assert_eq!(second.log.state().last.is_some(), !replaced, "{reply:?}");
        second.node.shutdown().await;
    }
}
