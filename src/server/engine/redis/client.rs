//! Granary's own session, over the node's socket: as much of the protocol (RESP 2) as its few commands need.
//!
//! What goes wrong is told without what was sent: verifiers stand in it.

use super::{ADMIN, SOCKET};
use crate::server::platform::{Dial, NodeSpec, Platform, Stream};
use anyhow::{Context, bail, ensure};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    time::timeout,
};

/// For one answer. None of the commands waits for anything.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest answer that is read: a line of it, or a text.
const MOST: u64 = 1 << 20;

/// What the server refuses, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("the server says: {0}")]
pub(super) struct Refusal(pub(super) String);

/// A session; its end closes the connection.
pub(super) struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

impl Client {
    /// Opens one as nobody. At most 5 s.
    pub(super) async fn open(platform: &dyn Platform, node: &NodeSpec) -> anyhow::Result<Self> {
        Ok(Self::over(platform.dial(node, Dial::Socket(SOCKET)).await.context("the server's socket cannot be reached")?))
    }

    /// Opens one as Granary's own user. At most 10 s.
    pub(super) async fn sign_in(platform: &dyn Platform, node: &NodeSpec, password: &SecretString) -> anyhow::Result<Self> {
        Self::open(platform, node).await?.signed_in(ADMIN, password).await
    }

    /// Over a stream that somebody else opened.
    pub(super) fn over(stream: Box<dyn Stream>) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// The same session as another user.
    pub(super) async fn signed_in(mut self, user: &str, password: &SecretString) -> anyhow::Result<Self> {
        self.ask(&["AUTH", user, password.expose_secret()]).await.context("Granary cannot sign in")?;
        Ok(self)
    }

    /// Sends a command and returns its answer.
    pub(super) async fn ask(&mut self, words: &[&str]) -> anyhow::Result<String> {
        let name = words.first().copied().unwrap_or_default();
        let answer = timeout(LIMIT, self.exchange(words)).await;
        answer.with_context(|| format!("the server did not answer {name} within {} s", LIMIT.as_secs()))?
    }

    /// Sends a command that is answered with a list of texts.
    pub(super) async fn list(&mut self, words: &[&str]) -> anyhow::Result<Vec<String>> {
        let name = words.first().copied().unwrap_or_default();
        let read = async {
            let count: u64 = self.exchange(words).await?.parse().context("the server told no number of answers")?;
            ensure!(count <= MOST, "the server's answer has {count} parts");
            let mut texts = Vec::new();
            for _ in 0..count {
                texts.push(self.answer().await?);
            }
            Ok(texts)
        };
        timeout(LIMIT, read).await.with_context(|| format!("the server did not answer {name} within {} s", LIMIT.as_secs()))?
    }

    /// Sends a command that is done or refused.
    pub(super) async fn act(&mut self, words: &[&str]) -> anyhow::Result<()> {
        let says = self.ask(words).await?;
        ensure!(says == "OK", "the server says: {says}");
        Ok(())
    }

    async fn exchange(&mut self, words: &[&str]) -> anyhow::Result<String> {
        self.stream.write_all(&command(words)).await?;
        self.stream.flush().await?;
        self.answer().await
    }

    /// The next answer; of a list, how many there are.
    async fn answer(&mut self) -> anyhow::Result<String> {
        let line = self.line().await?;
        let (kind, rest) = line.split_at_checked(1).context("the server answered with nothing")?;
        match kind {
            "+" | ":" | "*" => Ok(rest.to_owned()),
            "-" => Err(Refusal(rest.to_owned()).into()),
            "$" => self.text(rest).await,
            _ => bail!("the server answered with something that was not asked for"),
        }
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let mut line = Vec::new();
        (&mut self.stream).take(MOST).read_until(b'\n', &mut line).await?;
        let line = line.strip_suffix(b"\r\n").context("the server closed the connection")?;
        Ok(String::from_utf8_lossy(line).into_owned())
    }

    /// A text of a length that is told beforehand; -1 is the length of what is not there.
    async fn text(&mut self, length: &str) -> anyhow::Result<String> {
        if length == "-1" {
            return Ok(String::new());
        }
        let length: u64 = length.parse().context("the server told no length")?;
        ensure!(length <= MOST, "the server's answer has {length} bytes");
        let mut text = vec![0; usize::try_from(length)? + 2];
        self.stream.read_exact(&mut text).await?;
        text.truncate(text.len() - 2);
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Each word with its length before it, so that nothing in one can end it.
fn command(words: &[&str]) -> Vec<u8> {
    words.iter().fold(format!("*{}\r\n", words.len()), |text, word| text + &format!("${}\r\n{word}\r\n", word.len())).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(bytes: &[u8]) -> anyhow::Result<String> {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(bytes).await?;
        theirs.shutdown().await?;
        Client { stream: BufReader::new(Box::new(ours)) }.ask(&["PING"]).await
    }

    #[test]
    fn nothing_in_a_word_ends_it() {
        assert_eq!(command(&["SET", "a b\r\n*1", "ä"]), "*3\r\n$3\r\nSET\r\n$6\r\na b\r\n*1\r\n$2\r\nä\r\n".replace("$6", "$7").as_bytes());
    }

    #[tokio::test]
    async fn answers_are_read_to_their_end() {
        for (sent, read) in [("+OK\r\n", "OK"), (":7\r\n", "7"), ("$4\r\na\r\nb\r\n", "a\r\nb"), ("$-1\r\n", ""), ("$0\r\n\r\n", "")] {
            assert_eq!(answer(sent.as_bytes()).await.unwrap(), read);
        }
        let refused = answer(b"-LOADING not yet\r\n").await.unwrap_err();
        assert_eq!(refused.downcast_ref::<Refusal>().unwrap().0, "LOADING not yet");
    }

    #[tokio::test]
    async fn a_list_is_read_to_its_end() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(b"*2\r\n$3\r\na b\r\n:7\r\n+OK\r\n").await.unwrap();
        let mut client = Client::over(Box::new(ours));
        assert_eq!(client.list(&["ACL", "LIST"]).await.unwrap(), ["a b", "7"]);
        assert_eq!(client.ask(&["PING"]).await.unwrap(), "OK", "what follows is the next answer");
    }

    #[tokio::test]
    async fn answers_that_are_none_are_errors() {
        for (sent, says) in [
            ("", "closed"),
            ("+OK", "closed"),
            ("\r\n", "nothing"),
            ("!1\r\n:1\r\n", "not asked for"),
            ("$x\r\n", "no length"),
            ("$9999999999\r\n", "9999999999 bytes"),
            ("$5\r\nab\r\n", "eof"),
        ] {
            let error = format!("{:#}", answer(sent.as_bytes()).await.unwrap_err());
            assert!(error.contains(says), "{sent:?}: {error}");
        }
    }
}
