//! Credentials in, principals out.
