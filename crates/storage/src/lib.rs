//! Content-addressed bytes in the layout of distribution v2.
