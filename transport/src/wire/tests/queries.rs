//! The same laws for queries and their answers.

use super::*;

fn query_part() -> impl Strategy<Value = QueryPart> {
    let freshness = prop_oneof![Just(Freshness::Quorum), Just(Freshness::Lease), Just(Freshness::Any)];
    (any::<(u64, u64)>(), freshness, 1..=u32::MAX).prop_map(|((at_least, timeout_ms), freshness, count)| {
        QueryPart { freshness, at_least, timeout_ms, count }
    })
}

pub(super) fn query_request() -> impl Strategy<Value = QueryRequest> {
    (any::<u64>(), prop::collection::vec(query_part(), 0..5), bytes())
        .prop_map(|(id, parts, run)| QueryRequest { id, parts, run })
}

fn answers() -> impl Strategy<Value = Answers> {
    let outcome = prop_oneof![
        (any::<u64>(), bytes()).prop_map(|(index, answers)| QueryOutcome::Answered { index, answers }),
        any::<(String, u64)>().prop_map(|(reason, applied)| QueryOutcome::Failed { reason, applied }),
    ];
    (any::<u32>(), 1..=u32::MAX, outcome).prop_map(|(first, count, outcome)| Answers {
        first,
        count,
        outcome,
    })
}

pub(super) fn query_reply() -> impl Strategy<Value = QueryReply> {
    (any::<u64>(), prop::collection::vec(answers(), 0..5))
        .prop_map(|(id, answers)| QueryReply { id, answers })
}

#[test]
fn numbers_of_reads_stay_what_they_were() {
    for (read, freshness) in [(1, Freshness::Quorum), (2, Freshness::Any), (3, Freshness::Lease)] {
        let query = QueryPart::from_proto(proto::QueryPart { read, count: 1, ..Default::default() });
        assert_eq!(query.unwrap().freshness, freshness);
    }
}

#[test]
fn what_is_asked_and_what_is_answered_is_of_some_queries() {
    let part = QueryPart::from_proto(proto::QueryPart { read: 1, ..Default::default() });
    assert_eq!(part.unwrap_err().to_string(), "malformed: a part of the request is of no query");
    let outcome = Some(proto::answers::Outcome::Answered(proto::Answered::default()));
    let answers = Answers::from_proto(proto::Answers { outcome, ..Default::default() });
    assert_eq!(answers.unwrap_err().to_string(), "malformed: an answer is to no query");
}
