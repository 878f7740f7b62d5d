//! `/users`: the local accounts.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{post, put};
use http::StatusCode;
use serde::Deserialize;
use wharf_auth::{Accounts, Actor};
use zeroize::Zeroizing;

use crate::call::{Administrator, Answer, Payload, address, done};
use crate::{Caller, Failure, Resources};

pub fn routes() -> Router<Resources> {
    Router::new()
        .route("/users", post(create))
        .route("/users/{name}/password", put(reset_password))
}

#[derive(Deserialize)]
struct NewUser {
    username: String,
    password: Zeroizing<String>,
    #[serde(default)]
    sysadmin_flag: bool,
}

#[derive(Deserialize)]
struct NewPassword {
    new_password: Zeroizing<String>,
}

async fn create(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Payload(user): Payload<NewUser>,
) -> Answer {
    let password = Zeroizing::new(user.password.as_bytes().to_vec());
    accounts(&resources)?
        .create(
            &user.username,
            password,
            user.sysadmin_flag,
            actor(&caller, &address(&caller)),
        )
        .await?;
    tracing::info!(user = %user.username, is_admin = user.sysadmin_flag, "account made");
    done(StatusCode::CREATED)
}

async fn reset_password(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Path(name): Path<String>,
    Payload(new): Payload<NewPassword>,
) -> Answer {
    let password = Zeroizing::new(new.new_password.as_bytes().to_vec());
    accounts(&resources)?
        .reset_password(&name, password, actor(&caller, &address(&caller)))
        .await?;
    tracing::info!(user = %name, "password reset");
    done(StatusCode::OK)
}

fn accounts(resources: &Resources) -> Result<&Accounts, Failure> {
    resources.accounts.as_ref().ok_or_else(|| {
        Failure::precondition(
            "this registry has no built-in accounts: its configuration says how people sign in (auth, or access.accounts)",
        )
    })
}

fn actor<'a>(caller: &'a Caller, address: &'a str) -> Actor<'a> {
    Actor {
        name: caller.principal.name(),
        address,
    }
}
