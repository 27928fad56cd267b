//! The marker in a message's content: its chat, its sender, its number and its time. It is found in a
//! frame without parsing the frame, independent of the position of the content.

/// Length of a content, in bytes.
pub const CONTENT: usize = 100;
/// The first byte of a marker, which occurs nowhere else in a frame.
const SIGN: u8 = b'~';
/// The number of hexadecimal digits of chat, sender, number and time.
const DIGITS: usize = 4 + 4 + 8 + 8;

/// The fields of a marker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marker {
    /// The chat's id.
    pub chat: u16,
    /// The sender's position in the chat.
    pub sender: u16,
    /// The number of the message among those of its sender, from 0.
    pub number: u32,
    /// The time of sending, in microseconds from the start of the load.
    pub micros: u32,
}

impl Marker {
    /// The content of a message with this marker.
    pub fn content(self) -> [u8; CONTENT] {
        let mut content = [b'x'; CONTENT];
        content[0] = SIGN;
        let parts = [
            (u32::from(self.chat), 4),
            (u32::from(self.sender), 4),
            (self.number, 8),
            (self.micros, 8),
        ];
        let mut at = 1;
        for (value, digits) in parts {
            for digit in (0..digits).rev() {
                content[at] = b"0123456789abcdef"[(value >> (4 * digit)) as usize & 15];
                at += 1;
            }
        }
        content
    }

    /// Finds the marker in a frame. Returns `None` if the frame is not a message of the load.
    pub fn find(frame: &[u8]) -> Option<Self> {
        let begin = frame.iter().position(|byte| *byte == SIGN)? + 1;
        let digits = frame.get(begin..begin + DIGITS)?;
        let number = |from: usize, to: usize| {
            digits[from..to]
                .iter()
                .try_fold(0_u32, |sum, digit| Some(sum << 4 | value(*digit)?))
        };
        Some(Self {
            chat: number(0, 4)? as u16,
            sender: number(4, 8)? as u16,
            number: number(8, 16)?,
            micros: number(16, 24)?,
        })
    }
}

fn value(digit: u8) -> Option<u32> {
    match digit {
        b'0'..=b'9' => Some(u32::from(digit - b'0')),
        b'a'..=b'f' => Some(u32::from(digit - b'a') + 10),
        _ => None,
    }
}
