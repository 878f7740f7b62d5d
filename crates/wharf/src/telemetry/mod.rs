//! What the process tells about itself: logs on stderr, the access log on stdout, traces.

mod access_log;
mod context;
mod format;
mod layer;
mod traces;

use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

pub use access_log::AccessLog;
pub use context::{RequestContext, current, in_scope, scope};
pub use format::Format;
pub use layer::{LogLayer, Output};
pub use traces::{Config as TracesConfig, TracesError, request_span};

/// How logs are written.
#[derive(Clone, Debug)]
pub struct Config {
    /// The least important level that is written.
    pub level: LevelFilter,
    /// Finer settings, such as `wharf_storage=debug,hyper=trace`, added to the level. `None` for none.
    pub directives: Option<String>,
    /// `log.formatter`.
    pub format: Format,
    /// `log.fields`: fields of every line.
    pub fields: Vec<(String, String)>,
    /// `log.reportcaller`: add file and line of the source.
    pub report_caller: bool,
    /// Where traces go; `None` keeps them off.
    pub traces: Option<TracesConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            level: LevelFilter::INFO,
            directives: None,
            format: Format::Text,
            fields: Vec::new(),
            report_caller: false,
            traces: None,
        }
    }
}

/// Telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directives are ill-formed.
    #[error("log directives {directives:?} are not of the form target=level,...: {reason}")]
    Directives {
        /// As they were given.
        directives: String,
        /// What the parser says.
        reason: String,
    },
    /// Logging was started before in this process.
    #[error("logging has already been started")]
    Twice,
    /// Traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
}

/// Keeps telemetry running; finish it at the end of the process, so that nothing is lost.
#[derive(Debug, Default)]
#[must_use = "telemetry ends when this is dropped"]
pub struct Telemetry {
    traces: Option<traces::Provider>,
}

impl Telemetry {
    /// Sends what is still waiting. May take as long as the collector lets it, at most 5 s.
    pub fn finish(mut self) {
        if let Some(traces) = self.traces.take() {
            traces.finish();
        }
    }
}

/// Starts logging to stderr, and traces if configured, for the whole process. Panics are logged
/// from then on.
///
/// # Errors
/// When a setting is ill-formed, or logging runs already.
pub fn init(config: &Config) -> Result<Telemetry, Error> {
    let (dispatch, telemetry) = build(config, Output::stderr())?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| Error::Twice)?;
    log_panics();
    Ok(telemetry)
}

/// What [`init`] starts, for whoever wants it on a thread only, or written elsewhere.
///
/// # Errors
/// When a setting is ill-formed.
pub fn build(config: &Config, output: Output) -> Result<(Dispatch, Telemetry), Error> {
    let targets = targets(config)?;
    let traces = config.traces.as_ref().map(traces::start).transpose()?;
    let (provider, spans) = match traces {
        Some((provider, layer)) => (Some(provider), Some(layer)),
        None => (None, None),
    };
    let subscriber = tracing_subscriber::registry()
        .with(spans.map(|layer| layer.with_filter(traces::filter())))
        .with(LogLayer::new(config, output).with_filter(targets));
    if provider.is_some() {
        traces::enable();
    }
    Ok((Dispatch::new(subscriber), Telemetry { traces: provider }))
}

/// Our own crates at the configured level, the libraries quieter: their debug output is about
/// themselves.
fn targets(config: &Config) -> Result<Targets, Error> {
    let libraries = match config.level {
        LevelFilter::TRACE => LevelFilter::DEBUG,
        LevelFilter::OFF => LevelFilter::OFF,
        LevelFilter::ERROR => LevelFilter::ERROR,
        _ => LevelFilter::WARN,
    };
    let base = Targets::new()
        .with_default(libraries)
        .with_target("wharf", config.level)
        .with_target("registry", config.level);
    let Some(directives) = config.directives.as_deref() else {
        return Ok(base);
    };
    let more: Targets = directives
        .parse()
        .map_err(|error: tracing_subscriber::filter::ParseError| Error::Directives {
            directives: directives.to_owned(),
            reason: error.to_string(),
        })?;
    let default = more.default_level();
    let base = default.map_or(base.clone(), |level| base.with_default(level));
    Ok(base.with_targets(more))
}

/// Turns panics into one error line with the place. The default hook's text would not be JSON.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string);
        tracing::error!(
            target: "wharf::panic",
            place = place.as_deref().unwrap_or("unknown"),
            "panic: {message}"
        );
    }));
}
