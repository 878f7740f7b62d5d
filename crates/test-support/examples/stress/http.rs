//! One kept-alive connection that speaks just enough HTTP/1.1, and says exactly what was answered.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;

/// How long a request may take before its connection counts as broken.
const TIMEOUT: Duration = Duration::from_secs(90);
/// How long a client asks again while the server, or its database, is away.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a request got.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The path and query of `Location`.
    pub fn location(&self) -> Option<String> {
        let location = self.header("location")?;
        Some(location[location.find("/v2/")?..].to_owned())
    }

    /// The first code of distribution's error body.
    pub fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    fn is_busy(&self) -> bool {
        self.status == 503 && self.header("retry-after").is_some()
    }
}

/// Why a request did not get an answer that counts.
#[derive(Debug)]
pub enum Trouble {
    /// The connection broke: nobody knows whether it was done.
    Lost(io::Error),
    /// 503 with `Retry-After`: nobody knows either, since a change may have been committed before.
    Busy,
    /// What may not be: the text tells.
    Failed(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(error) => write!(f, "the connection broke: {error}"),
            Self::Busy => f.write_str("answered 503 with Retry-After"),
            Self::Failed(text) => f.write_str(text),
        }
    }
}

/// The bytes that a request carries.
#[derive(Clone, Copy)]
pub enum Payload<'a> {
    Whole(&'a [u8]),
    /// `Transfer-Encoding: chunked`
    Pieces(&'a [u8]),
    /// Half of the bytes, then the connection ends.
    Cut(&'a [u8]),
}

/// A request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub payload: Payload<'a>,
}

impl<'a> Request<'a> {
    pub const fn new(method: &'a str, target: &'a str) -> Self {
        Self {
            method,
            target,
            headers: &[],
            payload: Payload::Whole(b""),
        }
    }

    pub const fn headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Self {
        self.headers = headers;
        self
    }

    pub const fn payload(mut self, payload: Payload<'a>) -> Self {
        self.payload = payload;
        self
    }
}

/// What an insisting request got.
pub struct Insisted {
    pub answer: Answer,
    /// An earlier try of the same request went unanswered and may have been done.
    pub repeated: bool,
}

/// A client's connection.
pub struct Connection {
    address: String,
    authorization: Option<String>,
    /// Whether the server, or its database, may go away and come back.
    outages: bool,
    stream: Option<BufReader<TcpStream>>,
    pub requests: u64,
    pub lost: u64,
    pub busy: u64,
}

impl Connection {
    pub fn new(address: &str, credentials: Option<&str>, outages: bool) -> Self {
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        Self {
            address: address.to_owned(),
            authorization: credentials.map(|text| format!("Basic {}", encode(text))),
            outages,
            stream: None,
            requests: 0,
            lost: 0,
            busy: 0,
        }
    }

    /// Another one of the same client.
    pub fn another(&self) -> Self {
        Self {
            address: self.address.clone(),
            authorization: self.authorization.clone(),
            outages: self.outages,
            stream: None,
            requests: 0,
            lost: 0,
            busy: 0,
        }
    }

    /// Counts what another one did as done by this one.
    pub const fn count(&mut self, other: &Self) {
        self.requests += other.requests;
        self.lost += other.lost;
        self.busy += other.busy;
    }

    pub const fn has_outages(&self) -> bool {
        self.outages
    }

    /// Sends it once.
    pub fn ask(&mut self, request: Request<'_>) -> Result<Answer, Trouble> {
        self.requests += 1;
        match self.exchange(request) {
            Ok(answer) if answer.is_busy() && self.outages => {
                self.busy += 1;
                Err(Trouble::Busy)
            }
            Ok(answer) if answer.status >= 500 => Err(Trouble::Failed(told(request, &answer))),
            Ok(answer) => Ok(answer),
            Err(error) => {
                self.stream = None;
                self.lost += 1;
                match self.outages {
                    true => Err(Trouble::Lost(error)),
                    false => Err(Trouble::Failed(format!(
                        "{} {}: {error}",
                        request.method, request.target
                    ))),
                }
            }
        }
    }

    /// Sends it until it is answered. Only for requests that may be done twice.
    pub fn insist(&mut self, request: Request<'_>) -> Result<Insisted, Trouble> {
        let begun = Instant::now();
        let mut repeated = false;
        loop {
            match self.ask(request) {
                Ok(answer) => return Ok(Insisted { answer, repeated }),
                Err(Trouble::Failed(text)) => return Err(Trouble::Failed(text)),
                Err(trouble) if begun.elapsed() > PATIENCE => {
                    return Err(Trouble::Failed(format!(
                        "{} {} was not answered for {PATIENCE:?}: {trouble}",
                        request.method, request.target
                    )));
                }
                Err(_) => repeated = true,
            }
            wait_a_moment();
        }
    }

    /// As [`Self::insist`], and the answer has one of these statuses.
    pub fn expect(&mut self, statuses: &[u16], request: Request<'_>) -> Result<Answer, Trouble> {
        let Insisted { answer, .. } = self.insist(request)?;
        match statuses.contains(&answer.status) {
            true => Ok(answer),
            false => Err(Trouble::Failed(told(request, &answer))),
        }
    }

    /// Sends half of the bytes and hangs up.
    pub fn cut(&mut self, target: &str, bytes: &[u8]) -> Result<(), Trouble> {
        let request = Request::new("PATCH", target).payload(Payload::Cut(bytes));
        self.requests += 1;
        let sent = self.write(request);
        self.stream = None;
        match sent {
            Err(error) if !self.outages => Err(Trouble::Failed(format!("PATCH {target}: {error}"))),
            _ => Ok(()),
        }
    }

    fn exchange(&mut self, request: Request<'_>) -> io::Result<Answer> {
        if let Err(error) = self.write(request) {
            // a refusal may come before everything was taken
            let early = matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
            if !early || self.stream.is_none() {
                return Err(error);
            }
        }
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let (answer, closes) = read_answer(stream, request.method)?;
        if closes {
            self.stream = None;
        }
        Ok(answer)
    }

    fn write(&mut self, request: Request<'_>) -> io::Result<()> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                self.stream.insert(BufReader::new(stream))
            }
        };
        let mut bytes = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            request.method, request.target, self.address
        )
        .into_bytes();
        if let Some(authorization) = &self.authorization {
            bytes.extend_from_slice(format!("Authorization: {authorization}\r\n").as_bytes());
        }
        for (name, value) in request.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        match request.payload {
            Payload::Whole(body) => {
                bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                bytes.extend_from_slice(body);
            }
            Payload::Cut(body) => {
                bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                bytes.extend_from_slice(&body[..body.len() / 2]);
            }
            Payload::Pieces(body) => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for piece in body.chunks(8000) {
                    bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    bytes.extend_from_slice(piece);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        stream.get_mut().write_all(&bytes)
    }
}

/// Between two tries; the server is asked anew each time.
pub fn wait_a_moment() {
    std::thread::sleep(Duration::from_millis(100));
}

/// A request and its answer in one line.
pub fn told(request: Request<'_>, answer: &Answer) -> String {
    let body: String = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
    format!(
        "{} {} answered {} {body}",
        request.method, request.target, answer.status
    )
}

fn read_answer(stream: &mut BufReader<TcpStream>, method: &str) -> io::Result<(Answer, bool)> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP");
    let first = read_line(stream)?;
    let status: u16 = first
        .split(' ')
        .nth(1)
        .and_then(|text| text.parse().ok())
        .ok_or_else(malformed)?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(malformed)?;
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
    };
    let closes = answer.header("connection") == Some("close");
    if method == "HEAD" || status == 204 || status == 304 {
        return Ok((answer, closes));
    }
    if answer.header("transfer-encoding").is_some() {
        read_pieces(stream, &mut answer.body)?;
        return Ok((answer, closes));
    }
    let length = answer.header("content-length").ok_or_else(malformed)?;
    let length: usize = length.parse().map_err(|_| malformed())?;
    answer.body.resize(length, 0);
    stream.read_exact(&mut answer.body)?;
    Ok((answer, closes))
}

fn read_pieces(stream: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(stream)?;
        let length = usize::from_str_radix(line.trim(), 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a piece of the answer has no length"))?;
        let begin = body.len();
        body.resize(begin + length, 0);
        stream.read_exact(&mut body[begin..])?;
        read_line(stream)?;
        if length == 0 {
            return Ok(());
        }
    }
}

fn read_line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}
