//! The service over HTTP, the same on every node. What goes in is text, what comes out is JSON, errors too.
//!
//! | status | body | when |
//! |---|---|---|
//! | 200 | `index`, `value` | done, or read |
//! | 400 | `error`; `position` and `expected` if it is about a statement or a name | not understood |
//! | 404, 405, 413 | `error` | no such place, not this method, more than [`BODY_BYTES_MAX`] |
//! | 410 | `error`; `outcome`: `expired` or `settled` | the key is too old for its reply to be known; it is not carried out again |
//! | 410 | `error`, `first` | the log no longer holds that (`log.rs`) |
//! | 422 | `index`, `error` | in the log, and refused by the service |
//! | 500 | `error`, perhaps `index` | nodes of different versions disagree on the types |
//! | 503 | `error`, `outcome`: `not-committed` (certainly) or `unknown`; `index` of the replica for a read | no majority in time |

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use lovebird::{
    Client, Key, Member, NAME_BYTES_MAX, Node, Primary, ProposeError, QueryError, Read, Role, Service,
    Standing,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::log;
use crate::parse::{self, ParseError, Statement};
use crate::service::{Arithmetic, Command};

/// The largest body that may be a statement.
const BODY_BYTES_MAX: usize = 4 << 10;

/// How much of a larger body is read before it is refused. To close a connection on which more is coming can cost the sender
/// the answer, so whoever is only a little wrong is heard out.
const BODY_BYTES_READ: usize = 1 << 20;

/// The longest that a request may ask to wait: ten minutes.
const TIMEOUT_MS_MAX: u64 = 600_000;

/// The arithmetic service in either model.
pub trait Calculator:
    Service<
        Proposal = Command,
        Command = Command,
        Reply = Result<i64, String>,
        Query = String,
        Answer = i64,
        Snapshot = BTreeMap<String, i64>,
    >
{
}

impl Calculator for Arithmetic {}
impl Calculator for Primary<Arithmetic> {}

/// What stands behind the question mark of a URL.
#[derive(Deserialize)]
struct Parameters {
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u64,
    read: Option<Freshness>,
    #[serde(rename = "at-least")]
    at_least: Option<u64>,
}

pub fn default_timeout_ms() -> u64 {
    5000
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Freshness {
    Linearizable,
    Lease,
    Stale,
}

impl Parameters {
    /// How fresh a read must be.
    fn read(&self) -> Result<Read, &'static str> {
        match (self.at_least, self.read) {
            (Some(index), None | Some(Freshness::Stale)) => Ok(Read::AtLeast(index)),
            (Some(_), Some(_)) => Err("at-least and read exclude one another: give one of them"),
            (None, None | Some(Freshness::Linearizable)) => Ok(Read::Linearizable),
            (None, Some(Freshness::Lease)) => Ok(Read::Lease),
            (None, Some(Freshness::Stale)) => Ok(Read::Stale),
        }
    }
}

/// Requests to `node`.
pub fn router<S: Calculator>(node: Node<S>) -> Router {
    Router::new()
        .route("/", post(statement::<S>))
        .route("/variables/{name}", get(variable::<S>))
        .route("/status", get(status::<S>))
        .route("/log", get(log::log::<S>))
        .route("/snapshot", get(log::snapshot::<S>))
        .fallback(|| async {
            failure(
                StatusCode::NOT_FOUND,
                "there is nothing here: try /, /variables/x, /log, /snapshot or /status",
            )
        })
        .method_not_allowed_fallback(|| async {
            let text = "POST statements to /, GET /variables/x, /log, /snapshot and /status";
            failure(StatusCode::METHOD_NOT_ALLOWED, text)
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_READ))
        .with_state(node)
}

async fn statement<S: Calculator>(
    State(node): State<Node<S>>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) if body.len() <= BODY_BYTES_MAX => body,
        Err(rejection) if rejection.status() != StatusCode::PAYLOAD_TOO_LARGE => {
            return failure(rejection.status(), &rejection.body_text());
        }
        Ok(_) | Err(_) => {
            let text = format!("a statement takes at most {BODY_BYTES_MAX} bytes");
            return failure(StatusCode::PAYLOAD_TOO_LARGE, &text);
        }
    };
    let (client, read) = match handle(&node, parameters) {
        Ok(handle) => handle,
        Err(response) => return response,
    };
    let key = match key(&headers) {
        Ok(key) => key,
        Err(text) => return failure(StatusCode::BAD_REQUEST, &text),
    };
    match parse::statement(&body) {
        Ok(Statement::Command(command)) => propose(client, key, command).await,
        Ok(Statement::Query(name)) => query(client, name, read).await,
        Err(error) => malformed(&error, "this is not a statement"),
    }
}

async fn variable<S: Calculator>(
    State(node): State<Node<S>>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    let (client, read) = match handle(&node, parameters) {
        Ok(handle) => handle,
        Err(response) => return response,
    };
    match name {
        Ok(Path(name)) => match parse::name(&name) {
            Ok(name) => query(client, name, read).await,
            Err(error) => malformed(&error, "this is not a variable's name"),
        },
        Err(rejection) => failure(rejection.status(), &rejection.body_text()),
    }
}

/// The client handle with the deadline that the request asks for, and how fresh its reads shall be.
#[expect(clippy::result_large_err, reason = "the error is the response itself")]
fn handle<S: Calculator>(
    node: &Node<S>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<(Client<S>, Read), Response> {
    let refused = |text: &str| failure(StatusCode::BAD_REQUEST, text);
    let Query(parameters) = parameters.map_err(|rejection| refused(&rejection.body_text()))?;
    let timeout = timeout(parameters.timeout_ms).map_err(|text| refused(&text))?;
    Ok((node.client().with_timeout(timeout), parameters.read().map_err(refused)?))
}

pub fn timeout(timeout_ms: u64) -> Result<Duration, String> {
    if !(1..=TIMEOUT_MS_MAX).contains(&timeout_ms) {
        return Err(format!("timeout_ms is {timeout_ms}, and must be from 1 to {TIMEOUT_MS_MAX}"));
    }
    Ok(Duration::from_millis(timeout_ms))
}

/// The request's name for itself, with which it can be sent again without being carried out twice.
fn key(headers: &HeaderMap) -> Result<Option<Key>, String> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let wrong = || format!("an Idempotency-Key is NAME/NUMBER, such as alice/17, and {value:?} is none");
    let (name, number) = value.to_str().ok().and_then(|text| text.rsplit_once('/')).ok_or_else(wrong)?;
    let number = number.parse::<u64>().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
    if name.is_empty() {
        return Err(wrong());
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("the name in an Idempotency-Key has at most {NAME_BYTES_MAX} bytes"));
    }
    Ok(Some(Key { name: name.to_owned(), number }))
}

async fn propose<S: Calculator>(client: Client<S>, key: Option<Key>, command: Command) -> Response {
    let outcome = match key {
        Some(key) => client.propose_as(&key, command).await,
        None => client.propose(command).await,
    };
    match outcome {
        Ok(committed) => match committed.reply {
            Ok(value) => reply(StatusCode::OK, json!({ "index": committed.index, "value": value })),
            Err(refusal) => {
                reply(StatusCode::UNPROCESSABLE_ENTITY, json!({ "index": committed.index, "error": refusal }))
            }
        },
        Err(error @ ProposeError::NotCommitted { .. }) => unavailable(&error.to_string(), "not-committed"),
        Err(error @ ProposeError::Unknown { .. }) => unavailable(&error.to_string(), "unknown"),
        Err(error @ ProposeError::Expired { .. }) => {
            reply(StatusCode::GONE, json!({ "error": error.to_string(), "outcome": "expired" }))
        }
        Err(ref error @ ProposeError::ReplyGone { index }) => {
            let body = json!({ "index": index, "error": error.to_string(), "outcome": "settled" });
            reply(StatusCode::GONE, body)
        }
        Err(ref error @ ProposeError::Codec { index: Some(index), .. }) => {
            reply(StatusCode::INTERNAL_SERVER_ERROR, json!({ "index": index, "error": error.to_string() }))
        }
        Err(error @ ProposeError::Codec { index: None, .. }) => {
            failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
    }
}

async fn query<S: Calculator>(client: Client<S>, name: String, read: Read) -> Response {
    match client.query(name, read).await {
        Ok(answered) => reply(StatusCode::OK, json!({ "index": answered.index, "value": answered.answer })),
        // A read puts nothing into the log, so this much is certain of it.
        Err(ref error @ QueryError::Unavailable { applied, .. }) => {
            let body = json!({ "error": error.to_string(), "outcome": "not-committed", "index": applied });
            reply(StatusCode::SERVICE_UNAVAILABLE, body)
        }
        Err(error @ QueryError::Codec { .. }) => {
            failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
    }
}

async fn status<S: Calculator>(State(node): State<Node<S>>) -> Response {
    let status = node.status();
    let role = match status.role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Learner => "learner",
    };
    let standing = |member: &Member| match member.standing {
        Standing::Voter => "voter",
        Standing::Joining => "joining",
        Standing::Leaving => "leaving",
        Standing::Learner => "learner",
    };
    let members: Vec<Value> = status
        .members
        .iter()
        .map(|member| json!({ "id": member.id, "address": member.address, "standing": standing(member) }))
        .collect();
    reply(
        StatusCode::OK,
        json!({
            "id": status.id,
            "role": role,
            "term": status.term,
            "leader": status.leader,
            "committed": status.committed,
            "applied": status.applied,
            "snapshot": status.snapshot,
            "first": status.first,
            "last": status.last,
            "voters": status.voters(),
            "learners": status.learners(),
            "joint": status.is_joint(),
            "members": members,
        }),
    )
}

fn malformed(error: &ParseError, what: &str) -> Response {
    let body = json!({
        "error": format!("{what}: {error}"),
        "position": error.position,
        "expected": error.expected,
    });
    reply(StatusCode::BAD_REQUEST, body)
}

fn unavailable(error: &str, outcome: &str) -> Response {
    reply(StatusCode::SERVICE_UNAVAILABLE, json!({ "error": error, "outcome": outcome }))
}

pub fn failure(status: StatusCode, error: &str) -> Response {
    reply(status, json!({ "error": error }))
}

pub fn reply(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}
