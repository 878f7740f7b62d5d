//! A handler with one route per habit of a registry.

use std::convert::Infallible;
use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::Notify;
use wharf::listen::{ConnectionInfo, Handler};
use wharf_api_common::response;

/// Bytes of `/download`, half of which wait for [`Sample::release`].
pub const DOWNLOAD: usize = 1024 * 1024;

#[derive(Default)]
pub struct Sample {
    /// Lets waiting downloads go on.
    pub release: Arc<Notify>,
    /// What `/file/OFFSET` sends from there on.
    pub file: Option<Arc<File>>,
}

impl Handler for Sample {
    type Body = Body;

    async fn call(&self, request: Request<Incoming>, connection: &Arc<ConnectionInfo>) -> Response<Body> {
        match request.uri().path() {
            "/hello" => response::text(StatusCode::OK, "hello"),
            "/version" => response::text(StatusCode::OK, format!("{:?}", request.version())),
            "/whoami" => response::text(StatusCode::OK, whoami(connection)),
            "/upload" => upload(request.into_body()).await,
            "/reject" => response::text(StatusCode::UNAUTHORIZED, "who are you"),
            "/download" => {
                let release = Arc::clone(&self.release);
                Response::new(Body::new(Halves {
                    released: Box::pin(release.notified_owned()),
                    left: 2,
                }))
            }
            "/wait" => {
                self.release.notified().await;
                response::text(StatusCode::OK, "done")
            }
            path if path.starts_with("/file/") => self.file(path, connection),
            "/panic" => panic!("a fault on purpose"),
            _ => response::empty(StatusCode::NOT_FOUND),
        }
    }

    fn panicked(&self) -> Response<Body> {
        response::text(StatusCode::INTERNAL_SERVER_ERROR, "sorry")
    }
}

impl Sample {
    fn file(&self, path: &str, connection: &ConnectionInfo) -> Response<Body> {
        let file = self.file.as_ref().expect("the test has a file");
        let offset: u64 = path.trim_start_matches("/file/").parse().unwrap();
        let length = file.metadata().unwrap().len() - offset;
        let Some(sender) = &connection.send_file else {
            return response::text(StatusCode::NOT_IMPLEMENTED, "no sendfile here");
        };
        let mut response = Response::new(sender.body(Arc::clone(file), offset, length));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        response
    }
}

fn whoami(connection: &ConnectionInfo) -> String {
    let Some(tls) = &connection.tls else {
        return format!("plain {}", connection.peer);
    };
    match &tls.client {
        Some(client) => format!(
            "{} {} {:?} verified={}",
            tls.version, client.subject, client.names, client.verified
        ),
        None => format!("{} {:?} no certificate", tls.version, tls.server_name),
    }
}

async fn upload(mut body: Incoming) -> Response<Body> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes += frame.data_ref().map_or(0, Bytes::len),
            Err(error) => return response::text(StatusCode::BAD_REQUEST, error.to_string()),
        }
    }
    response::text(StatusCode::CREATED, format!("{bytes} bytes"))
}

/// Two halves; the second is not there before it is released.
struct Halves {
    released: Pin<Box<dyn Future<Output = ()> + Send>>,
    left: u8,
}

impl http_body::Body for Halves {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.left {
            0 => return Poll::Ready(None),
            1 => ready!(self.released.as_mut().poll(context)),
            _ => {}
        }
        self.left -= 1;
        let half = Bytes::from(vec![b'x'; DOWNLOAD / 2]);
        Poll::Ready(Some(Ok(Frame::data(half))))
    }
}
