//! Encodes messages in gRPC frames. A document is encoded once for all of its clients; a message is joined from its own bytes and the
//! shared bytes. Knows no field numbers of messages.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint,
    key_len, skip_field,
};
use prost::{DecodeError, Message};

use super::error::ApiError;
use super::rpc::Shape;
use super::unread::{Unread, UnreadBytes};

/// What a client receives by default.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// What goes before each message: a flag that says whether it is compressed, and its length.
pub const FRAME_HEAD_BYTES: usize = 5;
/// No request needs as many fields, those of lists and of messages within it counted one by one. An empty item of a list is two bytes of a
/// message and more than a hundred bytes of memory: without a limit, a message of 4 MiB would become some hundred MiB before anybody looks at
/// it. A watch that says which of 130 000 configs its client holds has as many.
pub const REQUEST_FIELDS_MAX: usize = 400_000;
/// Messages within messages, of which the decoder takes no more.
const MESSAGES_WITHIN_MAX: usize = 100;
/// Less than this is not worth sharing: a copy costs as much as a further piece.
const SHARED_BYTES_MIN: usize = 512;

/// A message in its frame, in two pieces of which the second may be shared.
///
/// It is also a message of the generated server, which answers with it where its messages are shared.
#[derive(Debug, Default)]
pub struct Encoded {
    own: Bytes,
    shared: Bytes,
    /// Counts it as unread.
    held: Option<UnreadBytes>,
    /// It shows secrets. Its compressed length would tell whoever sees it, and writes something else into the same document, what the secret
    /// begins with.
    shows_secrets: bool,
}

/// The clone is not counted as unread.
impl Clone for Encoded {
    fn clone(&self) -> Encoded {
        let shows_secrets = self.shows_secrets;
        Encoded { shows_secrets, ..Encoded::of_pieces(self.own.clone(), self.shared.clone()) }
    }
}

impl Encoded {
    pub fn of(message: &impl Message) -> Encoded {
        let length = message.encoded_len();
        let mut own = head(length, length);
        message.encode_raw(&mut own);
        Encoded::of_pieces(own.freeze(), Bytes::new())
    }

    /// Of the bytes of one message, in order. The last piece is shared if it is large, the others are copied.
    pub fn joined(pieces: Vec<Bytes>) -> Encoded {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let (copied, shared) = match pieces.split_last() {
            Some((last, others)) if last.len() >= SHARED_BYTES_MIN => (others, last.clone()),
            _ => (&*pieces, Bytes::new()),
        };
        let mut own = head(length, length - shared.len());
        copied.iter().for_each(|piece| own.put_slice(piece));
        Encoded::of_pieces(own.freeze(), shared)
    }

    /// Of a message with one more field, its last: a message that is encoded already, and shared.
    pub fn around(message: &impl Message, number: u32, shared: Bytes) -> Encoded {
        let length = message.encoded_len() + key_len(number) + encoded_len_varint(shared.len() as u64);
        let mut own = head(length + shared.len(), length);
        message.encode_raw(&mut own);
        encode_key(number, WireType::LengthDelimited, &mut own);
        encode_varint(shared.len() as u64, &mut own);
        Encoded::of_pieces(own.freeze(), shared)
    }

    /// The whole frame in one piece: to be kept, and sent again.
    pub fn into_frame(mut self) -> Bytes {
        self.copy_to_bytes(self.remaining())
    }

    /// Of a frame that was kept.
    pub fn of_frame(frame: Bytes) -> Encoded {
        Encoded::of_pieces(Bytes::new(), frame)
    }

    /// Of bytes that no other stream is sent, and bytes that are shared.
    pub fn of_parts(own: Bytes, shared: Bytes) -> Encoded {
        Encoded::of_pieces(own, shared)
    }

    /// The whole frame, if other streams are sent the same bytes.
    pub fn shared_frame(&self) -> Option<&Bytes> {
        (self.own.is_empty() && !self.shared.is_empty()).then_some(&self.shared)
    }

    fn of_pieces(own: Bytes, shared: Bytes) -> Encoded {
        Encoded { own, shared, held: None, shows_secrets: false }
    }

    /// Counts it as unread, from now until it is sent or dropped. Nothing changes if it is counted already.
    ///
    /// Of a message to many streams, what is shared is not counted: it is in memory once, for as long as somebody watches.
    pub fn counted(mut self, unread: &Arc<Unread>, with_shared: bool) -> Encoded {
        if self.held.is_none() {
            let shared = if with_shared { self.shared.len() } else { 0 };
            self.held = Some(unread.hold(self.own.len() + shared));
        }
        self
    }

    /// Counts it as unread, unless there is no room for it. Nothing changes if it is counted already.
    pub fn try_counted(mut self, unread: &Arc<Unread>) -> Result<Encoded, ApiError> {
        if self.held.is_none() {
            self.held = Some(unread.try_hold(self.remaining())?);
        }
        Ok(self)
    }

    /// The same message, whose bytes were counted as unread while it was made.
    pub fn held_as(self, held: UnreadBytes) -> Encoded {
        Encoded { held: Some(held), ..self }
    }

    /// The same message, which shows secrets and must not be compressed.
    pub fn showing_secrets(self) -> Encoded {
        Encoded { shows_secrets: true, ..self }
    }

    pub fn shows_secrets(&self) -> bool {
        self.shows_secrets
    }

    /// Takes the first bytes, at most as many as there are. The rest keeps all of the message in memory, and is counted like that.
    pub fn split_to(&mut self, count: usize) -> Encoded {
        let of_own = count.min(self.own.len());
        let own = self.own.split_to(of_own);
        Encoded::of_pieces(own, self.shared.split_to(count - of_own))
    }

    /// Of bytes that are in frames already, or parts of them.
    pub fn of_body(bytes: Bytes) -> Encoded {
        Encoded::of_pieces(bytes, Bytes::new())
    }
}

/// The head of a frame, with room for what follows.
fn head(message_bytes: usize, room: usize) -> BytesMut {
    let mut head = BytesMut::with_capacity(FRAME_HEAD_BYTES + room);
    head.put_u8(0);
    head.put_u32(u32::try_from(message_bytes).expect("messages are bounded far below 4 GiB"));
    head
}

/// The bytes of the frame.
impl Buf for Encoded {
    fn remaining(&self) -> usize {
        self.own.len() + self.shared.len()
    }

    fn chunk(&self) -> &[u8] {
        if self.own.is_empty() { &self.shared } else { &self.own }
    }

    fn advance(&mut self, count: usize) {
        let of_own = count.min(self.own.len());
        self.own.advance(of_own);
        self.shared.advance(count - of_own);
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = self.own.chunks_vectored(slices);
        filled + self.shared.chunks_vectored(&mut slices[filled..])
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        match self.own.is_empty() {
            true => self.shared.copy_to_bytes(count),
            false if count <= self.own.len() => self.own.copy_to_bytes(count),
            false => {
                let mut bytes = BytesMut::with_capacity(count);
                bytes.put(self.take(count));
                bytes.freeze()
            }
        }
    }
}

/// The bytes of the message alone.
impl Message for Encoded {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        let mut message = self.clone();
        message.advance(FRAME_HEAD_BYTES.min(message.remaining()));
        buffer.put(message);
    }

    fn encoded_len(&self) -> usize {
        self.remaining().saturating_sub(FRAME_HEAD_BYTES)
    }

    /// Responses are never decoded here.
    fn merge_field(
        &mut self,
        number: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        skip_field(wire_type, number, buffer, context)
    }

    fn clear(&mut self) {
        *self = Encoded::default();
    }
}

/// Whether a message has more fields than this, with those of the messages within it. Nothing is decoded.
pub fn has_more_fields_than(max: usize, message: &[u8], shape: &Shape) -> bool {
    // A field has two bytes at least.
    message.len() / 2 > max && fields_left(message, shape, max, MESSAGES_WITHIN_MAX).is_none()
}

/// How many of `left` fields are left after those of a message. `None`: it has more. What cannot be read ends it: the decoder says what is
/// wrong.
fn fields_left(message: &[u8], shape: &Shape, mut left: usize, depth: usize) -> Option<usize> {
    let mut rest = message;
    while !rest.is_empty() {
        left = left.checked_sub(1)?;
        let Ok((number, wire_type)) = decode_key(&mut rest) else { break };
        match shape.within(number).filter(|_| wire_type == WireType::LengthDelimited && depth > 0) {
            Some(shape) => {
                let length = decode_varint(&mut rest).ok().and_then(|length| usize::try_from(length).ok());
                let Some((within, after)) = length.and_then(|length| rest.split_at_checked(length)) else {
                    break;
                };
                left = fields_left(within, shape, left, depth - 1)?;
                rest = after;
            }
            None => {
                if skip_field(wire_type, number, &mut rest, DecodeContext::default()).is_err() {
                    break;
                }
            }
        }
    }
    Some(left)
}

/// Key and length of a message field: what goes before its bytes.
pub fn field_head(number: u32, bytes: usize) -> Bytes {
    let mut head = BytesMut::with_capacity(key_len(number) + encoded_len_varint(bytes as u64));
    encode_key(number, WireType::LengthDelimited, &mut head);
    encode_varint(bytes as u64, &mut head);
    head.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_frame_is_its_head_and_its_pieces_however_it_is_read(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1200), 0..4),
            steps in prop::collection::vec(1..700_usize, 1..8),
        ) {
            let message = pieces.concat();
            let mut expected = vec![0];
            expected.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            expected.extend(&message);
            let pieces: Vec<Bytes> = pieces.into_iter().map(Bytes::from).collect();
            let encoded = Encoded::joined(pieces);
            prop_assert_eq!(encoded.encode_to_vec(), message);
            prop_assert_eq!(&encoded.clone().into_frame()[..], &expected[..]);

            let (mut left, mut read, mut steps) = (encoded, vec![], steps.into_iter().cycle());
            while left.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 4];
                let filled = left.chunks_vectored(&mut slices);
                let whole: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
                prop_assert_eq!(whole, &expected[read.len()..]);
                let count = steps.next().unwrap().min(left.chunk().len());
                read.extend_from_slice(&left.chunk()[..count]);
                left.advance(count);
            }
            prop_assert_eq!(read, expected);
        }
    }
}
