//! The same laws for what operators and nodes say to one another.

use std::collections::BTreeSet;

use super::*;

pub(super) fn version() -> impl Strategy<Value = MembershipVersion> {
    any::<(u64, u64)>().prop_map(|(term, number)| MembershipVersion { term, number })
}

fn following() -> impl Strategy<Value = Following> {
    let sending = any::<(u64, u64)>().prop_map(|(sent, length)| Sending { sent, length });
    (any::<(u64, Option<u64>)>(), option::of(sending)).prop_map(|((held, silent_ms), snapshot)| Following {
        held,
        silent_ms,
        snapshot,
    })
}

pub(super) fn member() -> impl Strategy<Value = Member> {
    let standing = prop_oneof![
        Just(Standing::Voter),
        Just(Standing::Joining),
        Just(Standing::Leaving),
        Just(Standing::Learner)
    ];
    (any::<(u64, u64, String)>(), standing, option::of(following())).prop_map(
        |((id, incarnation, address), standing, following)| Member {
            id,
            incarnation,
            address,
            standing,
            following,
        },
    )
}

pub(super) fn cluster_info() -> impl Strategy<Value = ClusterInfo> {
    (any::<(u64, String, BTreeSet<u64>)>(), model()).prop_map(|((id, name, initial_members), model)| {
        ClusterInfo { id: ClusterId(id), name, initial_members, model }
    })
}

fn change() -> impl Strategy<Value = Change> {
    // What else a member may be is nothing that can be asked for.
    let standing = prop_oneof![Just(Standing::Voter), Just(Standing::Learner)];
    prop_oneof![
        (any::<(u64, String)>(), standing).prop_map(|((node, address), standing)| Change::Add {
            node,
            address,
            standing
        }),
        any::<u64>().prop_map(|node| Change::Promote { node }),
        any::<u64>().prop_map(|node| Change::Remove { node }),
        any::<(u64, u64, String)>().prop_map(|(old, node, address)| Change::Replace { old, node, address }),
        any::<(u64, String)>().prop_map(|(node, address)| Change::Move { node, address }),
        any::<BTreeSet<u64>>().prop_map(|nodes| Change::Voters { nodes }),
    ]
}

fn change_request() -> impl Strategy<Value = ChangeRequest> {
    (any::<(u32, bool)>(), change(), option::of(version())).prop_map(
        |((group, forwarded), change, expected)| ChangeRequest { group, change, expected, forwarded },
    )
}

fn change_reply() -> impl Strategy<Value = ChangeReply> {
    prop_oneof![
        (any::<(u64, u64, Option<u64>)>(), following()).prop_map(
            |((node, last, remaining_ms), following)| {
                ChangeReply::CatchingUp { node, following, last, remaining_ms }
            }
        ),
        version().prop_map(|version| ChangeReply::Done { version }),
        any::<(String, bool)>().prop_map(|(reason, retry)| ChangeReply::Refused { reason, retry }),
    ]
}

fn hand_over_request() -> impl Strategy<Value = HandOverRequest> {
    any::<(u32, Option<u64>, bool)>().prop_map(|(group, to, forwarded)| HandOverRequest {
        group,
        to,
        forwarded,
    })
}

fn hand_over_reply() -> impl Strategy<Value = HandOverReply> {
    prop_oneof![
        any::<u64>().prop_map(|leader| HandOverReply::Done { leader }),
        any::<(String, bool)>().prop_map(|(reason, retry)| HandOverReply::Refused { reason, retry }),
    ]
}

fn export_piece() -> impl Strategy<Value = ExportPiece> {
    (any::<(u64, u64)>(), bytes()).prop_map(|((index, length), bytes)| ExportPiece { index, length, bytes })
}

round_trips! {
    members: member();
    clusters: cluster_info();
    changes: change_request();
    change_replies: change_reply();
    hand_overs: hand_over_request();
    hand_over_replies: hand_over_reply();
    requests_for_snapshots: any::<u32>().prop_map(TakeSnapshotRequest);
    indexes_of_snapshots: any::<u64>().prop_map(TakeSnapshotReply);
    requests_for_exports: any::<u32>().prop_map(ExportRequest);
    pieces_of_exports: export_piece();
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_a_message_or_malformed(bytes in bytes()) {
        survives::<Member>(&bytes)?;
        survives::<ClusterInfo>(&bytes)?;
        survives::<ChangeRequest>(&bytes)?;
        survives::<ChangeReply>(&bytes)?;
        survives::<HandOverRequest>(&bytes)?;
        survives::<HandOverReply>(&bytes)?;
        survives::<TakeSnapshotRequest>(&bytes)?;
        survives::<TakeSnapshotReply>(&bytes)?;
        survives::<ExportRequest>(&bytes)?;
        survives::<ExportPiece>(&bytes)?;
    }
}

#[test]
fn a_change_without_a_kind_is_malformed() {
    let read = |proto| ChangeRequest::from_proto(proto).unwrap_err().to_string();
    assert_eq!(read(proto::ChangeRequest::default()), "malformed: the message lacks its change");
    let change = Some(proto::Change { kind: None });
    let text = read(proto::ChangeRequest { change, ..Default::default() });
    assert_eq!(text, "malformed: the message lacks its kind of change");
}

#[test]
fn replies_without_a_kind_are_malformed() {
    let text = "malformed: the message lacks its kind";
    assert_eq!(ChangeReply::from_proto(proto::ChangeReply { kind: None }).unwrap_err().to_string(), text);
    assert_eq!(HandOverReply::from_proto(proto::HandOverReply { kind: None }).unwrap_err().to_string(), text);
    let kind = Some(proto::change_reply::Kind::CatchingUp(proto::CatchingUp::default()));
    let error = ChangeReply::from_proto(proto::ChangeReply { kind }).unwrap_err();
    assert_eq!(error.to_string(), "malformed: the message lacks its account of how far a node has come");
}

#[test]
fn numbers_that_mean_nothing_are_malformed() {
    for standing in [5, -1] {
        let text = format!("malformed: there is no standing {standing}");
        let member = proto::Member { standing, ..Default::default() };
        assert_eq!(Member::from_proto(member.clone()).unwrap_err().to_string(), text);
        let role = proto::Role::Leader.into();
        let status = proto::StatusReply { role, members: vec![member], ..Default::default() };
        assert_eq!(Status::from_proto(status).unwrap_err().to_string(), text);
        assert_eq!(add(standing).unwrap_err().to_string(), text);
    }
    let cluster = ClusterInfo::from_proto(proto::ClusterInfo { model: 2, ..Default::default() });
    assert_eq!(cluster.unwrap_err().to_string(), "malformed: there is no model 2");
}

/// A change that adds a node with this number for its standing.
fn add(standing: i32) -> TransportResult<Change> {
    let add = proto::AddMember { node: 4, address: String::new(), standing };
    Change::from_proto(proto::Change { kind: Some(proto::change::Kind::Add(add)) })
}

#[test]
fn a_node_is_added_as_a_voter_or_as_a_learner_and_it_is_said_which() {
    assert!(matches!(add(1), Ok(Change::Add { standing: Standing::Voter, .. })));
    assert!(matches!(add(4), Ok(Change::Add { standing: Standing::Learner, .. })));
    for standing in [0, 2, 3] {
        let text = add(standing).unwrap_err().to_string();
        let start = "malformed: a node is added as a voter or as a learner";
        assert!(text.starts_with(start) && text.ends_with(&standing.to_string()), "{text}");
    }
}

#[test]
fn a_status_of_an_older_node_is_one_of_voters_in_some_cluster() {
    let member = proto::Member { id: 3, address: "node-3:7000".to_owned(), ..Default::default() };
    let role = proto::Role::Follower.into();
    let status = proto::StatusReply { role, members: vec![member], ..Default::default() };
    let status = Status::from_proto(status).unwrap();
    let expected = Member {
        id: 3,
        incarnation: 0,
        address: "node-3:7000".to_owned(),
        standing: Standing::Voter,
        following: None,
    };
    assert_eq!((status.members, status.version), (vec![expected], None));
    let (id, model) = (ClusterId(0), Model::StateMachine);
    assert_eq!(
        status.cluster,
        ClusterInfo { id, name: String::new(), initial_members: BTreeSet::new(), model }
    );
}
