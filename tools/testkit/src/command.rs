//! Commands of the binary.

use super::{Database, patiently, process::command};
use std::process::{Output, Stdio};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, Command},
};

/// The end of a command.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; none if it was killed.
    pub code: Option<i32>,
    /// The standard output.
    pub output: Vec<u8>,
    /// The standard error.
    pub errors: String,
}

impl Ended {
    /// Checks that it succeeded; gives its standard output.
    #[track_caller]
    pub fn expect_success(self) -> Vec<u8> {
        assert_eq!(self.code, Some(0), "{}", self.errors);
        self.output
    }

    /// Checks that it failed with these words; gives its standard error.
    #[track_caller]
    pub fn expect_failure(self, words: &[&str]) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        for word in words {
            assert!(self.errors.contains(word), "{word:?}: {}", self.errors);
        }
        assert!(!self.errors.contains("panicked"), "{}", self.errors);
        self.errors
    }

    /// Its standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
            output: output.stdout,
        }
    }
}

impl Database {
    /// Runs a command on this database, without input.
    pub async fn command(&self, args: &[&str]) -> Ended {
        self.command_with(args, b"").await
    }

    /// Runs a command on this database, with this input.
    pub async fn command_with(&self, args: &[&str], input: &[u8]) -> Ended {
        let (child, mut stdin) = self.begin_command(args);
        let feeding = async move {
            // A command that refuses may end before it has read everything.
            let _ = stdin.write_all(input).await;
        };
        let ending = child.wait_with_output();
        let (output, ()) =
            patiently("a command to end", async { tokio::join!(ending, feeding) }).await;
        output.expect("how it ended").into()
    }

    /// Begins a command, and gives its input to the caller.
    pub fn begin_command(&self, args: &[&str]) -> (Child, ChildStdin) {
        let mut command: Command = command(
            self.folder.path(),
            &[("DATABASE_URL", &self.url), ("LOG", "warn")],
        );
        command.args(args).stdin(Stdio::piped());
        let mut child = command.spawn().expect("the binary");
        let stdin = child.stdin.take().expect("its standard input");
        (child, stdin)
    }

    /// The archive of this database, made by the binary.
    pub async fn export(&self) -> Vec<u8> {
        self.command(&["export"]).await.expect_success()
    }

    /// Imports an archive.
    pub async fn import(&self, archive: &[u8]) -> Ended {
        self.command_with(&["import"], archive).await
    }
}
