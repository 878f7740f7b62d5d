//! Fixtures for tests: a registry in a folder, images, clocks.
