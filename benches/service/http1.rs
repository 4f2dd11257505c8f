//! One connection of HTTP/1.1 that makes requests with GET, or follows one stream of events, at a cost of a microsecond or two each. Knows no
//! messages, and of heads no more than how long the content is.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::connection::Event;

const HEAD_END: &[u8] = b"\r\n\r\n";
const EVENT_END: &[u8] = b"\n\n";
const CONTENT_LENGTH: &[u8] = b"content-length: ";
const READ_BYTES: usize = 4 << 10;

pub struct Connection {
    socket: TcpStream,
    received: BytesMut,
    to_send: BytesMut,
    /// The numbers of requests whose responses are yet to come, in order.
    under_way: VecDeque<u32>,
    next_number: u32,
    /// A response of which all was told but its end.
    ended: Option<u32>,
    /// The response is a stream of events.
    is_stream: bool,
}

impl Connection {
    /// From one of the addresses of loopback: from each there are only so many ports.
    pub async fn open(address: SocketAddr, source: Ipv4Addr) -> io::Result<Connection> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        if source != Ipv4Addr::LOCALHOST {
            socket.bind((source, 0).into())?;
        }
        let socket = socket.connect(address).await?;
        socket.set_nodelay(true)?;
        let (received, to_send) = (BytesMut::new(), BytesMut::new());
        let (under_way, next_number, ended) = (VecDeque::new(), 1, None);
        Ok(Connection { socket, received, to_send, under_way, next_number, ended, is_stream: false })
    }

    /// Begins a request. It is sent when the next event is waited for.
    pub fn get(&mut self, path: &[u8]) -> u32 {
        let number = self.next_number;
        self.next_number += 2;
        for part in [b"GET ", path, b" HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
            self.to_send.extend_from_slice(part);
        }
        self.under_way.push_back(number);
        number
    }

    /// Begins a request that is answered with a stream of events.
    pub fn follow(&mut self, path: &[u8]) -> u32 {
        self.is_stream = true;
        self.get(path)
    }

    /// The content of a response, and then its end; or the next event of a stream, with what frames it.
    pub async fn next(&mut self) -> io::Result<Event> {
        if let Some(number) = self.ended.take() {
            return Ok(Event::End(number));
        }
        loop {
            if let Some(event) = if self.is_stream { self.event() } else { self.response()? } {
                return Ok(event);
            }
            if !self.to_send.is_empty() {
                self.socket.write_all_buf(&mut self.to_send).await?;
            }
            self.received.reserve(READ_BYTES);
            if self.socket.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn response(&mut self) -> io::Result<Option<Event>> {
        let Some(head) = find(&self.received, HEAD_END) else { return Ok(None) };
        let wrong = || io::Error::other("a response without content, or with one in chunks");
        let (head, content) = self.received.split_at(head + HEAD_END.len());
        if !head.starts_with(b"HTTP/1.1 200 ") {
            return Err(io::Error::other(String::from_utf8_lossy(head).into_owned()));
        }
        let at = find(head, CONTENT_LENGTH).ok_or_else(wrong)? + CONTENT_LENGTH.len();
        let digits = head[at..].iter().take_while(|byte| byte.is_ascii_digit());
        let bytes = digits.fold(0, |number, digit| 10 * number + usize::from(digit - b'0'));
        if content.len() < bytes {
            return Ok(None);
        }
        let head_bytes = head.len();
        let number = self.under_way.pop_front().ok_or_else(wrong)?;
        self.ended = Some(number);
        let response = self.received.split_to(head_bytes + bytes).freeze();
        Ok(Some(Event::Message(number, response.slice(head_bytes..))))
    }

    fn event(&mut self) -> Option<Event> {
        let end = find(&self.received, EVENT_END)? + EVENT_END.len();
        let event: Bytes = self.received.split_to(end).freeze();
        Some(Event::Message(self.under_way.front().copied().unwrap_or_default(), event))
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, part)
}
