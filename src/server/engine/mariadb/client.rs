//! As much of the MySQL protocol as Granary's own sessions and a drill's probe need: sign in over any stream, and ask in text.
//!
//! The crates that speak it (`mysql_async`, `sqlx`) open their connections themselves, by a path or a host of this machine. A
//! node's server is reached through its platform, which hands out a stream; so these few messages are read and written here.
//! What goes wrong is told without what was sent: verifiers stand in it.

use crate::server::platform::Stream;
use anyhow::{Context, bail, ensure};
use secrecy::{ExposeSecret, SecretString};
use sha1::{Digest, Sha1};
use std::{future::Future, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// For signing in.
const SIGN_IN: Duration = Duration::from_secs(5);
/// Longest message that is read; one of exactly this length would go on in the next.
const MOST: usize = 0xff_ffff;
/// `utf8mb4_general_ci`.
const CHARSET: u8 = 45;
/// `CLIENT_MYSQL | CLIENT_PROTOCOL_41 | CLIENT_TRANSACTIONS | CLIENT_SECURE_CONNECTION | CLIENT_PLUGIN_AUTH`: no files of the client,
/// no several statements in one.
const CAPABILITIES: u32 = 0x1 | 0x200 | 0x2000 | 0x8000 | 0x8_0000;
/// `CLIENT_SSL`.
const TLS: u32 = 0x800;
/// How a password is proved.
const NATIVE: &str = "mysql_native_password";
/// `COM_QUERY`.
const QUERY: u8 = 3;

/// What the server refuses, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("the server says: {text} ({code})")]
pub(super) struct Refusal {
    /// Its number, such as 1045.
    pub(super) code: u16,
    text: String,
}

/// What a query found.
#[derive(Debug, Default)]
pub(super) struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

impl Rows {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A column of each row; empty where it is NULL.
    pub(super) fn column(&self, name: &str) -> anyhow::Result<Vec<&str>> {
        let at = self.columns.iter().position(|column| column == name).with_context(|| format!("the server's answer has no column {name}"))?;
        Ok(self.rows.iter().map(|row| row.get(at).and_then(Option::as_deref).unwrap_or_default()).collect())
    }

    /// A column of the first row.
    pub(super) fn get(&self, name: &str) -> anyhow::Result<&str> {
        self.column(name)?.first().copied().context("the server gave no answer")
    }
}

/// A session; its end closes the connection.
pub(super) struct Client {
    stream: Box<dyn Stream>,
    /// Of the next message in this exchange.
    sequence: u8,
}

impl Client {
    /// Signs in as the user of the operating system at this end of a socket.
    pub(super) async fn by_peer(stream: Box<dyn Stream>, user: &str) -> anyhow::Result<Self> {
        let sign_in = async {
            let (mut client, _) = Self::greeted(stream).await?;
            client.write(&answer(user, &[], CAPABILITIES)).await?;
            client.admitted(None).await?;
            Ok(client)
        };
        timeout(SIGN_IN, sign_in).await.context("the server does not answer")?
    }

    /// Signs in by a password once the stream is secured and the server has proved who it is.
    pub(super) async fn by_password<F>(
        stream: Box<dyn Stream>,
        secure: impl FnOnce(Box<dyn Stream>) -> F + Send,
        user: &str,
        password: &SecretString,
    ) -> anyhow::Result<Self>
    where
        F: Future<Output = anyhow::Result<Box<dyn Stream>>> + Send,
    {
        let sign_in = async {
            let (mut client, greeting) = Self::greeted(stream).await?;
            client.write(&head(CAPABILITIES | TLS)).await?;
            client.stream = secure(client.stream).await?;
            client.write(&answer(user, &proof(password, &greeting.nonce), CAPABILITIES | TLS)).await?;
            client.admitted(Some(password)).await?;
            Ok(client)
        };
        timeout(SIGN_IN, sign_in).await.context("the server does not answer")?
    }

    async fn greeted(stream: Box<dyn Stream>) -> anyhow::Result<(Self, Greeting)> {
        let mut client = Self { stream, sequence: 0 };
        let greeting = client.read().await?;
        Ok((client, Greeting::read(&greeting)?))
    }

    /// Reads whether the server admits it, which may ask for another proof first.
    async fn admitted(&mut self, password: Option<&SecretString>) -> anyhow::Result<()> {
        loop {
            let says = self.read().await?;
            match (says.first(), password) {
                (Some(0), _) => return Ok(()),
                (Some(0xfe), Some(password)) => {
                    let mut rest = Bytes(says.get(1..).unwrap_or_default());
                    let plugin = rest.until_nul()?;
                    ensure!(plugin == NATIVE.as_bytes(), "the server asks for a proof that is not known here");
                    let nonce = rest.0.strip_suffix(&[0]).unwrap_or(rest.0);
                    let proof = proof(password, nonce);
                    self.write(&proof).await?;
                }
                _ => {
                    return Err(
                        refusal(&says).unwrap_or_else(|| anyhow::anyhow!("the server asks for a password: it knows nobody by the peer's name"))
                    );
                }
            }
        }
    }

    /// Runs a statement, for at most `limit`.
    pub(super) async fn ask(&mut self, sql: &str, limit: Duration) -> anyhow::Result<Rows> {
        timeout(limit, self.exchange(sql)).await.with_context(|| format!("the server did not answer within {} s", limit.as_secs()))?
    }

    async fn exchange(&mut self, sql: &str) -> anyhow::Result<Rows> {
        self.sequence = 0;
        self.write(&[&[QUERY], sql.as_bytes()].concat()).await?;
        let says = self.read().await?;
        if let Some(refusal) = refusal(&says) {
            return Err(refusal);
        }
        if says.first() == Some(&0) {
            return Ok(Rows::default());
        }
        let mut rows = Rows::default();
        for _ in 0..Bytes(&says).number()?.context("the server tells no number of columns")? {
            let column = self.read().await?;
            // Catalogue, schema, table, the table's own name; then the column's.
            let mut fields = Bytes(&column);
            for _ in 0..4 {
                fields.text()?;
            }
            rows.columns.push(fields.text()?.unwrap_or_default());
        }
        ensure!(is_end(&self.read().await?), "the server's answer has no end of columns");
        loop {
            let says = self.read().await?;
            if is_end(&says) {
                return Ok(rows);
            }
            if let Some(refusal) = refusal(&says) {
                return Err(refusal);
            }
            let mut fields = Bytes(&says);
            rows.rows.push((0..rows.columns.len()).map(|_| fields.text()).collect::<Result<_, _>>()?);
        }
    }

    async fn read(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).await.context("the server closed the connection")?;
        let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
        ensure!(length < MOST, "the server's answer is too long");
        self.sequence = head[3].wrapping_add(1);
        let mut message = vec![0; length];
        self.stream.read_exact(&mut message).await.context("the server closed the connection")?;
        Ok(message)
    }

    async fn write(&mut self, message: &[u8]) -> anyhow::Result<()> {
        ensure!(message.len() < MOST, "that is too much for one message");
        let length = u32::try_from(message.len())?.to_le_bytes();
        let head = [length[0], length[1], length[2], self.sequence];
        self.stream.write_all(&[&head, message].concat()).await?;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(self.stream.flush().await?)
    }
}

/// What a server says first.
struct Greeting {
    nonce: Vec<u8>,
}

impl Greeting {
    fn read(message: &[u8]) -> anyhow::Result<Self> {
        if let Some(refusal) = refusal(message) {
            return Err(refusal);
        }
        let mut rest = Bytes(message);
        ensure!(rest.take(1)? == [10], "what answers speaks another protocol");
        rest.until_nul()?;
        // The connection's number; then the nonce's first part, and what the server can.
        rest.take(4)?;
        let first = rest.take(8)?.to_vec();
        rest.take(1 + 2 + 1 + 2 + 2 + 1 + 10)?;
        Ok(Self { nonce: [&first, rest.take(12)?].concat() })
    }
}

/// The part of an answer to a greeting that comes before TLS.
fn head(capabilities: u32) -> Vec<u8> {
    let most = u32::try_from(MOST).unwrap_or(u32::MAX);
    [&capabilities.to_le_bytes()[..], &most.to_le_bytes(), &[CHARSET], &[0; 23]].concat()
}

fn answer(user: &str, proof: &[u8], capabilities: u32) -> Vec<u8> {
    let length = u8::try_from(proof.len()).unwrap_or(0);
    [&head(capabilities), user.as_bytes(), &[0, length], proof, NATIVE.as_bytes(), &[0]].concat()
}

/// `SHA1(password) XOR SHA1(nonce, SHA1(SHA1(password)))`.
fn proof(password: &SecretString, nonce: &[u8]) -> Vec<u8> {
    let once = Sha1::digest(password.expose_secret().as_bytes());
    let mask = Sha1::new().chain_update(nonce).chain_update(Sha1::digest(once)).finalize();
    once.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

/// An end of columns or rows; a row may begin with the same byte, and is longer.
fn is_end(message: &[u8]) -> bool {
    message.first() == Some(&0xfe) && message.len() < 9
}

fn refusal(message: &[u8]) -> Option<anyhow::Error> {
    let rest = message.strip_prefix(&[0xff])?;
    let code = u16::from_le_bytes([*rest.first()?, *rest.get(1)?]);
    let text = rest.get(2..)?;
    // Its state in five letters is not said before the greeting.
    let text = if text.first() == Some(&b'#') { text.get(6..)? } else { text };
    Some(Refusal { code, text: String::from_utf8_lossy(text).into_owned() }.into())
}

/// What is left of a message.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> anyhow::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).context("the server's message is cut")?;
        self.0 = rest;
        Ok(taken)
    }

    fn until_nul(&mut self) -> anyhow::Result<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0).context("the server's message is cut")?;
        let taken = self.take(end)?;
        self.take(1)?;
        Ok(taken)
    }

    /// A number of one to nine bytes; `None` for NULL.
    fn number(&mut self) -> anyhow::Result<Option<usize>> {
        let length = match self.take(1)?[0] {
            0xfb => return Ok(None),
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            0xff => bail!("the server's message is none"),
            small => return Ok(Some(small.into())),
        };
        let bytes = self.take(length)?;
        Ok(Some(usize::try_from(bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))?))
    }

    fn text(&mut self) -> anyhow::Result<Option<String>> {
        let Some(length) = self.number()? else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(self.take(length)?).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that reads these messages as answers.
    async fn reads(messages: &[&[u8]]) -> anyhow::Result<Rows> {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        for (sequence, message) in messages.iter().enumerate() {
            let length = u32::try_from(message.len())?.to_le_bytes();
            theirs.write_all(&[&length[..3], &[u8::try_from(sequence + 1)?], message].concat()).await?;
        }
        theirs.shutdown().await?;
        Client { stream: Box::new(ours), sequence: 0 }.ask("SELECT 1", SIGN_IN).await
    }

    const COLUMN: &[u8] = b"\x03def\x00\x00\x00\x01n\x00\x0c\x2d\x00\x01\x00\x00\x00\xfd\x00\x00\x00\x00\x00";
    const END: &[u8] = b"\xfe\x00\x00\x02\x00";

    #[tokio::test]
    async fn rows_are_read_to_their_end() {
        let long = [&b"\xfc\x2c\x01"[..], &[b'x'; 300]].concat();
        let rows = reads(&[b"\x01", COLUMN, END, b"\x01a", b"\xfb", &long, END]).await.unwrap();
        assert_eq!(rows.column("n").unwrap(), ["a", "", "x".repeat(300).as_str()]);
        assert_eq!((rows.get("n").unwrap(), rows.is_empty()), ("a", false));
        assert!(rows.column("m").unwrap_err().to_string().contains("no column m"));
        assert!(reads(&[b"\x01", COLUMN, END, END]).await.unwrap().is_empty());
        assert!(reads(&[b"\x00\x00\x00\x02\x00\x00\x00"]).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn refusals_are_told_in_the_servers_words_and_what_is_cut_is_an_error() {
        let refused = reads(&[b"\xff\x15\x04#28000Access denied"]).await.unwrap_err();
        assert_eq!(refused.downcast_ref::<Refusal>().unwrap().code, 1045);
        assert_eq!(refused.to_string(), "the server says: Access denied (1045)");
        let amid = reads(&[b"\x01", COLUMN, END, b"\xff\x25\x05#70100Query was interrupted"]).await.unwrap_err();
        assert_eq!(amid.downcast_ref::<Refusal>().unwrap().code, 1317);
        for (messages, says) in [
            (&[][..], "closed"),
            (&[b"\x01".as_slice()][..], "closed"),
            (&[b"\x01", COLUMN, b"\x01a"], "no end of columns"),
            (&[b"\x01", COLUMN, END, b"\x05a"], "cut"),
            (&[b"\xfb/etc/passwd"], "no number of columns"),
        ] {
            let error = format!("{:#}", reads(messages).await.unwrap_err());
            assert!(error.contains(says), "{messages:?}: {error}");
        }
        let full = Greeting::read(b"\xff\x10\x04Too many connections").err().unwrap();
        assert_eq!(full.to_string(), "the server says: Too many connections (1040)");
    }

    #[test]
    fn a_password_is_proved_as_the_protocol_says() {
        // Of the server's own check: the proof with the stored hash gives back what hashes to it.
        let (password, nonce) = (SecretString::from("pencil"), [7; 20]);
        let stored = Sha1::digest(Sha1::digest(b"pencil"));
        let mask = Sha1::new().chain_update(nonce).chain_update(stored).finalize();
        let once: Vec<u8> = proof(&password, &nonce).iter().zip(mask).map(|(a, b)| a ^ b).collect();
        assert_eq!(Sha1::digest(once), stored);
    }
}
