use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::BodyExt as _;

use super::{Body, Observed, Sent};

type Seen = Arc<Mutex<Vec<Sent>>>;

fn observed(body: Body, length: Option<u64>) -> (Observed<impl FnOnce(Sent)>, Seen) {
    let seen = Seen::default();
    let theirs = Arc::clone(&seen);
    let body = Observed::new(body, length, move |sent| theirs.lock().unwrap().push(sent));
    (body, seen)
}

fn sent(bytes: u64, complete: bool) -> Vec<Sent> {
    vec![Sent { bytes, complete }]
}

#[tokio::test]
async fn a_body_that_left_is_reported_once_with_its_bytes() {
    let (body, seen) = observed(Body::from("hello"), None);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
    assert_eq!(*seen.lock().unwrap(), sent(5, true));
}

#[tokio::test]
async fn a_body_that_was_given_up_is_reported_as_incomplete() {
    let (mut body, seen) = observed(Body::new(TwoFrames(2)), None);
    let first = body.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), Bytes::from_static(b"abc"));
    drop(body);
    assert_eq!(*seen.lock().unwrap(), sent(3, false));
}

#[tokio::test]
async fn a_stream_is_whole_once_the_promised_length_has_left() {
    let (mut body, seen) = observed(Body::new(TwoFrames(2)), Some(6));
    body.frame().await.unwrap().unwrap();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(*seen.lock().unwrap(), sent(6, true));
}

#[test]
fn the_answer_to_head_is_complete_without_a_byte() {
    let seen = Seen::default();
    let theirs = Arc::clone(&seen);
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("1000"));
    let watched = Observed::response(response, move |sent| theirs.lock().unwrap().push(sent));
    drop(watched);
    assert_eq!(*seen.lock().unwrap(), sent(0, true));
}

/// A stream that does not know its length.
struct TwoFrames(u8);

impl http_body::Body for TwoFrames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        if self.0 == 0 {
            return std::task::Poll::Ready(None);
        }
        self.0 -= 1;
        let frame = http_body::Frame::data(Bytes::from_static(b"abc"));
        std::task::Poll::Ready(Some(Ok(frame)))
    }
}
