//! Random uploads against a model: whatever happens to the connection or the process, the blob
//! that comes out is the one that was sent.

use bytes::Bytes;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::strategy::Just;
use proptest::test_runner::{Config, TestRunner};
use wharf_test_support::{Blob, Registry};

#[derive(Clone, Debug)]
enum Step {
    /// A chunk that says where it begins, or does not.
    Chunk {
        length: usize,
        has_range: bool,
    },
    /// A chunk that begins elsewhere.
    Misplaced {
        start: usize,
    },
    /// A stream that breaks after so many bytes.
    Broken {
        length: usize,
    },
    Status,
    Restart,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![0..20usize, 1_000..90_000usize];
    prop_oneof![
        4 => (length.clone(), any::<bool>()).prop_map(|(length, has_range)| Step::Chunk { length, has_range }),
        1 => (0..200_000usize).prop_map(|start| Step::Misplaced { start }),
        2 => length.prop_map(|length| Step::Broken { length }),
        1 => Just(Step::Status),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ]
}

struct Upload {
    registry: Registry,
    location: String,
    blob: Blob,
    offset: usize,
}

impl Upload {
    /// What the client believes that it may send next, cut at the end.
    fn next(&self, length: usize) -> Bytes {
        let end = (self.offset + length).min(self.blob.bytes.len());
        self.blob.bytes.slice(self.offset..end)
    }

    fn assert_at(&self, range: &str, offset: usize) {
        assert_eq!(range, format!("0-{}", offset.saturating_sub(1)));
    }

    async fn step(mut self, step: &Step) -> Self {
        match step {
            Step::Chunk { length, has_range } => {
                let bytes = self.next(*length);
                let end = self.offset + bytes.len();
                let mut patch = self.registry.patch(&self.location);
                if *has_range && !bytes.is_empty() {
                    patch = patch.header("content-range", format!("{}-{}", self.offset, end - 1));
                }
                let answer = patch.body(bytes).send().await.expect(202);
                self.assert_at(answer.header("range"), end);
                self.offset = end;
            }
            Step::Misplaced { start } if *start != self.offset => {
                let range = format!("{start}-{}", start + 3);
                let patch = self.registry.patch(&self.location).header("content-range", range);
                let answer = patch.body("oops").send().await.expect_error(416, "RANGE_INVALID");
                self.assert_at(answer.header("range"), self.offset);
            }
            Step::Misplaced { .. } => {}
            Step::Broken { length } => {
                let bytes = self.next(*length);
                let (patch, sender) = self.registry.patch(&self.location).streamed();
                sender.send(bytes.clone());
                sender.cut();
                patch.send().await.expect_error(400, "BLOB_UPLOAD_INVALID");
                self.offset += bytes.len();
            }
            Step::Status => {
                let status = self.registry.get(&self.location).send().await.expect(204);
                self.assert_at(status.header("range"), self.offset);
            }
            // a session to which nothing was sent yet is in memory only
            Step::Restart | Step::Crash if self.offset == 0 => {}
            Step::Restart => self.registry = self.registry.restart().await,
            Step::Crash => self.registry = self.registry.kill().start().await,
        }
        self
    }

    async fn finish(self) {
        let target = format!("{}?digest={}", self.location, self.blob.digest);
        let rest = self.blob.bytes.slice(self.offset..);
        self.registry.put(&target).body(rest).send().await.expect(201);
        let got = self
            .registry
            .get(&format!("/v2/a/blobs/{}", self.blob.digest))
            .send()
            .await;
        assert!(got.expect(200).body == self.blob.bytes);
    }
}

#[test]
fn any_history_of_an_upload_ends_with_the_blob_that_was_sent() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 25,
        failure_persistence: None,
        ..Config::default()
    });
    let histories = (proptest::collection::vec(step(), 0..14), 1..300_000usize);
    runner
        .run(&histories, |(history, length)| {
            runtime.block_on(async {
                let registry = Registry::open().await;
                let location = registry
                    .post("/v2/a/blobs/uploads/")
                    .send()
                    .await
                    .expect(202)
                    .location();
                let mut upload = Upload {
                    registry,
                    location,
                    blob: Blob::sized("x", length),
                    offset: 0,
                };
                for step in &history {
                    upload = upload.step(step).await;
                }
                upload.finish().await;
            });
            Ok(())
        })
        .unwrap();
}
