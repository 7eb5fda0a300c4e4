//! A client that speaks HTTP and JSON to one node.

use std::time::Duration;

use serde_json::Value;

/// What a node answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
}

impl Reply {
    /// The member `name` of the body as a number.
    #[track_caller]
    pub fn number(&self, name: &str) -> i64 {
        self.body[name].as_i64().unwrap_or_else(|| panic!("no number {name} in {self:?}"))
    }

    /// The member `name` of the body as text.
    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_else(|| panic!("no text {name} in {self:?}"))
    }

    /// (index, value) of a 200.
    #[track_caller]
    pub fn ok(&self) -> (u64, i64) {
        assert_eq!(self.status, 200, "{self:?} is no success");
        (self.number("index") as u64, self.number("value"))
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum NoReply {
    /// Nobody listens: nothing was sent.
    Refused,
    /// The connection broke, and the request may have arrived.
    Broken(String),
}

/// How fresh a read is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    Linearizable,
    Stale,
}

/// Speaks to the node at one address. Sends each request once, whatever becomes of it.
#[derive(Clone)]
pub struct Http {
    address: String,
    agent: ureq::Agent,
}

impl Http {
    /// A connection to each request: what happened to the node in between does not matter.
    pub fn new(address: impl Into<String>) -> Http {
        Http::with_idle_connections(address, 0)
    }

    /// One connection to many requests. After the node was away, the first of them fails.
    pub fn keeping_alive(address: impl Into<String>) -> Http {
        Http::with_idle_connections(address, 1)
    }

    fn with_idle_connections(address: impl Into<String>, count: usize) -> Http {
        let config = ureq::Agent::config_builder()
            .max_idle_connections(count)
            .max_idle_connections_per_host(count)
            .http_status_as_error(false)
            .proxy(None)
            // Requests carry deadlines of their own; this is for a node that forgets them.
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Http { address: address.into(), agent: config.into() }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn get(&self, path: &str) -> Result<Reply, NoReply> {
        reply(self.agent.get(self.url(path)).call())
    }

    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Result<Reply, NoReply> {
        reply(self.agent.post(self.url(path)).send(body.as_ref()))
    }

    /// Proposes or queries, with the default deadline.
    pub fn statement(&self, statement: &str) -> Result<Reply, NoReply> {
        self.post("/", statement)
    }

    /// Proposes under a key, with a deadline.
    pub fn keyed(&self, key: &str, statement: &str, timeout: Duration) -> Result<Reply, NoReply> {
        let url = self.url(&format!("/?timeout_ms={}", timeout.as_millis()));
        reply(self.agent.post(url).header("Idempotency-Key", key).send(statement.as_bytes()))
    }

    /// Proposes or queries, with a deadline.
    pub fn statement_within(&self, statement: &str, timeout: Duration) -> Result<Reply, NoReply> {
        self.post(&format!("/?timeout_ms={}", timeout.as_millis()), statement)
    }

    pub fn read(&self, variable: &str, freshness: Freshness, timeout: Duration) -> Result<Reply, NoReply> {
        let read = match freshness {
            Freshness::Linearizable => "linearizable",
            Freshness::Stale => "stale",
        };
        self.get(&format!("/variables/{variable}?read={read}&timeout_ms={}", timeout.as_millis()))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn reply(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Reply, NoReply> {
    let mut response = result.map_err(no_reply)?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().map_err(no_reply)?;
    let body = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("the body of a {status} is no JSON ({error}): {text:?}"));
    Ok(Reply { status, body })
}

fn no_reply(error: ureq::Error) -> NoReply {
    match error {
        ureq::Error::ConnectionFailed => NoReply::Refused,
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => NoReply::Refused,
        error => NoReply::Broken(error.to_string()),
    }
}
