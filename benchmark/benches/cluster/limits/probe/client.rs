//! Many callers on one stream.

use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BufMut, Bytes};
use futures_util::stream;
use tonic::Streaming;

use super::link;
use super::wire::{Gathering, NO_VALUE, READS, WRITES};
use crate::system::{Client, Fresh, Outcome};

/// The client. Clones share its stream, which lasts as long as the leader does.
#[derive(Clone, Debug)]
pub(crate) struct Handle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

/// All under one lock, which callers hold for as long as copying a command takes, and the stream once a message.
#[derive(Debug, Default)]
struct State {
    writes: Gathering,
    reads: Gathering,
    calls: Vec<Call>,
    /// The slots of `calls` that nobody uses.
    free: Vec<u32>,
    /// Why the stream is over.
    ended: Option<String>,
}

/// A call under way. One that its caller gives up keeps its slot: no load here does that.
#[derive(Debug)]
enum Call {
    Waiting(Waker),
    Answered(Option<Bytes>),
}

impl Handle {
    pub(super) async fn connect(port: u16) -> Outcome<Handle> {
        let shared = Arc::new(Shared::default());
        let sending = shared.clone();
        let messages = stream::poll_fn(move |context| sending.lock().poll_message(context).map(Some));
        let replies = link::stream(&link::connect(port).await?, messages).await?;
        tokio::spawn(receive(shared.clone(), replies));
        Ok(Handle(shared))
    }

    /// Writes `value`, or reads if there is none.
    async fn call(&self, key: u32, value: Option<&[u8]>) -> Outcome<Option<Bytes>> {
        let mut slot = None;
        poll_fn(|context| {
            let mut state = self.0.lock();
            match slot {
                Some(slot) => state.poll_reply(slot, context),
                None => {
                    let (given, sender) = state.begin(key, value, context);
                    slot = Some(given);
                    drop(state);
                    sender.into_iter().for_each(Waker::wake);
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Client for Handle {
    async fn write(&self, key: u32, value: Bytes) -> Outcome<()> {
        self.call(key, Some(&value)).await?;
        Ok(())
    }

    /// All reads are the leader's, who has put into its memory what was acknowledged; it cannot be deposed.
    async fn read(&self, key: u32, _: Fresh) -> Outcome<Option<Bytes>> {
        self.call(key, None).await
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds a call to the next message. Gives its slot, and whom to wake.
    fn begin(&mut self, key: u32, value: Option<&[u8]>, context: &Context<'_>) -> (u32, Option<Waker>) {
        let call = Call::Waiting(context.waker().clone());
        let slot = match self.free.pop() {
            Some(slot) => {
                self.calls[slot as usize] = call;
                slot
            }
            None => {
                self.calls.push(call);
                self.calls.len() as u32 - 1
            }
        };
        let (kind, gathering) = match value {
            Some(_) => (WRITES, &mut self.writes),
            None => (READS, &mut self.reads),
        };
        let bytes = &mut gathering.bytes;
        if bytes.is_empty() {
            bytes.put_u8(kind);
        }
        bytes.put_u32_le(slot);
        bytes.put_u32_le(key);
        if let Some(value) = value {
            bytes.put_u32_le(value.len() as u32);
            bytes.put_slice(value);
        }
        (slot, gathering.sender())
    }

    fn poll_reply(&mut self, slot: u32, context: &Context<'_>) -> Poll<Outcome<Option<Bytes>>> {
        match &mut self.calls[slot as usize] {
            Call::Answered(value) => {
                let value = value.take();
                self.free.push(slot);
                Poll::Ready(Ok(value))
            }
            Call::Waiting(waker) => {
                if let Some(why) = &self.ended {
                    return Poll::Ready(Err(format!("the probe's stream ended: {why}").into()));
                }
                waker.clone_from(context.waker());
                Poll::Pending
            }
        }
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        match self.writes.poll(context) {
            Poll::Pending => self.reads.poll(context),
            ready => ready,
        }
    }

    /// Takes the replies of one message. Gives whom to wake.
    fn answer(&mut self, mut replies: Bytes) -> Vec<Waker> {
        let mut wakers = Vec::with_capacity(replies.len() / 8);
        while let (Ok(slot), Ok(length)) = (replies.try_get_u32_le(), replies.try_get_u32_le()) {
            let value = (length != NO_VALUE).then(|| replies.split_to(length as usize));
            if let Some(call) = self.calls.get_mut(slot as usize)
                && let Call::Waiting(waker) = mem::replace(call, Call::Answered(value))
            {
                wakers.push(waker);
            }
        }
        wakers
    }
}

/// Wakes the callers whose replies have come; all of them at the end.
async fn receive(shared: Arc<Shared>, mut replies: Streaming<Bytes>) {
    let ended = loop {
        match replies.message().await {
            Ok(Some(message)) => {
                let wakers = shared.lock().answer(message);
                wakers.into_iter().for_each(Waker::wake);
            }
            Ok(None) => break "the leader has no more to say".to_owned(),
            Err(status) => break status.to_string(),
        }
    };
    let mut state = shared.lock();
    state.ended = Some(ended);
    for call in &state.calls {
        if let Call::Waiting(waker) = call {
            waker.wake_by_ref();
        }
    }
}
