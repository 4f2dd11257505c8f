//! One HTTP/2 connection that makes one kind of gRPC call, or plain requests, at a cost of a microsecond or two each: load and server share the
//! machine, and a full client would be the larger half of what is measured. Knows no messages.
//!
//! It leaves out all that a short benchmark on loopback does not need: it never looks at headers, and it relies on the
//! server to open its window again before 64 KB are under way.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD_BYTES: usize = 9;
/// Of a gRPC message: a flag for compression, and the length.
const MESSAGE_HEAD_BYTES: usize = 5;
const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;
const WINDOW_BYTES_DEFAULT: u32 = 65_535;
/// What is read at once. It grows on connections on which much comes: there may be ten thousand others.
const READ_BYTES_MIN: usize = 4 << 10;
const READ_BYTES_MAX: usize = 64 << 10;

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
    read_bytes: usize,
    to_send: BytesMut,
    /// The headers of the next call: written out the first time, then by their indexes.
    headers: Vec<u8>,
    /// The same of the calls after it.
    headers_again: Vec<u8>,
    next_stream: u32,
    /// Received since the window was opened.
    consumed: u32,
    /// Of messages that came in several frames, what is there, by stream.
    partial: HashMap<u32, BytesMut>,
    /// What came with a frame and was not yet told.
    events: VecDeque<Event>,
    /// Responses are content as it is, and not messages of gRPC.
    is_plain: bool,
    /// From the server, all told.
    pub received_bytes: usize,
}

/// What the server sent.
#[derive(Debug)]
pub enum Event {
    /// On this stream. Of a plain response: a piece of the content.
    Message(u32, Bytes),
    /// Of the call on this stream: answered if there was a message, refused if not.
    End(u32),
}

impl Connection {
    /// For calls of one method, from one of the addresses of loopback: from each there are only so many ports.
    pub async fn open(address: SocketAddr, path: &str, source: Ipv4Addr) -> io::Result<Connection> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        if source != Ipv4Addr::LOCALHOST {
            socket.bind((source, 0).into())?;
        }
        let socket = socket.connect(address).await?;
        socket.set_nodelay(true)?;
        let mut to_send = BytesMut::from(PREFACE);
        let mut settings = vec![0, 4]; // SETTINGS_INITIAL_WINDOW_SIZE
        settings.put_u32(WINDOW_BYTES_MAX);
        frame(&mut to_send, SETTINGS, 0, 0, &settings);
        let more = WINDOW_BYTES_MAX - WINDOW_BYTES_DEFAULT;
        frame(&mut to_send, WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        Ok(Connection {
            socket,
            received: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            to_send,
            headers: headers(path),
            // :method POST, :scheme http, and those that the first call added, newest last.
            headers_again: vec![0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe],
            next_stream: 1,
            consumed: 0,
            partial: HashMap::new(),
            events: VecDeque::new(),
            is_plain: false,
            received_bytes: 0,
        })
    }

    /// For requests with GET, each of a path of its own.
    pub async fn open_plain(address: SocketAddr, source: Ipv4Addr) -> io::Result<Connection> {
        let connection = Connection::open(address, "", source).await?;
        Ok(Connection { is_plain: true, ..connection })
    }

    /// From the usual address.
    pub async fn to(address: SocketAddr, path: &str) -> io::Result<Connection> {
        Connection::open(address, path, Ipv4Addr::LOCALHOST).await
    }

    /// Bears a token from the first call on.
    pub fn authorize(&mut self, token: Option<&str>) {
        let Some(token) = token else { return };
        assert_eq!(self.next_stream, 1, "nothing was called yet");
        // The index of authorization in the static table; in that of the server it comes after all others.
        self.headers.push(0x40 | 23);
        literal(&mut self.headers, &format!("Bearer {token}"));
        self.headers_again = vec![0x83, 0x86, 0xc2, 0xc1, 0xc0, 0xbf, 0xbe];
    }

    /// Begins a call with one message. It is sent when the next event is waited for.
    pub fn call(&mut self, message: &[u8]) -> u32 {
        let stream = self.begin();
        self.message(stream, END_STREAM, message);
        stream
    }

    /// Begins a request with GET. It is sent when the next event is waited for.
    pub fn get(&mut self, path: &[u8]) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        // :method GET, :scheme http; :path and :authority as literals that are not added to the table.
        let mut block = vec![0x82, 0x86, 4];
        literal(&mut block, std::str::from_utf8(path).expect("paths are ASCII"));
        block.push(1);
        literal(&mut block, "localhost");
        frame(&mut self.to_send, HEADERS, END_HEADERS | END_STREAM, stream, &block);
        stream
    }

    /// Begins a call that has not said all.
    pub fn call_with(&mut self, messages: &[Vec<u8>]) -> u32 {
        let stream = self.begin();
        messages.iter().for_each(|message| self.message(stream, 0, message));
        stream
    }

    fn begin(&mut self) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        frame(&mut self.to_send, HEADERS, END_HEADERS, stream, &self.headers);
        self.headers.clone_from(&self.headers_again);
        stream
    }

    fn message(&mut self, stream: u32, flags: u8, message: &[u8]) {
        let mut head = [0; MESSAGE_HEAD_BYTES];
        head[1..].copy_from_slice(&u32::try_from(message.len()).expect("messages are small").to_be_bytes());
        // The largest frame that a server takes without having said so.
        const FRAME_BYTES_MAX: usize = 16 << 10;
        if message.len() + head.len() <= FRAME_BYTES_MAX {
            frame_head(&mut self.to_send, message.len() + head.len(), DATA, flags, stream);
            self.to_send.put_slice(&head);
            return self.to_send.put_slice(message);
        }
        frame(&mut self.to_send, DATA, 0, stream, &head);
        let mut parts = message.chunks(FRAME_BYTES_MAX).peekable();
        while let Some(part) = parts.next() {
            frame(&mut self.to_send, DATA, if parts.peek().is_none() { flags } else { 0 }, stream, part);
        }
    }

    /// May be dropped before it is done: nothing is lost. An error: the server has gone, or refuses the connection.
    pub async fn next(&mut self) -> io::Result<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            while let Some((kind, flags, stream, payload)) = self.take_frame() {
                if let Some(event) = self.event(kind, flags, stream, payload)? {
                    return Ok(event);
                }
            }
            if !self.to_send.is_empty() {
                self.socket.write_all_buf(&mut self.to_send).await?;
            }
            if !self.events.is_empty() {
                continue;
            }
            self.received.reserve(self.read_bytes);
            let count = self.socket.read_buf(&mut self.received).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.received_bytes += count;
            if count >= self.read_bytes {
                self.read_bytes = (2 * self.read_bytes).min(READ_BYTES_MAX);
            }
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

    fn event(&mut self, kind: u8, flags: u8, stream: u32, payload: Bytes) -> io::Result<Option<Event>> {
        match kind {
            DATA if self.is_plain => {
                self.consume(payload.len());
                if flags & END_STREAM != 0 {
                    self.events.push_back(Event::End(stream));
                }
                Ok(Some(Event::Message(stream, payload)))
            }
            DATA if !payload.is_empty() => {
                self.consume(payload.len());
                Ok(self.data(stream, payload))
            }
            HEADERS if flags & END_STREAM != 0 => Ok(Some(Event::End(stream))),
            RST_STREAM => Ok(Some(Event::End(stream))),
            GOAWAY => Err(io::Error::other(format!("the server goes away: {payload:?}"))),
            SETTINGS | PING if flags & END_STREAM == 0 => {
                let echo = if kind == PING { &*payload } else { &[] };
                frame(&mut self.to_send, kind, END_STREAM, 0, echo);
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Mostly one message is one frame. A long one comes in several, whose first may be the last of another.
    fn data(&mut self, stream: u32, mut payload: Bytes) -> Option<Event> {
        if self.partial.is_empty() && message_bytes(&payload) == Some(payload.len()) {
            payload.advance(MESSAGE_HEAD_BYTES);
            return Some(Event::Message(stream, payload));
        }
        let mut partial = self.partial.remove(&stream).unwrap_or_default();
        partial.put_slice(&payload);
        while let Some(bytes) = message_bytes(&partial).filter(|bytes| *bytes <= partial.len()) {
            let mut message = partial.split_to(bytes).freeze();
            message.advance(MESSAGE_HEAD_BYTES);
            self.events.push_back(Event::Message(stream, message));
        }
        if !partial.is_empty() {
            self.partial.insert(stream, partial);
        }
        self.events.pop_front()
    }

    fn consume(&mut self, bytes: usize) {
        self.consumed += u32::try_from(bytes).expect("a frame has at most 16 KB");
        if self.consumed > WINDOW_BYTES_MAX / 4 {
            frame(&mut self.to_send, WINDOW_UPDATE, 0, 0, &self.consumed.to_be_bytes());
            self.consumed = 0;
        }
    }
}

/// How long the message is that begins here, with its head.
fn message_bytes(data: &[u8]) -> Option<usize> {
    let length = data.get(1..MESSAGE_HEAD_BYTES)?.try_into().expect("four bytes");
    Some(u32::from_be_bytes(length) as usize + MESSAGE_HEAD_BYTES)
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
