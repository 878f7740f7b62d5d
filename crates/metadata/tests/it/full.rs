//! An index with rows in every table, for what must not forget one.

use wharf_access::Visibility;
use wharf_metadata::manifests::ReferenceKind;
use wharf_metadata::users::NewUser;
use wharf_metadata::{
    Entry, audit_log, directories, garbage_collection, keys, mirror, refresh_tokens, repositories, settings,
    statistics, tombstones, uploads, users,
};

use crate::fixture::{Engine, Fixture, digest, reference, tag};

/// An index with something in every table.
pub fn full(engine: Engine) -> Fixture {
    let fixture = Fixture::on(engine);
    let gone = fixture.repository("team/gone").id;
    let repository = fixture.repository("team/app").id;
    for number in 1..120 {
        fixture.blob(repository, digest(number));
    }
    fixture.push(
        repository,
        digest(500),
        Some(digest(501)),
        vec![
            reference(ReferenceKind::Config, digest(1)),
            reference(ReferenceKind::Layer, digest(2)),
        ],
    );
    for name in ["latest", "v1", "v2"] {
        fixture.tag(repository, name, digest(500));
    }
    let now = fixture.now();
    fixture.write(move |tx| {
        repositories::delete_empty(tx, gone)?;
        repositories::set_visibility(tx, "team", Visibility::Public)?;
        settings::set(tx, "storage.identity", b"one")?;
        uploads::create(tx, "upload", repository, b"state", now)?;
        mirror::raise(tx, repository, &Entry::Tag(tag("latest")))?;
        tombstones::add(tx, repository, &Entry::Tag(tag("old")), 1)?;
        garbage_collection::begin_run(tx, "schedule", now)?;
        let seen = directories::Directory {
            repository_id: repository,
            path: "x".into(),
            mtime: 5,
        };
        directories::record(tx, &[seen])
    });
    fill_people(&fixture, repository);
    fixture
}

fn fill_people(fixture: &Fixture, repository: i64) {
    let now = fixture.now();
    fixture.write(move |tx| {
        users::create(
            tx,
            NewUser {
                name: "alice",
                password_hash: "hash",
                is_admin: true,
                must_change: false,
            },
            now,
        )?;
        let pulls = statistics::Pulls {
            repository_id: repository,
            manifest: digest(500),
            tag: Some(tag("latest")),
            count: 3,
            last: now,
        };
        statistics::add_pulls(tx, &[pulls])?;
        let key = keys::SigningKey {
            kid: "k1".into(),
            algorithm: "ES256".into(),
            private_key: vec![1, 2, 3],
            created_at: now,
            retired_at: None,
        };
        keys::insert(tx, &key)?;
        let token = refresh_tokens::RefreshToken {
            hash: vec![9; 32],
            account: "alice".into(),
            service: "wharf".into(),
            scope: String::new(),
            credential_version: 1,
            created_at: now,
            expires_at: now,
            revoked_at: None,
        };
        refresh_tokens::insert(tx, &token)?;
        audit_log::append(
            tx,
            &audit_log::Line {
                id: 0,
                at: now,
                actor: "alice".into(),
                action: "user.create".into(),
                subject: "alice".into(),
                detail: String::new(),
                address: String::new(),
                result: "ok".into(),
            },
        )
    });
}
