//! A register with one writer.

/// The last acknowledged value, and the values of writes in doubt: each may take effect at any later
/// time, or never.
#[derive(Clone, Debug)]
pub struct Register<T> {
    acked: T,
    in_doubt: Vec<T>,
}

impl<T: PartialEq> Register<T> {
    /// Returns a register that certainly holds this value.
    pub fn new(acked: T) -> Self {
        let in_doubt = Vec::new();
        Self { acked, in_doubt }
    }

    /// Records an acknowledged write.
    pub fn write(&mut self, value: T) {
        self.acked = value;
    }

    /// Records a write in doubt.
    pub fn write_in_doubt(&mut self, value: T) {
        if !self.in_doubt.contains(&value) {
            self.in_doubt.push(value);
        }
    }

    /// True if the store may hold this value.
    pub fn allows(&self, value: &T) -> bool {
        self.acked == *value || self.in_doubt.contains(value)
    }

    /// True if the store may hold a value that satisfies `kind`.
    pub fn may_be(&self, kind: impl Fn(&T) -> bool) -> bool {
        kind(&self.acked) || self.in_doubt.iter().any(kind)
    }
}
