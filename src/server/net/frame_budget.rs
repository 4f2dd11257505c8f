//! Limits the HTTP/2 frames of a client that lead to no call: pings, settings, window updates, resets, very large metadata. Knows the
//! boundaries and kinds of frames.
//!
//! All of it is allowed, and costs little; by the million it takes the processor from those who are served. So a client has a credit of
//! such frames. What it is here for earns more: calls, and what it is sent, which it has to make room for.

use tokio::time::Instant;

const PREFACE_BYTES: usize = 24;
const FRAME_HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// Frames to begin with, and after a pause.
const CREDIT: i64 = 1000;
/// Hundreds of thousands of streams may be taken back at once.
const CREDIT_MAX: i64 = 1_000_000;
const PER_SECOND: f64 = 100.0;
/// It is given up again, and makes room for its answer.
const PER_CALL: u64 = 4;
/// The metadata of a call may be so large. What exceeds it takes long to read, and counts as further frames.
const HEADER_BYTES_FREE: usize = 8 << 10;
const HEADER_BYTES_PER_FRAME: usize = 64;
/// A message of a stream makes for two window updates.
const SENT_BYTES_PER_FRAME: u64 = 32;

/// The frames that a client sends, as they come in pieces.
#[derive(Debug)]
pub(in crate::server) struct Frames {
    /// Of the preface, or the payload of a frame.
    skip: usize,
    head: [u8; FRAME_HEAD_BYTES],
    head_bytes: usize,
}

/// What was sent, and received, since that was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct FrameCounts {
    /// Frames that are neither calls nor messages, messages of nothing, and parts of large metadata.
    pub noise: u64,
    pub calls: u64,
    /// By the server.
    pub sent_bytes: u64,
}

/// What a client may say yet.
#[derive(Debug)]
pub(in crate::server) struct Credit {
    frames: i64,
    /// When the time was last counted.
    since: Instant,
}

impl Default for Frames {
    fn default() -> Frames {
        Frames { skip: PREFACE_BYTES, head: [0; FRAME_HEAD_BYTES], head_bytes: 0 }
    }
}

impl Frames {
    /// What begins in these bytes, which follow those before.
    pub(in crate::server) fn read(&mut self, mut bytes: &[u8]) -> FrameCounts {
        let mut said = FrameCounts::default();
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return said;
            }
            let taken = (FRAME_HEAD_BYTES - self.head_bytes).min(bytes.len());
            self.head[self.head_bytes..][..taken].copy_from_slice(&bytes[..taken]);
            self.head_bytes += taken;
            bytes = &bytes[taken..];
            if self.head_bytes < FRAME_HEAD_BYTES {
                return said;
            }
            self.head_bytes = 0;
            let [a, b, c, kind, ..] = self.head;
            self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
            match kind {
                HEADERS => {
                    said.calls += 1;
                    let excess = self.skip.saturating_sub(HEADER_BYTES_FREE);
                    said.noise += (excess / HEADER_BYTES_PER_FRAME) as u64;
                }
                DATA if self.skip > 0 => {}
                CONTINUATION => said.noise += (self.skip / HEADER_BYTES_PER_FRAME) as u64,
                _ => said.noise += 1,
            }
        }
    }
}

impl Credit {
    pub(in crate::server) fn new(now: Instant) -> Credit {
        Credit { frames: CREDIT, since: now }
    }

    /// Whether a client has said too much. Asks for the time only if it may have.
    pub(in crate::server) fn is_used_up(&mut self, said: FrameCounts, now: impl FnOnce() -> Instant) -> bool {
        let earned = said.calls * PER_CALL + said.sent_bytes / SENT_BYTES_PER_FRAME;
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.frames = self.frames.saturating_add(number(earned)).min(CREDIT_MAX);
        self.frames = self.frames.saturating_sub(number(said.noise));
        if self.frames >= 0 {
            return false;
        }
        let now = now();
        let earned = ((now - self.since).as_secs_f64() * PER_SECOND) as i64;
        self.since = now;
        self.frames = self.frames.saturating_add(earned).min(CREDIT);
        self.frames < 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn noise(count: u64) -> FrameCounts {
        FrameCounts { noise: count, ..FrameCounts::default() }
    }

    #[test]
    fn a_flood_is_too_much_and_a_trickle_is_not() {
        let start = Instant::now();
        let mut flooded = Credit::new(start);
        assert!(!flooded.is_used_up(noise(900), || start));
        assert!(flooded.is_used_up(noise(200), || start));
        let mut trickled = Credit::new(start);
        for second in 1..100_000 {
            let now = start + Duration::from_secs(second);
            assert!(!trickled.is_used_up(noise(90), || now), "second {second}");
        }
    }

    #[test]
    fn calls_and_what_is_told_earn_what_they_cost() {
        let start = Instant::now();
        let unasked = || panic!("nobody needs the time");
        let mut credit = Credit::new(start);
        assert!(!credit.is_used_up(FrameCounts { calls: 10_000, ..FrameCounts::default() }, unasked));
        // All of these streams are told something again and again, and are taken back at once.
        for _ in 0..100 {
            let told = FrameCounts { noise: 20_000, sent_bytes: 64 * 10_000, calls: 0 };
            assert!(!credit.is_used_up(told, unasked));
        }
        assert!(!credit.is_used_up(noise(10_000), unasked));
    }

    #[test]
    fn large_metadata_are_too_much_when_they_come_again_and_again_and_usual_ones_are_not() {
        let head = |bytes: u32| {
            [&bytes.to_be_bytes()[1..], &[HEADERS, 0, 0, 0, 0, 1], &vec![0; bytes as usize][..]].concat()
        };
        let start = Instant::now();
        for (bytes, calls) in [(8 << 10, 100_000), (16_000, 8)] {
            let (mut frames, mut credit) = (Frames { skip: 0, ..Frames::default() }, Credit::new(start));
            let head = head(bytes);
            let mut is_used_up = || credit.is_used_up(frames.read(&head), || start);
            assert_eq!((0..100_000).take_while(|_| !is_used_up()).count(), calls, "{bytes}");
        }
    }

    #[test]
    fn pings_do_not_earn_by_their_answers() {
        let start = Instant::now();
        let mut credit = Credit::new(start);
        let ping = FrameCounts { noise: 100, sent_bytes: 1700, calls: 0 };
        assert!((0..100).any(|_| credit.is_used_up(ping, || start)));
    }

    proptest! {
        #[test]
        fn frames_are_found_whatever_pieces_they_come_in(
            frames in prop::collection::vec((0_u8..12, 0_usize..70), 0..30),
            piece in 1_usize..50,
        ) {
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            let mut expected = FrameCounts::default();
            for (kind, length) in frames {
                bytes.extend([0, 0, length as u8, kind, 0, 0, 0, 0, 1]);
                bytes.extend(vec![kind; length]);
                match (kind, length) {
                    (HEADERS, _) => expected.calls += 1,
                    (DATA, 1..) => {}
                    (CONTINUATION, _) => expected.noise += length as u64 / 64,
                    _ => expected.noise += 1,
                }
            }
            let (mut reader, mut found) = (Frames::default(), FrameCounts::default());
            for piece in bytes.chunks(piece) {
                let said = reader.read(piece);
                found.noise += said.noise;
                found.calls += said.calls;
            }
            prop_assert_eq!(found, expected);
        }
    }
}
