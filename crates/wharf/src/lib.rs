//! The program: command line, configuration, listeners, wiring.
