//! What is asked of every store: to keep payloads under consecutive numbers from 1, as a raft log does.

use std::error::Error;
use std::ops::Range;

/// A failure of a store ends the run; who failed and why is all that is left to say.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// One open store. It has one producer, which is also its only reader.
pub(crate) trait Store {
    /// Makes the entries of the next batch, as the caller of such a store would have them. This is not timed: what is
    /// measured is the store, not who makes its entries.
    fn prepare(&mut self, numbers: Range<u64>);

    /// Writes what was prepared. It is durable when this returns.
    fn append(&mut self) -> Outcome<()>;

    /// Shows the entries of `numbers` that there are, in order.
    fn read(&self, numbers: Range<u64>, visit: &mut dyn FnMut(u64, &[u8])) -> Outcome<()>;

    /// Waits until the store has nothing to do in the background, as far as it tells, so that it does not do it while another
    /// one is measured.
    fn settle(&mut self) -> Outcome<()> {
        Ok(())
    }
}
