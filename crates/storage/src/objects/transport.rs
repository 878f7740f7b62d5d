//! The HTTP clients below the object store.

use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService},
    signer::Method,
};
use std::{future::Future, pin::Pin, time::Duration};

/// Requests with more bytes than this wait as long as transfers do.
const SMALL: usize = 256 << 10;

/// Chooses by the request how long its answer may take.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    /// For what a server answers at once.
    quick: reqwest::Client,
    /// For parts on their way, and for what a server copies or puts together.
    long: reqwest::Client,
}

/// How long a request may wait for bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) connect: Duration,
    pub(super) quick: Duration,
    pub(super) long: Duration,
}

impl Transport {
    /// `client` makes what both have in common.
    pub(super) fn new(client: impl Fn() -> reqwest::ClientBuilder, patience: Patience) -> reqwest::Result<Self> {
        let build = |read| {
            client()
                .connect_timeout(patience.connect)
                .read_timeout(read)
                .http1_only()
                .no_gzip()
                .redirect(reqwest::redirect::Policy::none())
                .build()
        };
        Ok(Self {
            quick: build(patience.quick)?,
            long: build(patience.long)?,
        })
    }

    /// The client for a request that is signed by hand.
    pub(super) const fn client(&self, is_long: bool) -> &reqwest::Client {
        if is_long { &self.long } else { &self.quick }
    }
}

fn is_long(request: &HttpRequest) -> bool {
    request.body().content_length() > SMALL
        || request.headers().contains_key("x-amz-copy-source")
        || (*request.method() == Method::POST
            && request
                .uri()
                .query()
                .is_some_and(|query| query.starts_with("uploadId=")))
}

impl HttpService for Transport {
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        self.client(is_long(&request)).call(request)
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}
