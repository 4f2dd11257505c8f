//! Frames of HTTP/2 as somebody writes them who does not care for its rules. Knows bytes only.

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const GET: &str = "/confwatch.v1.ConfigService/Get";
pub const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is small").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// What every connection begins with.
pub fn beginning() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// The same, with no room for any answer.
pub fn beginning_without_window() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat()
}

/// The head of a call, without what indexes would save.
pub fn head(path: &str, token: Option<&str>) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    literal(&mut block, ":path", path);
    literal(&mut block, ":authority", "localhost");
    literal(&mut block, "content-type", "application/grpc");
    literal(&mut block, "te", "trailers");
    if let Some(token) = token {
        literal(&mut block, "authorization", &format!("Bearer {token}"));
    }
    block
}

pub fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        length(block, text.len());
        block.extend_from_slice(text.as_bytes());
    }
}

/// RFC 7541, 5.1, with a prefix of seven bits.
pub fn length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        return block.push(length as u8);
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// A message of gRPC.
pub fn message(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("it is small").to_be_bytes();
    [&[0], &length[..], bytes].concat()
}

/// `GetRequest { namespace: "test", config: "app" }`.
pub fn get_request() -> Vec<u8> {
    message(b"\x0a\x04test\x12\x03app")
}

/// What a server says, as it comes.
#[derive(Default)]
pub struct Answers {
    /// Not looked at yet.
    bytes: Vec<u8>,
}

impl Answers {
    /// How many heads there are in what came, with what was left of before.
    pub fn heads(&mut self, bytes: &[u8]) -> usize {
        self.bytes.extend_from_slice(bytes);
        let (mut at, mut heads) = (0, 0);
        while let Some(head) = self.bytes.get(at..at + 9) {
            let end = at + 9 + u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            if end > self.bytes.len() {
                break;
            }
            heads += usize::from(head[3] == HEADERS);
            at = end;
        }
        self.bytes.drain(..at);
        heads
    }
}
