//! A proxy between a client and an HTTP server that delays, refuses, cuts and truncates, and that can
//! insist on parts of one size.
//!
//! It forwards what it gets unchanged, so that signatures hold. This file needs nothing of this crate.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A request that came by.
#[derive(Clone, Debug)]
pub struct Request {
    /// Such as `GET`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The names in lower case.
    pub headers: Vec<(String, String)>,
    /// How many bytes came with it.
    pub length: usize,
}

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It reaches the server later.
    Delay(Duration),
    /// The server says `503 SlowDown`.
    SlowDown,
    /// The server answers with a status and an S3 error code.
    Refusal(u16, &'static str),
    /// The connection ends before the server sees the request.
    CutBefore,
    /// The server does what is asked, and the connection ends before its answer.
    CutAfter,
    /// The connection ends after so many bytes of the answer.
    Truncation(usize),
}

type Rule = Box<dyn Fn(&Request) -> Option<Fault> + Send + Sync>;

/// A running proxy.
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    rule: Mutex<Option<Rule>>,
    seen: Mutex<Vec<Request>>,
    /// Sizes of parts by upload and number; while it is there, parts must have one size.
    parts: Mutex<Option<HashMap<String, HashMap<u64, u64>>>>,
    is_over: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The value of a parameter of the query, as it stands there.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        let parameters = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        parameters
            .into_iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

impl Proxy {
    /// A proxy to a server at `host:port`.
    pub fn to(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            rule: Mutex::new(None),
            seen: Mutex::default(),
            parts: Mutex::new(None),
            is_over: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&serving);
                if let Ok(stream) = stream {
                    std::thread::spawn(move || drop(shared.serve(stream)));
                }
            }
        });
        Self { address, shared }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on `rule` says what goes wrong with each request.
    pub fn faults(&self, rule: impl Fn(&Request) -> Option<Fault> + Send + Sync + 'static) {
        *lock(&self.shared.rule) = Some(Box::new(rule));
    }

    /// The first `count` requests that `is_meant` go wrong, no other.
    pub fn fault_once(&self, fault: Fault, count: usize, is_meant: impl Fn(&Request) -> bool + Send + Sync + 'static) {
        let left = Mutex::new(count);
        self.faults(move |request| {
            let mut left = lock(&left);
            if *left == 0 || !is_meant(request) {
                return None;
            }
            *left -= 1;
            Some(fault.clone())
        });
    }

    /// Nothing goes wrong any more.
    pub fn calm(&self) {
        *lock(&self.shared.rule) = None;
    }

    /// From now on a multipart upload is refused whose parts but the last differ in size, or whose last
    /// part is larger than they.
    pub fn insist_on_equal_parts(&self) {
        *lock(&self.shared.parts) = Some(HashMap::new());
    }

    /// The requests since the last call.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.shared.seen))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // wakes the thread that accepts
        drop(TcpStream::connect(&self.address));
    }
}

impl Shared {
    fn serve(&self, client: TcpStream) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        let mut reader = BufReader::new(client.try_clone()?);
        let mut client = client;
        let Some((head, request, body)) = read_request(&mut reader)? else {
            return Ok(());
        };
        lock(&self.seen).push(request.clone());
        let fault = lock(&self.rule).as_ref().and_then(|rule| rule(&request));
        match &fault {
            Some(Fault::Delay(time)) => std::thread::sleep(*time),
            Some(Fault::SlowDown) => return refuse(&mut client, 503, "SlowDown"),
            Some(Fault::Refusal(status, code)) => return refuse(&mut client, *status, code),
            Some(Fault::CutBefore) => return client.shutdown(Shutdown::Both),
            Some(Fault::CutAfter | Fault::Truncation(_)) | None => {}
        }
        if !self.has_equal_parts(&request, &body) {
            return refuse(&mut client, 400, "InvalidPart");
        }
        let mut server = TcpStream::connect(&self.upstream)?;
        server.write_all(&head)?;
        server.write_all(&body)?;
        match fault {
            Some(Fault::CutAfter) => {
                std::io::copy(&mut server, &mut std::io::sink())?;
            }
            Some(Fault::Truncation(length)) => {
                std::io::copy(&mut server.take(length as u64), &mut client)?;
            }
            _ => {
                std::io::copy(&mut server, &mut client)?;
            }
        }
        client.shutdown(Shutdown::Both)
    }

    /// Notes the size of a part; of a request that puts parts together, whether they fit.
    fn has_equal_parts(&self, request: &Request, body: &[u8]) -> bool {
        let mut uploads = lock(&self.parts);
        let (Some(uploads), Some(id)) = (uploads.as_mut(), request.parameter("uploadId")) else {
            return true;
        };
        let parts = uploads.entry(id.to_owned()).or_default();
        let number = request.parameter("partNumber").and_then(|number| number.parse().ok());
        match (request.method.as_str(), number) {
            ("PUT", Some(number)) => {
                let copied = request.header("x-amz-copy-source-range").and_then(|range| {
                    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
                    Some(last.parse::<u64>().ok()? + 1 - first.parse::<u64>().ok()?)
                });
                parts.insert(number, copied.unwrap_or(request.length as u64));
                true
            }
            ("POST", None) => {
                let body = String::from_utf8_lossy(body);
                let numbers = body.split("<PartNumber>").skip(1);
                let numbers = numbers.filter_map(|rest| rest.split_once('<')?.0.parse::<u64>().ok());
                let sizes: Vec<u64> = numbers.filter_map(|number| parts.get(&number).copied()).collect();
                match sizes.split_last() {
                    Some((last, [first, rest @ ..])) => last <= first && rest.iter().all(|size| size == first),
                    _ => true,
                }
            }
            _ => true,
        }
    }
}

/// The head as the server gets it, what it says, and the body.
type Received = (Vec<u8>, Request, Vec<u8>);

fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Received>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, target) = (word(), word());
    let mut head = line.clone().into_bytes();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let name = name.to_ascii_lowercase();
        if name != "connection" {
            head.extend_from_slice(line.as_bytes());
        }
        headers.push((name, value.trim().to_owned()));
    }
    head.extend_from_slice(b"Connection: close\r\n\r\n");
    let mut request = Request {
        method,
        target,
        headers,
        length: 0,
    };
    let is_chunked = request.header("transfer-encoding").is_some();
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    let mut body = Vec::new();
    if is_chunked {
        read_chunks(reader, &mut body)?;
    } else {
        reader.take(length.unwrap_or(0)).read_to_end(&mut body)?;
    }
    request.length = body.len();
    Ok(Some((head, request, body)))
}

/// Chunks as they are.
fn read_chunks(reader: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).unwrap_or(0);
        body.extend_from_slice(line.as_bytes());
        reader.take(size + 2).read_to_end(body)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn refuse(client: &mut TcpStream, status: u16, code: &str) -> std::io::Result<()> {
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as the test wants it</Message></Error>");
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Refused\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    client.write_all(head.as_bytes())?;
    client.write_all(body.as_bytes())?;
    client.shutdown(Shutdown::Both)
}
