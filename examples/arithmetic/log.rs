//! The log over HTTP: its records as JSON, or as they come; and the state for those who come too late.
//!
//! | request | answer |
//! |---|---|
//! | `GET /log?from=1&limit=100` | 200: an array of the committed records that this node has |
//! | `GET /log?from=17&follow=true` | 200: server-sent events whose ids are log indexes, so that `Last-Event-ID` resumes |
//! | either, where the log no longer holds `from` | 410: `first`, the first record that it holds |
//! | `GET /snapshot` | 200: the variables and the `index` at which they were read; the log goes on with the next one |

use std::convert::Infallible;
use std::time::{Duration, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use lovebird::{Event, Logged, Node, SubscribeError, Subscription};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Calculator, default_timeout_ms, failure, reply, timeout};
use crate::service::Command;

/// The most records in one answer.
const LIMIT_MAX: u64 = 10_000;

/// How often a follower hears that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// What stands behind the question mark.
#[derive(Deserialize)]
pub struct Parameters {
    #[serde(default = "default_from")]
    from: u64,
    #[serde(default = "default_limit")]
    limit: u64,
    #[serde(default)]
    follow: bool,
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u64,
}

fn default_from() -> u64 {
    1
}

fn default_limit() -> u64 {
    100
}

pub async fn log<S: Calculator>(
    State(node): State<Node<S>>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let Query(Parameters { mut from, limit, follow, timeout_ms }) = match parameters {
        Ok(parameters) => parameters,
        Err(rejection) => return failure(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    // A client that comes back says what it has seen last, and asks for what it asked for at first.
    if let Some(last) = headers.get("last-event-id").filter(|_| follow) {
        match last.to_str().ok().and_then(|last| last.parse::<u64>().ok()) {
            Some(last) => from = last.saturating_add(1),
            None => return failure(StatusCode::BAD_REQUEST, "a Last-Event-ID is a log index"),
        }
    }
    let timeout = match timeout(timeout_ms) {
        Ok(timeout) if from > 0 && (1..=LIMIT_MAX).contains(&limit) => timeout,
        Ok(_) => {
            let text = format!("from is at least 1, and limit from 1 to {LIMIT_MAX}");
            return failure(StatusCode::BAD_REQUEST, &text);
        }
        Err(text) => return failure(StatusCode::BAD_REQUEST, &text),
    };
    let first = node.status().first;
    if from < first {
        return purged(&SubscribeError::Purged { next: from, first });
    }
    let subscription = node.client().subscribe(from);
    if follow {
        let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
        return Sse::new(events(node, subscription)).keep_alive(keep_alive).into_response();
    }
    let last = node.status().applied.min(from.saturating_add(limit - 1));
    match tokio::time::timeout(timeout, read(subscription, last)).await {
        Ok(Ok(records)) => Json(records).into_response(),
        Ok(Err(error @ SubscribeError::Purged { .. })) => purged(&error),
        Ok(Err(error)) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Err(_) => failure(StatusCode::SERVICE_UNAVAILABLE, "the log was not read before the deadline"),
    }
}

/// The records up to `last`, which this node has.
async fn read<S: Calculator>(
    mut subscription: Subscription<S>,
    last: u64,
) -> Result<Vec<Value>, SubscribeError> {
    let mut records = Vec::new();
    while subscription.next_index() <= last {
        if let Event::Record(record) = subscription.next().await? {
            records.push(json(&record));
        }
    }
    Ok(records)
}

/// Records as they come, until the node stops or the log no longer holds the next one.
fn events<S: Calculator>(
    node: Node<S>,
    subscription: Subscription<S>,
) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    stream::unfold(Some(subscription), move |subscription| {
        let node = node.clone();
        async move {
            let mut subscription = subscription?;
            let next = tokio::select! {
                next = subscription.next() => next,
                _ = node.stopped() => return None,
            };
            let event = match next {
                Ok(Event::Record(record)) => {
                    let event = sse::Event::default().id(record.index.to_string());
                    return Some((Ok(event.data(json(&record).to_string())), Some(subscription)));
                }
                // It was not asked for, so it does not come.
                Ok(Event::State { .. }) => return None,
                Err(error) => sse::Event::default().event("error").data(error.to_string()),
            };
            Some((Ok(event), None))
        }
    })
}

pub async fn snapshot<S: Calculator>(State(node): State<Node<S>>) -> Response {
    let mut subscription = node.client().subscribe_with_state();
    let state = tokio::time::timeout(Duration::from_millis(default_timeout_ms()), subscription.next()).await;
    match state {
        Ok(Ok(Event::State { index, snapshot })) => {
            reply(StatusCode::OK, json!({ "index": index, "variables": snapshot }))
        }
        Ok(Ok(Event::Record(_))) => {
            failure(StatusCode::INTERNAL_SERVER_ERROR, "a record came where the state was asked for")
        }
        Ok(Err(error)) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Err(_) => failure(StatusCode::SERVICE_UNAVAILABLE, "the state was not written before the deadline"),
    }
}

fn json(record: &Logged<Command>) -> Value {
    // Log time is after 1970 on every clock that a node can have.
    let time = record.time.duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({
        "index": record.index,
        "term": record.term,
        "kind": "command",
        "text": record.command.to_string(),
        "time_ms": u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
    })
}

fn purged(error: &SubscribeError) -> Response {
    let SubscribeError::Purged { first, .. } = error else {
        return failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
    };
    let text = format!("{error}: GET /snapshot, and then the log from behind its index");
    reply(StatusCode::GONE, json!({ "error": text, "first": first, "snapshot": "/snapshot" }))
}
