//! The smallest client that can push and pull.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()})
}

pub fn digest(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Bytes that differ from those of every other seed.
pub fn content(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 71);
    let mut block = digest(seed.as_bytes());
    while bytes.len() < length {
        bytes.extend_from_slice(block.as_bytes());
        block = digest(block.as_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub fn basic(name: &str, password: &str) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    format!("Basic {text}")
}

#[derive(Clone)]
pub struct Image {
    pub blobs: Vec<Vec<u8>>,
    pub manifest: Vec<u8>,
}

impl Image {
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }

    /// Configuration and layers.
    pub fn blobs(&self) -> Vec<String> {
        self.blobs.iter().map(|blob| digest(blob)).collect()
    }

    /// Of its blobs, the configuration first.
    pub fn contents(&self) -> &[Vec<u8>] {
        &self.blobs
    }

    pub fn manifest(&self) -> &[u8] {
        &self.manifest
    }
}

/// A configuration and so many layers.
pub fn image(seed: &str, layers: usize) -> Image {
    let config = json!({"architecture": "amd64", "os": "linux", "seed": seed})
        .to_string()
        .into_bytes();
    let layers: Vec<Vec<u8>> = (0..layers)
        .map(|number| content(&format!("{seed} {number}"), 40_000))
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": layers.iter().map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar", layer)).collect::<Vec<_>>(),
    });
    Image {
        blobs: std::iter::once(config).chain(layers).collect(),
        manifest: manifest.to_string().into_bytes(),
    }
}

#[derive(Clone)]
pub struct Client {
    address: String,
    authorization: Option<String>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let early = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .ok_or_else(early)?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok())
            .ok_or_else(early)?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let answer = Self {
            status,
            headers,
            body: bytes[end + 4..].to_vec(),
        };
        let length = answer.header("content-length").parse().unwrap_or(0);
        if answer.body.len() < length {
            Err(early())
        } else {
            Ok(answer)
        }
    }

    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map_or("", |(_, value)| value)
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{} {:?}",
            String::from_utf8_lossy(&self.body),
            self.headers
        );
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The path of `Location`.
    pub fn location(&self) -> String {
        let location = self.header("location");
        let begin = location.find("/v2/").unwrap_or_else(|| panic!("no Location: {self:?}"));
        location[begin..].to_owned()
    }
}

/// A request whose body is still being sent.
pub struct Begun(TcpStream);

impl Begun {
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub fn finish(mut self) -> Answer {
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer).unwrap();
        Answer::parse(&answer).unwrap()
    }
}

impl Client {
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            authorization: None,
        }
    }

    /// The same with a header `Authorization` on every request.
    pub fn signed_in(mut self, authorization: &str) -> Self {
        self.authorization = Some(authorization.to_owned());
        self
    }

    pub fn is_reachable(&self) -> bool {
        TcpStream::connect(&self.address).is_ok()
    }

    pub fn begin(&self, method: &str, target: &str, length: usize) -> Begun {
        Begun(self.open(method, target, &[], length).unwrap())
    }

    fn open(&self, method: &str, target: &str, headers: &[(&str, &str)], length: usize) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.address)?;
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.address
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(authorization) = &self.authorization {
            head.push_str(&format!("Authorization: {authorization}\r\n"));
        }
        head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
        stream.write_all(head.as_bytes())?;
        Ok(stream)
    }

    /// Status line and headers.
    pub fn head(&self, target: &str) -> String {
        let mut begun = self.begin("HEAD", target, 0);
        let mut text = String::new();
        begun.0.read_to_string(&mut text).unwrap();
        text.to_lowercase()
    }

    pub fn try_send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let mut stream = self.open(method, target, headers, body.len())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Answer::parse(&answer)
    }

    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_send(method, target, headers, body).unwrap()
    }

    /// Pushes an image; an error when the registry went away or refused.
    pub fn push(&self, name: &str, tag: &str, image: &Image) -> io::Result<()> {
        let expect = |answer: Answer, status: u16| match answer.status == status {
            true => Ok(answer),
            false => Err(io::Error::other(format!("{answer:?}"))),
        };
        for blob in &image.blobs {
            let start = self.try_send("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"")?;
            let location = expect(start, 202)?.location();
            let (first, second) = blob.split_at(blob.len() / 2);
            expect(self.try_send("PATCH", &location, &[], first)?, 202)?;
            let target = format!("{location}?digest={}", digest(blob));
            expect(self.try_send("PUT", &target, &[], second)?, 201)?;
        }
        expect(self.push_manifest(name, tag, image)?, 201)?;
        Ok(())
    }

    /// Pushes the manifest of an image whose blobs are there.
    pub fn push_manifest(&self, name: &str, tag: &str, image: &Image) -> io::Result<Answer> {
        let target = format!("/v2/{name}/manifests/{tag}");
        self.try_send("PUT", &target, &[("Content-Type", MANIFEST)], &image.manifest)
    }

    /// Pushes an artifact that refers to an image; answers its digest.
    pub fn refer(&self, name: &str, image: &Image) -> String {
        let artifact = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/vnd.example.sbom",
            "config": descriptor(CONFIG, &image.blobs[0]),
            "layers": [],
            "subject": descriptor(MANIFEST, &image.manifest),
        });
        let artifact = artifact.to_string().into_bytes();
        let digest = digest(&artifact);
        let target = format!("/v2/{name}/manifests/{digest}");
        self.send("PUT", &target, &[("Content-Type", MANIFEST)], &artifact)
            .expect(201);
        digest
    }

    pub fn expect_whole(&self, name: &str, tag: &str, image: &Image) {
        let manifest = self
            .send("GET", &format!("/v2/{name}/manifests/{tag}"), &[], b"")
            .expect(200);
        assert_eq!(manifest.body, image.manifest, "{name}:{tag}");
        for blob in &image.blobs {
            let target = format!("/v2/{name}/blobs/{}", digest(blob));
            let got = self.send("GET", &target, &[], b"").expect(200);
            assert!(got.body == *blob, "{name}:{tag} {target}");
        }
    }
}
