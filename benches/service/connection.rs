//! One HTTP/2 connection that makes one kind of gRPC call, at a cost of a microsecond or two each: load and server share the
//! machine, and a full client would be the larger half of what is measured. Knows no messages.
//!
//! It leaves out all that a short benchmark on loopback does not need: it never looks at headers, and it relies on the
//! server to open its window again before 64 KB are under way.

use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD_BYTES: usize = 9;
/// Of a gRPC message: a flag for compression, and the length.
const MESSAGE_HEAD_BYTES: usize = 5;
const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;
const WINDOW_BYTES_DEFAULT: u32 = 65_535;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
/// The same bit as ACK of SETTINGS and PING.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

pub struct Connection {
    socket: TcpStream,
    received: BytesMut,
    to_send: BytesMut,
    /// The headers of the next call: written out the first time, then by their indexes.
    headers: Vec<u8>,
    next_stream: u32,
    /// Received since the window was opened.
    consumed: u32,
}

/// What the server sent.
pub enum Event {
    Message,
    /// Of the call on this stream.
    End(u32),
}

impl Connection {
    /// For calls of one method of ConfigService.
    pub async fn open(address: SocketAddr, method: &str) -> Connection {
        let socket = TcpStream::connect(address).await.expect("the server listens");
        socket.set_nodelay(true).expect("it is a TCP socket");
        let mut to_send = BytesMut::from(PREFACE);
        let mut settings = vec![0, 4]; // SETTINGS_INITIAL_WINDOW_SIZE
        settings.put_u32(WINDOW_BYTES_MAX);
        frame(&mut to_send, SETTINGS, 0, 0, &settings);
        let more = WINDOW_BYTES_MAX - WINDOW_BYTES_DEFAULT;
        frame(&mut to_send, WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        let headers = headers(&format!("/confwatch.v1.ConfigService/{method}"));
        Connection { socket, received: BytesMut::new(), to_send, headers, next_stream: 1, consumed: 0 }
    }

    /// Begins a call. It is sent when the next event is waited for.
    pub fn call(&mut self, message: &[u8]) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        frame(&mut self.to_send, HEADERS, END_HEADERS, stream, &self.headers);
        // :method POST, :scheme http, and those that the first call added, newest last.
        self.headers = vec![0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe];
        let bytes = message.len() + MESSAGE_HEAD_BYTES;
        frame_head(&mut self.to_send, bytes, DATA, END_STREAM, stream);
        self.to_send.put_u8(0);
        self.to_send.put_u32(u32::try_from(message.len()).expect("messages are small"));
        self.to_send.put_slice(message);
        stream
    }

    pub async fn next(&mut self) -> Event {
        loop {
            while let Some((kind, flags, stream, payload)) = self.take_frame() {
                if let Some(event) = self.event(kind, flags, stream, payload) {
                    return event;
                }
            }
            if !self.to_send.is_empty() {
                self.socket.write_all_buf(&mut self.to_send).await.expect("the server reads");
            }
            self.received.reserve(16 << 10);
            let count = self.socket.read_buf(&mut self.received).await.expect("the server answers");
            assert!(count > 0, "the server has closed the connection");
        }
    }

    fn take_frame(&mut self) -> Option<(u8, u8, u32, Bytes)> {
        let head = self.received.get(..FRAME_HEAD_BYTES)?;
        let bytes = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        if self.received.len() < FRAME_HEAD_BYTES + bytes {
            return None;
        }
        let mut frame = self.received.split_to(FRAME_HEAD_BYTES + bytes).freeze();
        frame.advance(3);
        let (kind, flags, stream) = (frame.get_u8(), frame.get_u8(), frame.get_u32());
        Some((kind, flags, stream, frame))
    }

    fn event(&mut self, kind: u8, flags: u8, stream: u32, payload: Bytes) -> Option<Event> {
        match kind {
            DATA if !payload.is_empty() => {
                self.consume(payload.len());
                let length =
                    u32::from_be_bytes(payload[1..MESSAGE_HEAD_BYTES].try_into().expect("four bytes"));
                assert_eq!(payload.len(), length as usize + MESSAGE_HEAD_BYTES, "one message in one frame");
                assert_eq!(flags & END_STREAM, 0, "trailers come last");
                Some(Event::Message)
            }
            HEADERS if flags & END_STREAM != 0 => Some(Event::End(stream)),
            RST_STREAM | GOAWAY => panic!("the server refuses: frame {kind}, {payload:?}"),
            SETTINGS | PING if flags & END_STREAM == 0 => {
                let echo = if kind == PING { &*payload } else { &[] };
                frame(&mut self.to_send, kind, END_STREAM, 0, echo);
                None
            }
            _ => None,
        }
    }

    fn consume(&mut self, bytes: usize) {
        self.consumed += u32::try_from(bytes).expect("a frame has at most 16 KB");
        if self.consumed > WINDOW_BYTES_MAX / 4 {
            frame(&mut self.to_send, WINDOW_UPDATE, 0, 0, &self.consumed.to_be_bytes());
            self.consumed = 0;
        }
    }
}

/// HPACK: four literals that are added to the server's table.
fn headers(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    // The indexes of :path, :authority and content-type in the static table.
    for (index, value) in [(4, path), (1, "localhost"), (31, "application/grpc")] {
        block.push(0x40 | index);
        literal(&mut block, value);
    }
    block.push(0x40);
    literal(&mut block, "te");
    literal(&mut block, "trailers");
    block
}

fn literal(block: &mut Vec<u8>, text: &str) {
    block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("it is short"));
    block.extend_from_slice(text.as_bytes());
}

fn frame(to: &mut BytesMut, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    frame_head(to, payload.len(), kind, flags, stream);
    to.put_slice(payload);
}

fn frame_head(to: &mut BytesMut, bytes: usize, kind: u8, flags: u8, stream: u32) {
    to.put_uint(bytes as u64, 3);
    to.put_u8(kind);
    to.put_u8(flags);
    to.put_u32(stream);
}
