use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex as StdMutex;

use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::Finder;
use crate::config::{AccessKey, ContainerToken, Credentials, S3, Secret, StorageDriver, load_str};

type Reply = dyn Fn(&str) -> (u16, String) + Send + Sync;

/// A server that answers each whole request by `reply`, and remembers them.
struct Fake {
    url: String,
    requests: Arc<StdMutex<Vec<String>>>,
}

impl Fake {
    async fn start(reply: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(StdMutex::new(Vec::new()));
        let (seen, reply): (_, Arc<Reply>) = (Arc::clone(&requests), Arc::new(reply));
        #[expect(clippy::disallowed_methods, reason = "the server of a test")]
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !is_whole(&request) {
                    match stream.read(&mut buffer).await {
                        Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
                        _ => break,
                    }
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let (status, body) = reply(&request);
                seen.lock().unwrap().push(request);
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length:")
            .map(|n| n.trim().to_owned())
    });
    length.is_none_or(|length| body.len() >= length.parse().unwrap())
}

fn finder(credentials: Credentials) -> Finder {
    finder_at(credentials, crate::app::clock())
}

fn finder_at(credentials: Credentials, clock: wharf_registry::Clock) -> Finder {
    let file = "version: 0.1\nstorage: {s3: {bucket: b, region: eu-west-1}}\n";
    let StorageDriver::S3(bucket) = load_str(file, &[]).unwrap().config.storage.driver else {
        panic!("no bucket");
    };
    Finder::new(&S3 { credentials, ..*bucket }, clock).unwrap()
}

fn later(seconds: i64) -> Timestamp {
    (crate::app::clock())() + SignedDuration::from_secs(seconds)
}

fn json(id: &str, seconds: i64) -> String {
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{id}","SecretAccessKey":"s3cret","Token":"t0ken","Expiration":"{}"}}"#,
        later(seconds)
    )
}

fn key(id: &str) -> AccessKey {
    AccessKey {
        id: id.to_owned(),
        secret: Secret::new("s3cret"),
        session_token: Some(Secret::new("t0ken")),
    }
}

fn profile(folder: &std::path::Path, name: &str) -> Credentials {
    Credentials::Profile {
        credentials: folder.join("credentials"),
        config: folder.join("config"),
        name: name.to_owned(),
    }
}

async fn refusal(credentials: Credentials) -> String {
    format!("{:#}", finder(credentials).keys().await.unwrap_err())
}

#[tokio::test]
async fn a_pod_of_eks_shows_its_token_as_it_is_now_and_gets_keys() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "pod-token\n").unwrap();
    let agent = Fake::start(|request| match request.contains("authorization: pod-token\r\n") {
        true => (200, json("POD", 3600)),
        false => (401, String::new()),
    })
    .await;
    let finder = finder(Credentials::Container {
        url: format!("{}/v1/credentials", agent.url),
        authorization: ContainerToken::File(token),
    });
    assert_eq!(finder.keys().await.unwrap(), key("POD"));
    assert_eq!(finder.keys().await.unwrap(), key("POD"));
    assert_eq!(agent.requests().len(), 1, "keys are remembered");
    assert!(!format!("{finder:?}").contains("s3cret"));
}

#[tokio::test]
async fn an_instance_is_asked_by_version_2_of_its_service() {
    let service = Fake::start(|request| {
        let line = request.lines().next().unwrap_or_default();
        let has_token = request.contains("x-aws-ec2-metadata-token: SESSION\r\n");
        match line.split(' ').take(2).collect::<Vec<_>>().as_slice() {
            ["PUT", "/latest/api/token"] => (200, "SESSION".to_owned()),
            ["GET", "/latest/meta-data/iam/security-credentials/"] if has_token => (200, "images-role\n".to_owned()),
            ["GET", "/latest/meta-data/iam/security-credentials/images-role"] if has_token => (200, json("EC2", 3600)),
            _ => (401, String::new()),
        }
    })
    .await;
    let endpoint = service.url.clone();
    assert_eq!(
        finder(Credentials::Instance { endpoint }).keys().await.unwrap(),
        key("EC2")
    );
}

#[tokio::test]
async fn a_service_account_assumes_its_role() {
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, "ey.J+/=").unwrap();
    let expiration = later(3600);
    let sts = Fake::start(move |request| {
        let wanted =
            "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fimages&RoleSessionName=wharf&WebIdentityToken=ey.J%2B%2F%3D";
        match request.ends_with(wanted) {
            true => (
                200,
                format!(
                    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
                     <AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>s3cret</SecretAccessKey>\
                     <SessionToken>t0ken</SessionToken><Expiration>{expiration}</Expiration></Credentials>\
                     </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
                ),
            ),
            false => (
                400,
                "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>No OpenIDConnect provider</Message>\
                 </Error></ErrorResponse>"
                    .to_owned(),
            ),
        }
    })
    .await;
    let role = |token_file: PathBuf| Credentials::WebIdentity {
        token_file,
        role_arn: "arn:aws:iam::1:role/images".to_owned(),
        session_name: "wharf".to_owned(),
        endpoint: Some(sts.url.clone()),
    };
    assert_eq!(finder(role(token_file.clone())).keys().await.unwrap(), key("ROLE"));

    std::fs::write(&token_file, "hunter2").unwrap();
    let text = refusal(role(token_file)).await;
    assert!(
        text.ends_with("the answer was 400 Bad Request: InvalidIdentityToken No OpenIDConnect provider"),
        "{text}"
    );
    assert!(
        text.contains("role arn:aws:iam::1:role/images") && !text.contains("hunter2"),
        "{text}"
    );
    let text = refusal(role("/nowhere/token".into())).await;
    assert!(text.contains("the token file /nowhere/token cannot be read"), "{text}");
}

#[tokio::test]
async fn keys_that_end_soon_are_renewed_and_good_ones_outlive_a_failing_renewal() {
    let answer = Arc::new(StdMutex::new((200, json("FIRST", 3600))));
    let agent = Fake::start({
        let answer = Arc::clone(&answer);
        move |_| answer.lock().unwrap().clone()
    })
    .await;
    let now = Arc::new(StdMutex::new(later(0)));
    let clock = Arc::clone(&now);
    let credentials = Credentials::Container {
        url: agent.url.clone(),
        authorization: ContainerToken::None,
    };
    let finder = finder_at(credentials, Arc::new(move || *clock.lock().unwrap()));
    let pass = |minutes: i64| *now.lock().unwrap() += SignedDuration::from_mins(minutes);
    assert_eq!(finder.keys().await.unwrap(), key("FIRST"));
    pass(50);
    assert_eq!(finder.keys().await.unwrap(), key("FIRST"));
    assert_eq!(agent.requests().len(), 1, "ten minutes are long enough");

    *answer.lock().unwrap() = (403, String::new());
    pass(6);
    assert_eq!(finder.keys().await.unwrap(), key("FIRST"));
    assert_eq!(finder.keys().await.unwrap(), key("FIRST"));
    assert_eq!(agent.requests().len(), 2, "a renewal was tried, once for now");
    pass(5);
    let error = format!("{:#}", finder.keys().await.unwrap_err());
    assert!(error.contains("403 Forbidden"), "{error}");

    *answer.lock().unwrap() = (200, json("SECOND", 7200));
    assert_eq!(finder.keys().await.unwrap(), key("SECOND"));
}

#[tokio::test]
async fn profiles_are_read_from_both_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("credentials"),
        "# mine\n[default]\naws_access_key_id = D\naws_secret_access_key=s3cret # not this\naws_session_token = t0ken\n\n\
         [ images ]\naws_access_key_id=I\ns3 =\n  aws_access_key_id = nested\naws_secret_access_key=s3cret\n\
         aws_session_token=t0ken\n",
    )
    .unwrap();
    std::fs::write(
        folder.path().join("config"),
        "[default]\nregion = eu-west-1\n[profile other]\naws_access_key_id = O\naws_secret_access_key = s3cret\n\
         aws_session_token = t0ken\n[profile chained]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = default\n",
    )
    .unwrap();
    for (name, id) in [("default", "D"), ("images", "I"), ("other", "O")] {
        let found = finder(profile(folder.path(), name)).keys().await.unwrap();
        assert_eq!(found, key(id), "{name}");
    }
    let text = refusal(profile(folder.path(), "chained")).await;
    assert!(text.contains("keys by `source_profile` are not there yet"), "{text}");
    let text = refusal(profile(folder.path(), "absent")).await;
    assert!(
        text.contains("profile absent of ") && text.contains("or is missing"),
        "{text}"
    );
}

#[tokio::test]
async fn the_first_source_with_keys_is_taken_and_without_any_each_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let agent = Fake::start(|_| (200, json("POD", 3600))).await;
    let container = |url: &str| Credentials::Container {
        url: url.to_owned(),
        authorization: ContainerToken::Text(Secret::new("hunter2")),
    };
    let chain = Credentials::Chain(vec![profile(folder.path(), "default"), container(&agent.url)]);
    assert_eq!(finder(chain).keys().await.unwrap(), key("POD"));

    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let text = refusal(Credentials::Chain(vec![
        profile(folder.path(), "default"),
        container(&closed),
    ]))
    .await;
    assert!(
        text.starts_with("no keys for the bucket: neither `accesskey` and `secretkey` nor AWS_ACCESS_KEY_ID are set")
            && text.contains("profile default of")
            && text.contains("the container's agent at")
            && text.contains("Connection refused")
            && !text.contains("hunter2"),
        "{text}"
    );
}

#[tokio::test]
async fn a_container_token_is_sent_to_the_agent_only() {
    let text = refusal(Credentials::Container {
        url: "http://203.0.113.7/keys".to_owned(),
        authorization: ContainerToken::Text(Secret::new("hunter2")),
    })
    .await;
    assert!(text.contains("plain HTTP is spoken to 169.254.170.2"), "{text}");
}

#[tokio::test]
async fn expired_keys_and_answers_without_keys_are_refused() {
    let answer = Arc::new(StdMutex::new(json("OLD", -60)));
    let agent = Fake::start({
        let answer = Arc::clone(&answer);
        move |_| (200, answer.lock().unwrap().clone())
    })
    .await;
    let container = || Credentials::Container {
        url: agent.url.clone(),
        authorization: ContainerToken::None,
    };
    let text = refusal(container()).await;
    assert!(
        text.contains("have expired") && text.contains("is this machine's clock right?"),
        "{text}"
    );
    *answer.lock().unwrap() = r#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"no trust"}"#.to_owned();
    let text = refusal(container()).await;
    assert!(
        text.ends_with("there are no keys in the answer AssumeRoleUnauthorizedAccess no trust"),
        "{text}"
    );
    *answer.lock().unwrap() = "<html>".to_owned();
    let text = refusal(container()).await;
    assert!(text.ends_with("the answer is not the JSON of credentials"), "{text}");
}
