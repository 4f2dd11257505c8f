//! gzip of large contents, for every transport: from which size on, and how. Knows bytes; no header and no call.
//!
//! Responses that show secrets are not compressed: their length would tell whoever sees it, and writes something else into the same document, what the secret
//! begins with. Streams are not compressed: an update is one message for thousands of streams, and is sent as it is.

use std::io::{Read, Write};

use bytes::{Buf, Bytes};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::codec::Encoded;

/// Smaller responses are sent as they are: most networks carry them sooner than a processor compresses them.
const BYTES_MIN: usize = 64 << 10;

/// Whether a content is compressed for a client that takes gzip.
pub fn is_worth_it(content: &Encoded) -> bool {
    content.remaining() >= BYTES_MIN && !content.shows_secrets()
}

/// A content in gzip, after so many bytes that are left free. `None` if that is no smaller.
pub fn packed(content: &[u8], free: usize) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(vec![0; free], Compression::fast());
    encoder.write_all(content).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < content.len() + free).then_some(packed)
}

/// Why a content cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUnpacked {
    /// It is not in gzip, or is not complete.
    Malformed,
    /// It becomes larger than it may. No more of it was unpacked.
    TooLarge,
}

/// A content that was in gzip, of at most so many bytes.
pub fn unpacked(packed: &[u8], bytes_max: usize) -> Result<Bytes, NotUnpacked> {
    let mut content = vec![];
    let mut decoder = MultiGzDecoder::new(packed).take(bytes_max as u64 + 1);
    decoder.read_to_end(&mut content).map_err(|_| NotUnpacked::Malformed)?;
    if content.len() > bytes_max { Err(NotUnpacked::TooLarge) } else { Ok(content.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_up_to_a_limit() {
        let content: Vec<u8> = (0..100_000_u32).flat_map(|number| (number % 251).to_be_bytes()).collect();
        let packed = packed(&content, 5).expect("it repeats itself");
        assert_eq!(packed[..5], [0; 5]);
        let packed = &packed[5..];
        assert_eq!(unpacked(packed, content.len()), Ok(content.clone().into()));
        assert_eq!(unpacked(packed, content.len() - 1), Err(NotUnpacked::TooLarge));
        assert_eq!(unpacked(&packed[..packed.len() - 9], content.len()), Err(NotUnpacked::Malformed));
        assert_eq!(unpacked(b"{\"a\":1}", 100), Err(NotUnpacked::Malformed));
        // gzip may consist of several members.
        let twice = [packed, packed].concat();
        assert_eq!(unpacked(&twice, 2 * content.len()), Ok([&content[..], &content].concat().into()));
    }

    #[test]
    fn what_gets_no_smaller_is_not_packed() {
        assert_eq!(packed(b"a", 0), None);
    }
}
