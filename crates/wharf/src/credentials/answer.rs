//! What agents and services say.

use std::error::Error as _;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::Timestamp;
use serde::Deserialize;

use crate::config::{AccessKey, Secret};

/// Temporary keys.
pub(super) struct Answer {
    pub(super) keys: AccessKey,
    pub(super) expiration: Timestamp,
}

/// As the agents of containers and instances write it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Json {
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

/// The answer in JSON. Nothing of it gets into an error but what the agent itself says is wrong.
pub(super) fn of_json(text: &str) -> Result<Answer> {
    let json: Json = serde_json::from_str(text).map_err(|_| anyhow!("the answer is not the JSON of credentials"))?;
    match json {
        Json {
            access_key_id: Some(id),
            secret_access_key: Some(secret),
            token,
            expiration: Some(expiration),
            ..
        } => Ok(Answer {
            keys: AccessKey {
                id,
                secret: Secret::new(secret),
                session_token: token.map(Secret::new),
            },
            expiration: time(&expiration)?,
        }),
        Json { code, message, .. } => {
            let [code, message] = [code, message].map(Option::unwrap_or_default);
            bail!("there are no keys in the answer {code} {message}")
        }
    }
}

/// The answer of AWS's token service.
pub(super) fn of_xml(text: &str) -> Result<Answer> {
    let needed = |name: &str| element(text, name).with_context(|| format!("the answer has no {name}"));
    Ok(Answer {
        keys: AccessKey {
            id: needed("AccessKeyId")?,
            secret: Secret::new(needed("SecretAccessKey")?),
            session_token: Some(Secret::new(needed("SessionToken")?)),
        },
        expiration: time(&needed("Expiration")?)?,
    })
}

/// The text of the first element of this name. Those that are asked for hold no references.
pub(super) fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn time(text: &str) -> Result<Timestamp> {
    text.parse()
        .with_context(|| format!("the expiration {text:?} is no time"))
}

/// The body of an answer of 200, asked for up to three times. `refusal` finds the reason in another's body.
pub(super) async fn text(
    request: impl Fn() -> reqwest::RequestBuilder,
    refusal: impl Fn(&str) -> Option<String>,
) -> Result<String> {
    const ATTEMPTS: u32 = 3;
    let mut attempt = 1;
    loop {
        let outcome = once(request(), &refusal).await;
        match outcome {
            Err((error, true)) if attempt < ATTEMPTS => {
                tracing::debug!(
                    error = format!("{error:#}"),
                    attempt,
                    "keys were not given, asking again"
                );
                tokio::time::sleep(Duration::from_millis(100) * (1 << attempt)).await;
                attempt += 1;
            }
            Err((error, _)) => return Err(error),
            Ok(text) => return Ok(text),
        }
    }
}

/// With whether it may go better next time.
async fn once(
    request: reqwest::RequestBuilder,
    refusal: impl Fn(&str) -> Option<String>,
) -> Result<String, (anyhow::Error, bool)> {
    // a connection that cannot be made is what says that there is no such service here
    let unreachable = |error: reqwest::Error| (anyhow!("{}", cause(&error)), !error.is_connect());
    let answer = request.send().await.map_err(unreachable)?;
    let status = answer.status();
    let text = answer.text().await.map_err(unreachable)?;
    if status.is_success() {
        return Ok(text);
    }
    let reason = refusal(&text).map(|reason| format!(": {reason}")).unwrap_or_default();
    let is_passing = status.is_server_error() || status.as_u16() == 429;
    Err((anyhow!("the answer was {status}{reason}"), is_passing))
}

/// The last cause, which tells most; never the URL.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut innermost = error.source();
    while let Some(next) = innermost.and_then(|error| error.source()) {
        innermost = Some(next);
    }
    innermost.map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}
