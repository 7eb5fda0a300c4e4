//! gRPC with nothing in it but bytes: what HTTP/2 and tonic cost, without what a message format would add.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use futures_util::Stream;
use futures_util::stream::BoxStream;
use tonic::body::Body;
use tonic::client::Grpc as Calling;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc as Serving, StreamingService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

use crate::system::Outcome;

/// How long a process may take until it accepts connections.
pub(super) const START_MAX: Duration = Duration::from_secs(20);

const UNARY: &str = "/benchmark.Link/Unary";
const STREAM: &str = "/benchmark.Link/Stream";

/// Windows that no load here fills, and frames that hold a whole message: neither makes anyone wait for the other side.
const STREAM_WINDOW_BYTES: u32 = 16 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
const FRAME_BYTES_MAX: u32 = 1 << 20;
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// What a stream is answered with.
pub(super) type Messages = BoxStream<'static, Result<Bytes, Status>>;

/// A message is its bytes.
#[derive(Clone, Copy, Debug)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Plain;
    type Decoder = Plain;

    fn encoder(&mut self) -> Plain {
        Plain
    }

    fn decoder(&mut self) -> Plain {
        Plain
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(message);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Answers unary calls with what they hold, and streams with what `A` makes of them.
#[derive(Clone)]
struct Answering<A>(A);

impl<A> UnaryService<Bytes> for Answering<A> {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl<A: Fn(Streaming<Bytes>) -> Messages> StreamingService<Bytes> for Answering<A> {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Ready<Result<Response<Messages>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        ready(Ok(Response::new((self.0)(request.into_inner()))))
    }
}

impl<A> Service<http::Request<Body>> for Answering<A>
where
    A: Fn(Streaming<Bytes>) -> Messages + Clone + Send + Sync + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answering = self.clone();
        Box::pin(async move {
            let mut serving = Serving::new(Plain).max_decoding_message_size(MESSAGE_BYTES_MAX);
            Ok(match request.uri().path() {
                UNARY => serving.unary(answering, request).await,
                STREAM => serving.streaming(answering, request).await,
                _ => Status::unimplemented("there is no such call").into_http(),
            })
        })
    }
}

/// Serves on this port of the loopback interface.
pub(super) async fn serve<A>(port: u16, answer: A) -> Outcome<()>
where
    A: Fn(Streaming<Bytes>) -> Messages + Clone + Send + Sync + 'static,
{
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], port).into())?.with_nodelay(Some(true));
    let server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX);
    Ok(server.serve_with_incoming(Answering(answer), incoming).await?)
}

/// Connects to this port, as soon as somebody listens there.
pub(super) async fn connect(port: u16) -> Outcome<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX);
    let begun = Instant::now();
    loop {
        match endpoint.connect().await {
            Ok(channel) => return Ok(channel),
            Err(error) if begun.elapsed() > START_MAX => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// One unary call.
pub(super) async fn unary(channel: &Channel, message: Bytes) -> Outcome<Bytes> {
    let mut calling = Calling::new(channel.clone());
    calling.ready().await?;
    let path = PathAndQuery::from_static(UNARY);
    Ok(calling.unary(Request::new(message), path, Plain).await?.into_inner())
}

/// Opens a stream on which `messages` are sent.
pub(super) async fn stream(
    channel: &Channel,
    messages: impl Stream<Item = Bytes> + Send + 'static,
) -> Outcome<Streaming<Bytes>> {
    let mut calling = Calling::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    calling.ready().await?;
    let path = PathAndQuery::from_static(STREAM);
    Ok(calling.streaming(Request::new(messages), path, Plain).await?.into_inner())
}
