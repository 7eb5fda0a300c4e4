//! All services on one socket.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use lovebird_core::transport::Endpoint;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;

use super::handler::Handler;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::proto::clients_server::ClientsServer;
use crate::proto::operators_server::OperatorsServer;
use crate::proto::peers_server::PeersServer;

/// Gives each call to its service, by the first part of its path.
#[derive(Clone)]
pub(super) struct Ports {
    peers: PeersServer<Handler>,
    clients: ClientsServer<Handler>,
    operators: OperatorsServer<Handler>,
}

impl Ports {
    pub(super) fn new(endpoint: Arc<dyn Endpoint>) -> Self {
        let handler = Handler::new(endpoint);
        let peers = PeersServer::new(handler.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let clients = ClientsServer::new(handler.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let operators = OperatorsServer::new(handler)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Ports { peers, clients, operators }
    }
}

impl Service<Request<Body>> for Ports {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The generated services are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = request.uri().path().split('/').nth(1);
        if service == Some(PeersServer::<Handler>::NAME) {
            self.peers.call(request)
        } else if service == Some(OperatorsServer::<Handler>::NAME) {
            self.operators.call(request)
        } else {
            // It answers what it does not know with `UNIMPLEMENTED`.
            self.clients.call(request)
        }
    }
}
