//! An input, read from front to back. At its end it goes on with zeros, so that every input means something.

/// See the module.
pub struct Program<'a>(&'a [u8]);

impl<'a> Program<'a> {
    /// Begins to read.
    pub fn new(bytes: &'a [u8]) -> Self {
        Program(bytes)
    }

    /// Whether only zeros follow.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    /// A number of two bytes.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// A number of eight bytes.
    pub fn long(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        // One byte where one suffices: mutations then change what they are meant to.
        let number = if end <= 256 { usize::from(self.byte()) } else { usize::from(self.short()) };
        number.checked_rem(end).unwrap_or(0)
    }

    /// So many bytes, or those that are left.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
