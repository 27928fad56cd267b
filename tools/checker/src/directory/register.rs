//! A register with one writer.

use std::mem;

/// The last acknowledged value, and the values of writes in doubt: each may take effect at any later
/// time, or never.
#[derive(Clone, Debug)]
pub struct Register<T> {
    acked: T,
    in_doubt: Vec<T>,
    /// The acknowledged values before `acked`, each once.
    earlier: Vec<T>,
}

impl<T: PartialEq> Register<T> {
    /// Returns a register that certainly holds this value.
    pub fn new(acked: T) -> Self {
        Self {
            acked,
            in_doubt: Vec::new(),
            earlier: Vec::new(),
        }
    }

    /// Records an acknowledged write.
    pub fn write(&mut self, value: T) {
        let earlier = mem::replace(&mut self.acked, value);
        if !self.earlier.contains(&earlier) {
            self.earlier.push(earlier);
        }
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

    /// True if an earlier acknowledged value satisfies `kind`. If the store holds it and may not, an acknowledged
    /// write is lost.
    pub fn was(&self, kind: impl Fn(&T) -> bool) -> bool {
        self.earlier.iter().any(kind)
    }
}
