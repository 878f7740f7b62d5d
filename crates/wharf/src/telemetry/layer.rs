//! The layer that writes log lines.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;

use jiff::Timestamp;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::Config;
use super::context::with_current;
use super::format::Renderer;

type Write = dyn Fn(&[u8]) + Send + Sync;

/// Where whole lines go, each with its newline.
#[derive(Clone)]
pub struct Output {
    write: Arc<Write>,
    terminal: bool,
}

impl Output {
    /// The standard error stream of the process; one write per line.
    #[must_use]
    pub fn stderr() -> Self {
        Self {
            write: Arc::new(|line| {
                // there is nowhere to tell that stderr is closed
                let _ = io::stderr().lock().write_all(line);
            }),
            terminal: io::stderr().is_terminal(),
        }
    }

    /// A function that takes each line.
    #[must_use]
    pub fn function(write: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self {
            write: Arc::new(write),
            terminal: false,
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("terminal", &self.terminal)
            .finish_non_exhaustive()
    }
}

/// Writes one line per event.
#[derive(Debug)]
pub struct LogLayer {
    renderer: Renderer,
    output: Output,
}

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A line that was longer gives its memory back.
const KEEP: usize = 8 * 1024;

impl LogLayer {
    /// Writes to `output` in the configured format.
    #[must_use]
    pub fn new(config: &Config, output: Output) -> Self {
        Self {
            renderer: Renderer {
                format: config.format,
                terminal: output.terminal,
                report_caller: config.report_caller,
                fields: config.fields.clone(),
            },
            output,
        }
    }

    fn write(&self, line: &mut String, event: &Event<'_>) {
        line.clear();
        let rendered = with_current(|request| {
            self.renderer.line(line, now(), event, Some(request));
        });
        if rendered.is_none() {
            self.renderer.line(line, now(), event, None);
        }
        (self.output.write)(line.as_bytes());
        if line.capacity() > KEEP {
            *line = String::new();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time of a log line is the wall clock's; nothing decides by it"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        LINE.with(|cell| match cell.try_borrow_mut() {
            Ok(mut line) => self.write(&mut line, event),
            // a value's Debug that logs: rare, and still worth its line
            Err(_) => self.write(&mut String::new(), event),
        });
    }
}
