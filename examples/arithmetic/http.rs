//! The service over HTTP, the same on every node. What goes in is text, what comes out is JSON, errors too.
//!
//! | status | body | when |
//! |---|---|---|
//! | 200 | `index`, `value` | done, or read |
//! | 400 | `error`; `position` and `expected` if it is about a statement or a name | not understood |
//! | 404, 405, 413 | `error` | no such place, not this method, more than [`BODY_BYTES_MAX`] |
//! | 422 | `index`, `error` | in the log, and refused by the service |
//! | 500 | `error`, perhaps `index` | nodes of different versions disagree on the types |
//! | 503 | `error`, `outcome`: `not-committed` (certainly) or `unknown` | no majority in time |

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use lovebird::{Client, Node, ProposeError, QueryError, Read, Role};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::parse::{self, ParseError, Statement};
use crate::service::{Arithmetic, Command};

/// The largest body that may be a statement.
const BODY_BYTES_MAX: usize = 4 << 10;

/// How much of a larger body is read before it is refused. To close a connection on which more is coming can cost the sender
/// the answer, so whoever is only a little wrong is heard out.
const BODY_BYTES_READ: usize = 1 << 20;

/// The longest that a request may ask to wait: ten minutes.
const TIMEOUT_MS_MAX: u64 = 600_000;

/// What stands behind the question mark of a URL.
#[derive(Deserialize)]
struct Parameters {
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u64,
    #[serde(default)]
    read: Freshness,
}

fn default_timeout_ms() -> u64 {
    5000
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Freshness {
    #[default]
    Linearizable,
    Stale,
}

/// Requests to `node`.
pub fn router(node: Node<Arithmetic>) -> Router {
    Router::new()
        .route("/", post(statement))
        .route("/variables/{name}", get(variable))
        .route("/status", get(status))
        .fallback(|| async {
            failure(StatusCode::NOT_FOUND, "there is nothing here: try /, /variables/x or /status")
        })
        .method_not_allowed_fallback(|| async {
            failure(StatusCode::METHOD_NOT_ALLOWED, "POST statements to /, GET /variables/x and /status")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_READ))
        .with_state(node)
}

async fn statement(
    State(node): State<Node<Arithmetic>>,
    parameters: Result<Query<Parameters>, QueryRejection>,
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
    match parse::statement(&body) {
        Ok(Statement::Command(command)) => propose(client, command).await,
        Ok(Statement::Query(name)) => query(client, name, read).await,
        Err(error) => malformed(&error, "this is not a statement"),
    }
}

async fn variable(
    State(node): State<Node<Arithmetic>>,
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
fn handle(
    node: &Node<Arithmetic>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<(Client<Arithmetic>, Read), Response> {
    let Query(Parameters { timeout_ms, read }) =
        parameters.map_err(|rejection| failure(StatusCode::BAD_REQUEST, &rejection.body_text()))?;
    if !(1..=TIMEOUT_MS_MAX).contains(&timeout_ms) {
        let text = format!("timeout_ms is {timeout_ms}, and must be from 1 to {TIMEOUT_MS_MAX}");
        return Err(failure(StatusCode::BAD_REQUEST, &text));
    }
    let read = match read {
        Freshness::Linearizable => Read::Linearizable,
        Freshness::Stale => Read::Stale,
    };
    Ok((node.client().with_timeout(Duration::from_millis(timeout_ms)), read))
}

async fn propose(client: Client<Arithmetic>, command: Command) -> Response {
    match client.propose(command).await {
        Ok(committed) => match committed.reply {
            Ok(value) => reply(StatusCode::OK, json!({ "index": committed.index, "value": value })),
            Err(refusal) => {
                reply(StatusCode::UNPROCESSABLE_ENTITY, json!({ "index": committed.index, "error": refusal }))
            }
        },
        Err(error @ ProposeError::NotCommitted { .. }) => unavailable(&error.to_string(), "not-committed"),
        Err(error @ ProposeError::Unknown { .. }) => unavailable(&error.to_string(), "unknown"),
        Err(ref error @ ProposeError::Codec { index: Some(index), .. }) => {
            reply(StatusCode::INTERNAL_SERVER_ERROR, json!({ "index": index, "error": error.to_string() }))
        }
        Err(error @ ProposeError::Codec { index: None, .. }) => {
            failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
    }
}

async fn query(client: Client<Arithmetic>, name: String, read: Read) -> Response {
    match client.query(name, read).await {
        Ok(answered) => reply(StatusCode::OK, json!({ "index": answered.index, "value": answered.answer })),
        // A read puts nothing into the log, so this much is certain of it.
        Err(error @ QueryError::Unavailable { .. }) => unavailable(&error.to_string(), "not-committed"),
        Err(error @ QueryError::Codec { .. }) => {
            failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
    }
}

async fn status(State(node): State<Node<Arithmetic>>) -> Response {
    let status = node.status();
    let role = match status.role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Learner => "learner",
    };
    let members: Vec<Value> =
        status.members.iter().map(|member| json!({ "id": member.id, "address": member.address })).collect();
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

fn failure(status: StatusCode, error: &str) -> Response {
    reply(status, json!({ "error": error }))
}

fn reply(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}
