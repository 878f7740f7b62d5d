//! The nouns of the OCI and Docker registry specifications, without any I/O.
