//! Responses that are encoded already. A document is encoded once, however many clients it goes to; a response is put together from
//! shared bytes and what is its own. Knows the field numbers of `proto/`, which its tests hold against the generated messages.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{
    DecodeContext, WireType, encode_key, encode_varint, encoded_len_varint, key_len, skip_field,
};
use prost::{DecodeError, Message};

/// The bytes of a message, in pieces. The generated server answers with it where its messages are shared.
#[derive(Clone, Debug, Default)]
pub struct Encoded(Vec<Bytes>);

impl Encoded {
    pub fn of(message: &impl Message) -> Encoded {
        Encoded(vec![message.encode_to_vec().into()])
    }

    /// Of the bytes of one message, in order.
    pub fn joined(pieces: Vec<Bytes>) -> Encoded {
        Encoded(pieces)
    }
}

impl Message for Encoded {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        self.0.iter().for_each(|piece| buffer.put_slice(piece));
    }

    fn encoded_len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Responses are never decoded here.
    fn merge_field(
        &mut self,
        number: u32,
        wire_type: WireType,
        buffer: &mut impl bytes::Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        skip_field(wire_type, number, buffer, context)
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Key and length of a message field: what goes before its bytes.
pub fn field_head(number: u32, bytes: usize) -> Bytes {
    let mut head = BytesMut::with_capacity(key_len(number) + encoded_len_varint(bytes as u64));
    encode_key(number, WireType::LengthDelimited, &mut head);
    encode_varint(bytes as u64, &mut head);
    head.freeze()
}
