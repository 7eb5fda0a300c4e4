//! The receiving side: a node's endpoint behind a listening socket.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use futures_util::stream::{self, Stream};
use lovebird_core::runtime;
use lovebird_core::transport::Endpoint;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::transport::Server;

use super::connection::{Connection, Cut};
use super::ports::Ports;
use crate::limits::{
    CONNECTION_WINDOW_BYTES, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, SHUTDOWN_GRACE, STREAM_WINDOW_BYTES,
    STREAMS_MAX,
};

/// How long to wait after the system gave no connection, for want of file descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many calls may be cancelled faster than the server can take notice, and how many frames may come for streams that
/// it has given up, before it gives up the connection. HTTP/2 stacks take that for an attack and stop at 20 and at 1,024;
/// here it is a peer that cancels many calls at once.
const RESETS_MAX: usize = 1 << 20;

/// Serves `endpoint` to whoever connects, until `shutdown` has resolved.
///
/// Then no connection and no new call is taken any more; calls and streams may finish for [`SHUTDOWN_GRACE`], and what is
/// still open after that is cut. Dropping the future stops the accepting and cuts everything at once.
///
/// # Errors
/// The listener cannot be used at all.
pub async fn serve(
    listener: TcpListener,
    endpoint: Arc<dyn Endpoint>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    listener.local_addr()?;
    let (scissors, uncut) = oneshot::channel();
    let cut: Cut = uncut.map(drop as fn(_)).shared();
    let (begun, begins) = oneshot::channel::<()>();
    let shutdown = async move {
        shutdown.await;
        // Nobody listens if the server has ended by itself.
        let _ = begun.send(());
    };
    let server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_pending_accept_reset_streams(Some(RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(RESETS_MAX))
        .serve_with_incoming_shutdown(Ports::new(endpoint), connections(listener, cut), shutdown);
    let grace = async move {
        if begins.await.is_ok() {
            runtime::sleep(SHUTDOWN_GRACE).await;
        }
        drop(scissors);
    };
    let (server, grace) = (std::pin::pin!(server), std::pin::pin!(grace));
    let ended = match select(server, grace).await {
        Either::Left((ended, _)) => ended,
        Either::Right(((), server)) => server.await,
    };
    ended.map_err(io::Error::other)
}

/// Accepts for as long as it is polled.
fn connections(listener: TcpListener, cut: Cut) -> impl Stream<Item = io::Result<Connection>> {
    stream::unfold((listener, cut), |(listener, cut)| async move {
        loop {
            let accepted = listener.accept().await.and_then(|(stream, _)| {
                stream.set_nodelay(true)?;
                Ok(stream)
            });
            match accepted {
                Ok(stream) => {
                    let connection = Connection::new(stream, cut.clone());
                    return Some((Ok(connection), (listener, cut)));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    runtime::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}
