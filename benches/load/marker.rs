//! What a message of the load says: who sent it, the how manieth of theirs it is, and when. It is
//! found in a frame without parsing it, wherever the server puts the content.

/// Length of a content, in bytes.
pub const CONTENT: usize = 100;
/// What begins a marker, and stands nowhere else in a frame.
const SIGN: u8 = b'~';
/// Digits of chat, sender, number and time: all hexadecimal.
const DIGITS: usize = 4 + 4 + 8 + 8;

/// What a content says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marker {
    /// The chat's id.
    pub chat: u16,
    /// The sender's place in the chat.
    pub sender: u16,
    /// The how manieth message of the sender, from 0.
    pub number: u32,
    /// When it was sent, in microseconds from the beginning of the load.
    pub micros: u32,
}

impl Marker {
    /// A content that says this.
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

    /// What a frame's content says; none where the frame is not a message of the load.
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
