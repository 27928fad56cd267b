//! A value with one writer.

/// The value that was acknowledged last, and values that may have been written besides: an operation
/// in doubt may take effect at any later time, or never.
#[derive(Clone, Debug)]
pub struct Register<T> {
    acked: T,
    doubts: Vec<T>,
}

impl<T: PartialEq> Register<T> {
    /// A register that holds this value for certain.
    pub fn new(acked: T) -> Self {
        let doubts = Vec::new();
        Self { acked, doubts }
    }

    /// Takes note of an acknowledged write.
    pub fn write(&mut self, value: T) {
        self.acked = value;
    }

    /// Takes note of a write in doubt.
    pub fn doubt(&mut self, value: T) {
        if !self.doubts.contains(&value) {
            self.doubts.push(value);
        }
    }

    /// Whether the store may hold this value.
    pub fn allows(&self, value: &T) -> bool {
        self.acked == *value || self.doubts.contains(value)
    }

    /// Whether the store may hold a value of this kind.
    pub fn may_be(&self, kind: impl Fn(&T) -> bool) -> bool {
        kind(&self.acked) || self.doubts.iter().any(kind)
    }
}
