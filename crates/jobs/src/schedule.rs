//! When jobs are made: `never`, `every 10m`, `@daily`, or five cron fields with a time zone.

use std::fmt;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// The shortest interval.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
/// The longest interval.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 3_660);

/// When jobs are made. Shown as the text that means the same wherever it is read.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    Never,
    Every(SignedDuration),
    Cron(Box<Cron>, TimeZone),
}

/// A text that is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It has no known form.
    #[error(
        "{text:?} is no schedule: write never, an interval such as \"every 10m\", @hourly, @daily, @weekly, @monthly or \
         five cron fields such as \"30 3 * * *\", the latter with or without a time zone behind"
    )]
    Form {
        /// The text.
        text: String,
    },
    /// The interval of `every` is none.
    #[error("{text:?} is no interval: write 90s, 10m, 1h30m or 7d, at least one second and at most ten years")]
    Interval {
        /// What stands behind `every`.
        text: String,
    },
    /// The cron fields mean nothing.
    #[error("{text:?} are no cron fields (minute, hour, day, month, weekday): {cause}")]
    Cron {
        /// The fields.
        text: String,
        /// What is wrong with them.
        cause: String,
    },
    /// The cron fields name no day that there will be.
    #[error("{text:?} will never be due: there is no such day")]
    NeverDue {
        /// The fields.
        text: String,
    },
    /// Nobody knows this time zone.
    #[error("{name:?} is no time zone: write UTC or a name such as Europe/Berlin")]
    Zone {
        /// The name.
        name: String,
    },
}

impl Schedule {
    /// No jobs are made.
    pub fn never() -> Self {
        Self {
            text: "never".to_owned(),
            rule: Rule::Never,
        }
    }

    /// A job is made again and again, so much time after the last one.
    ///
    /// # Errors
    ///
    /// Less than a second or more than ten years.
    pub fn every(interval: Duration) -> Result<Self, ScheduleError> {
        let interval = SignedDuration::try_from(interval).unwrap_or(SignedDuration::MAX);
        Self::interval(interval, &format!("{interval:#}"))
    }

    /// Reads a schedule; cron fields without a time zone are in `zone`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str, zone: &TimeZone) -> Result<Self, ScheduleError> {
        let form = || ScheduleError::Form { text: text.to_owned() };
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["never"] => Ok(Self::never()),
            ["every", rest @ ..] if !rest.is_empty() => {
                let text = rest.join(" ");
                let interval = read_interval(&text).ok_or_else(|| ScheduleError::Interval { text: text.clone() })?;
                Self::interval(interval, &text)
            }
            [name] if name.starts_with('@') => Self::cron(nickname(name).ok_or_else(form)?, zone.clone()),
            [name, other] if name.starts_with('@') => Self::cron(nickname(name).ok_or_else(form)?, time_zone(other)?),
            fields if fields.len() == 5 => Self::cron(&fields.join(" "), zone.clone()),
            [fields @ .., other] if fields.len() == 5 => Self::cron(&fields.join(" "), time_zone(other)?),
            _ => Err(form()),
        }
    }

    fn interval(interval: SignedDuration, text: &str) -> Result<Self, ScheduleError> {
        if !(SHORTEST..=LONGEST).contains(&interval) {
            return Err(ScheduleError::Interval { text: text.to_owned() });
        }
        Ok(Self {
            text: format!("every {interval:#}")
                .replace(' ', "")
                .replace("every", "every "),
            rule: Rule::Every(interval),
        })
    }

    fn cron(fields: &str, zone: TimeZone) -> Result<Self, ScheduleError> {
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser.parse(fields).map_err(|error| ScheduleError::Cron {
            text: fields.to_owned(),
            cause: error.to_string(),
        })?;
        let schedule = Self {
            text: format!("{fields} {}", zone.iana_name().unwrap_or("UTC")),
            rule: Rule::Cron(Box::new(cron), zone),
        };
        match schedule.next_after(Timestamp::UNIX_EPOCH, None) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::NeverDue {
                text: fields.to_owned(),
            }),
        }
    }

    /// When the next job is made, after `now`; `planned` is when the last one was to be made, so
    /// that intervals do not drift. Clocks that are set forward or back: a job at a fixed time is
    /// made once that day, when the clock is set forward past its time at that moment; one that
    /// is made every hour or minute is made in every hour or minute that passes.
    pub fn next_after(&self, now: Timestamp, planned: Option<Timestamp>) -> Option<Timestamp> {
        match &self.rule {
            Rule::Never => None,
            Rule::Every(interval) => next_interval(*interval, now, planned),
            Rule::Cron(cron, zone) => {
                let now = now.to_zoned(zone.clone());
                let next = cron.find_next_occurrence(&now, false).ok()?;
                Some(next.timestamp())
            }
        }
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A time zone by its name.
///
/// # Errors
///
/// Nobody knows it.
pub fn time_zone(name: &str) -> Result<TimeZone, ScheduleError> {
    TimeZone::get(name).map_err(|_| ScheduleError::Zone { name: name.to_owned() })
}

fn nickname(name: &str) -> Option<&'static str> {
    Some(match name {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ => return None,
    })
}

fn read_interval(text: &str) -> Option<SignedDuration> {
    let span: Span = text.parse().ok()?;
    span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()
}

fn next_interval(interval: SignedDuration, now: Timestamp, planned: Option<Timestamp>) -> Option<Timestamp> {
    let Some(planned) = planned.filter(|planned| *planned <= now) else {
        return now.checked_add(interval).ok();
    };
    let missed = now.duration_since(planned).as_micros() / interval.as_micros().max(1);
    let whole = interval.checked_mul(i32::try_from(missed + 1).unwrap_or(i32::MAX))?;
    let next = planned.checked_add(whole).ok()?;
    if next > now {
        Some(next)
    } else {
        now.checked_add(interval).ok()
    }
}

#[cfg(test)]
mod tests;
