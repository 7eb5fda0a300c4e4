//! What one caller writes and reads. Each has a key of its own, so that what it was told last can be compared with what there is.

use std::sync::OnceLock;

use bytes::{BufMut, Bytes, BytesMut};
use lovebird_benchmark::Chance;

use crate::system::{Client, Fresh, Outcome};

/// What the callers do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mix {
    /// How many calls of a hundred are reads.
    pub(crate) reads: u64,
    /// … and how fresh these are.
    pub(crate) fresh: Fresh,
    /// How many bytes a value has, at least 16.
    pub(crate) value_bytes: usize,
}

impl Mix {
    /// Writes alone.
    pub(crate) fn writes(value_bytes: usize) -> Mix {
        Mix { reads: 0, fresh: Fresh::Linearizable, value_bytes }
    }

    /// Reads alone.
    pub(crate) fn reads(fresh: Fresh) -> Mix {
        Mix { reads: 100, fresh, value_bytes: 100 }
    }
}

/// The longest value.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// What the values are pieces of.
const NOISE_BYTES: usize = 1 << 20;
static NOISE: OnceLock<Vec<u8>> = OnceLock::new();

/// A value: which write of its caller it is, and bytes that do not compress, which the number decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value(pub(crate) u64);

impl Value {
    pub(crate) fn bytes(self, key: u32, length: usize) -> Bytes {
        let mut bytes = BytesMut::with_capacity(length);
        bytes.put_u64_le(self.0);
        // Cheaper than new bytes for each write, which the load would pay for.
        let start = (u64::from(key) * 131 + self.0 * 31) as usize % NOISE_BYTES;
        let noise = NOISE.get_or_init(|| {
            let mut noise = vec![0; NOISE_BYTES + VALUE_BYTES_MAX];
            Chance::new(1).fill(&mut noise);
            noise
        });
        bytes.put_slice(&noise[start..start + length - 8]);
        bytes.freeze()
    }

    /// Reads a value back; an error if it was never written so.
    pub(crate) fn read(key: u32, bytes: &Bytes) -> Outcome<Value> {
        let number = bytes.first_chunk().map(|number| Value(u64::from_le_bytes(*number)));
        match number.filter(|number| number.bytes(key, bytes.len()) == *bytes) {
            Some(value) => Ok(value),
            None => Err(format!("{} bytes under key {key} that nobody wrote", bytes.len()).into()),
        }
    }
}

/// One caller.
pub(super) struct Caller<C> {
    client: C,
    key: u32,
    mix: Mix,
    chance: Chance,
    /// The number of its last write that was acknowledged.
    acknowledged: Value,
}

impl<C: Client> Caller<C> {
    pub(super) fn new(client: C, key: u32, mix: Mix, acknowledged: Value) -> Self {
        Caller { client, key, mix, chance: Chance::new(u64::from(key)), acknowledged }
    }

    /// Reads or writes once. A read must see what was acknowledged.
    pub(super) async fn call(&mut self) -> Outcome<()> {
        if self.chance.below(100) < self.mix.reads {
            self.read(self.mix.fresh).await
        } else {
            self.write().await
        }
    }

    async fn write(&mut self) -> Outcome<()> {
        let next = Value(self.acknowledged.0 + 1);
        self.client.write(self.key, next.bytes(self.key, self.mix.value_bytes)).await?;
        self.acknowledged = next;
        Ok(())
    }

    async fn read(&mut self, fresh: Fresh) -> Outcome<()> {
        let found = self.client.read(self.key, fresh).await?;
        let found = found.map_or(Ok(Value(0)), |bytes| Value::read(self.key, &bytes))?;
        if found.0 < self.acknowledged.0 {
            let (key, expected) = (self.key, self.acknowledged.0);
            return Err(
                format!("key {key} reads as of write {}, and {expected} was acknowledged", found.0).into()
            );
        }
        Ok(())
    }

    /// Reads back what was acknowledged, and gives it.
    pub(super) async fn check(mut self) -> Outcome<Value> {
        self.read(Fresh::Linearizable).await?;
        Ok(self.acknowledged)
    }
}
