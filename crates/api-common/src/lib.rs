//! What every HTTP front door shares: who asks (addresses), what
//! for (ranges, conditions, pages), and how answers are built (bodies, links,
//! locations, the access log).
//!
//! Everything here is pure: no I/O, no clock, no randomness of its own. The
//! functions that read bytes from the network never panic and never allocate
//! more than their input.

pub mod access_log;
pub mod address;
pub mod answered;
pub mod base_url;
pub mod body;
pub mod conditional;
pub mod forwarded;
pub mod paging;
pub mod query;
pub mod range;
pub mod request_id;
pub mod response;

pub use access_log::AccessRecord;
pub use address::{ClientAddress, Peer, TrustedProxies};
pub use answered::Answered;
pub use base_url::{BaseUrl, BaseUrls, Via};
pub use body::{Body, Observed, SendFile};
pub use conditional::{EntityTag, Precondition};
pub use paging::{Page, PageError};
pub use range::{ByteRange, ContentRange, Selection};
pub use request_id::{RequestId, RequestIds};
