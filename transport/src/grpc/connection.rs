//! A connection that can be cut from outside.
//!
//! tonic serves each connection in a task of its own and ends it only when all streams on it have ended, which an open
//! append stream never does. Cutting what is underneath ends the task, and with it every handler that it runs.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::{Map, Shared};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tonic::transport::server::Connected;

/// Resolves when all connections are to be cut: when the sender of the pair is dropped.
pub(super) type Cut = Shared<Map<oneshot::Receiver<()>, fn(Result<(), oneshot::error::RecvError>)>>;

/// A TCP connection up to its cut.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    cut: Cut,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, cut: Cut) -> Self {
        Connection { stream, cut }
    }

    /// The stream, unless it has been cut; the task is woken by the cut too.
    fn uncut(&mut self, cx: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        // A future that has been seen to resolve must not be polled again, and `peek` tells.
        if self.cut.peek().is_some() || self.cut.poll_unpin(cx).is_ready() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "this node shuts down"));
        }
        Ok(Pin::new(&mut self.stream))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.uncut(cx)?.poll_read(cx, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.uncut(cx)?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.uncut(cx)?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.uncut(cx)?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.uncut(cx)?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}
