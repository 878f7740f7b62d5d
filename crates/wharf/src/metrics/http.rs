//! What distribution counts about requests.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use http::Method;

use super::histogram::{BYTES, Histogram, REQUEST_SECONDS};

/// Methods that have series of their own; the last takes all others.
pub(super) const METHODS: [&str; 8] = ["get", "head", "put", "post", "patch", "delete", "options", "other"];
/// Status codes 100 to 599.
const CODES: usize = 500;

/// The metrics of one kind of endpoint.
#[derive(Debug)]
pub struct HttpMetrics {
    in_flight: AtomicI64,
    methods: [OnceLock<Box<MethodMetrics>>; METHODS.len()],
    request_bytes: Histogram,
    response_bytes: Histogram,
}

#[derive(Debug)]
pub(super) struct MethodMetrics {
    duration: Histogram,
    codes: Box<[AtomicU64]>,
}

impl HttpMetrics {
    pub(super) fn new() -> Self {
        Self {
            in_flight: AtomicI64::new(0),
            methods: [const { OnceLock::new() }; METHODS.len()],
            request_bytes: Histogram::new(BYTES),
            response_bytes: Histogram::new(BYTES),
        }
    }

    /// A request has begun. Each call must be followed by one [`HttpMetrics::observe`].
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// A request that was begun has ended, its answer's last byte handed over or given up.
    pub fn observe(&self, method: &Method, code: u16, duration: Duration, bytes_in: u64, bytes_out: u64) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.request_bytes.observe_bytes(bytes_in);
        self.response_bytes.observe_bytes(bytes_out);
        let Some(metrics) = self.methods.get(index_of(method)) else {
            return;
        };
        let metrics = metrics.get_or_init(|| {
            Box::new(MethodMetrics {
                duration: Histogram::new(REQUEST_SECONDS),
                codes: std::iter::repeat_with(AtomicU64::default).take(CODES).collect(),
            })
        });
        metrics.duration.observe(duration);
        let code = usize::from(code.clamp(100, 599)) - 100;
        if let Some(count) = metrics.codes.get(code) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn in_flight(&self) -> i64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn sizes(&self) -> (&Histogram, &Histogram) {
        (&self.request_bytes, &self.response_bytes)
    }

    pub(super) fn methods(&self) -> impl Iterator<Item = (&'static str, &MethodMetrics)> {
        let methods = METHODS.iter().zip(&self.methods);
        methods.filter_map(|(name, metrics)| Some((*name, metrics.get()?.as_ref())))
    }
}

impl MethodMetrics {
    pub(super) fn duration(&self) -> &Histogram {
        &self.duration
    }

    /// The codes that occurred, with their counts.
    pub(super) fn codes(&self) -> impl Iterator<Item = (usize, u64)> {
        let counts = self.codes.iter().map(|count| count.load(Ordering::Relaxed));
        let codes = (100..).zip(counts);
        codes.filter(|(_, count)| *count > 0)
    }
}

fn index_of(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::PUT => 2,
        Method::POST => 3,
        Method::PATCH => 4,
        Method::DELETE => 5,
        Method::OPTIONS => 6,
        _ => 7,
    }
}
