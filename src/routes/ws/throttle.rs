//! How fast a socket may send.

use crate::limit::{Pace, Rate};
use std::time::Duration;

/// Frames over its pace that a socket is told about, in its life. A client that goes on regardless
/// is not worth an answer each: from then on it is read only as fast as it may send, and waits.
const TOLD: u32 = 100;

/// A socket's pace.
pub(super) struct Throttle {
    pace: Pace,
    told: u32,
}

/// What becomes of a frame.
pub(super) enum Verdict {
    /// It is done.
    Pass,
    /// It is refused; the next one passes after so long.
    Refuse(Duration),
    /// It waits for so long, and nothing else is read until then.
    Wait(Duration),
}

impl Throttle {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self {
            pace: Pace::new(rate),
            told: 0,
        }
    }

    /// Counts a refusal by another pace; tells whether there were so many that the socket must wait.
    pub(super) fn is_deaf(&mut self) -> bool {
        self.told = self.told.saturating_add(1).min(TOLD);
        self.told == TOLD
    }

    /// Decides about a frame. `can_be_told` is whether it has an answer: a ping has none.
    pub(super) fn judge(&mut self, can_be_told: bool) -> Verdict {
        match self.pace.take() {
            Ok(()) => Verdict::Pass,
            Err(wait) if can_be_told && self.told < TOLD => {
                self.told += 1;
                Verdict::Refuse(wait)
            }
            Err(wait) => Verdict::Wait(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_and_goes_on_is_held_back() {
        let mut throttle = Throttle::new(Some(Rate {
            per_second: 1,
            burst_seconds: 2,
        }));
        let mut count = |can_be_told| {
            let (mut passed, mut refused) = (0, 0);
            loop {
                match throttle.judge(can_be_told) {
                    Verdict::Pass => passed += 1,
                    Verdict::Refuse(_) => refused += 1,
                    Verdict::Wait(wait) => {
                        assert!(wait <= Duration::from_secs(1));
                        return (passed, refused);
                    }
                }
            }
        };
        assert_eq!(count(false), (2, 0), "a ping is never answered");
        assert_eq!(count(true), (0, TOLD));
        assert_eq!(count(true), (0, 0));
    }
}
