//! The OCI distribution API under /v2/ and the token service.
