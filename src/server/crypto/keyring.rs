//! Envelope encryption: each secret has a data key of its own, wrapped by the key file that is outside the database.
//!
//! A sealed value is, in this order:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version of this form: 1 |
//! | 8 | id of the master key: says which key is missing, and lets a later one take over value by value |
//! | 12 | nonce of the wrapping |
//! | 48 | data key, AES-256-GCM under the master key, and its tag |
//! | rest | the secret, AES-256-GCM under the data key, and its tag |
//!
//! The data key encrypts once, so its nonce is fixed. Version, key id and the caller's context are authenticated on both
//! layers: a value moved to another row, or half of it swapped, does not open.

use super::{derived::Passwords, random};
use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use anyhow::{Context, bail, ensure};
use secrecy::{ExposeSecret, SecretBox, SecretString, zeroize::Zeroizing};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const WRAPPED_BYTES: usize = KEY_BYTES + TAG_BYTES;
const HEAD_BYTES: usize = 1 + ID_BYTES + NONCE_BYTES + WRAPPED_BYTES;

/// Seals and opens secrets with the master key.
pub struct Keyring {
    key: SecretBox<[u8; KEY_BYTES]>,
    id: [u8; ID_BYTES],
}

impl Keyring {
    /// Reads the master key from its file. Makes the file, and its directory, when there is none; never replaces one.
    /// Two processes that do this at once end with the same key.
    ///
    /// # Errors
    /// When the file cannot be read or made, belongs to somebody else, can be read by others, or is not a key.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make(path).with_context(|| format!("the master key could not be made at {}", path.display()))?;
                File::open(path)
            }
            opened => opened,
        };
        let file = file.with_context(|| format!("the master key at {} cannot be opened", path.display()))?;
        read(&file).with_context(|| format!("{} cannot be used as the master key", path.display()))
    }

    /// Reads the master key as [`Keyring::open`] does; `None` when there is none. Makes nothing.
    ///
    /// # Errors
    /// When the file cannot be read, belongs to somebody else, can be read by others, or is not a key.
    pub fn existing(path: &Path) -> anyhow::Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.with_context(|| format!("the master key at {} cannot be opened", path.display()))?,
        };
        read(&file).map(Some).with_context(|| format!("{} cannot be used as the master key", path.display()))
    }

    fn new(key: SecretBox<[u8; KEY_BYTES]>) -> Self {
        let digest = Sha256::new().chain_update(b"granary master key id").chain_update(key.expose_secret()).finalize();
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&digest[..ID_BYTES]);
        Self { key, id }
    }

    /// Seals a secret for one place, such as `<datastore>/admin-password`; it opens only with the same context.
    ///
    /// # Errors
    /// Only when the secret is larger than AES-GCM's 64 GB.
    pub fn seal(&self, context: &str, secret: &SecretString) -> anyhow::Result<Vec<u8>> {
        let data_key = Zeroizing::new(random::bytes::<KEY_BYTES>());
        let nonce = random::bytes::<NONCE_BYTES>();
        let wrapped = encrypt(self.key.expose_secret(), nonce, data_key.as_slice(), &self.bound("key", context))?;
        let sealed = encrypt(&data_key, [0; NONCE_BYTES], secret.expose_secret().as_bytes(), &self.bound("data", context))?;
        Ok([&[VERSION][..], &self.id, &nonce, &wrapped, &sealed].concat())
    }

    /// Opens what [`Keyring::seal`] sealed for the same context.
    ///
    /// # Errors
    /// When it was sealed with another master key or for another context, or was changed since.
    pub fn open_sealed(&self, context: &str, sealed: &[u8]) -> anyhow::Result<SecretString> {
        ensure!(sealed.len() >= HEAD_BYTES + TAG_BYTES, "the sealed value of {context} is cut short");
        ensure!(sealed[0] == VERSION, "the sealed value of {context} has form {}, this Granary knows {VERSION}", sealed[0]);
        let (id, rest) = sealed[1..].split_at(ID_BYTES);
        if id != self.id {
            bail!("{context} was sealed with master key {}, but the key file holds {}: put the old key file back", hex(id), hex(&self.id));
        }
        let (nonce, rest) = rest.split_at(NONCE_BYTES);
        let (wrapped, data) = rest.split_at(WRAPPED_BYTES);
        let changed = || format!("the sealed value of {context} does not open: it was changed, or belongs to another place");
        let data_key = decrypt(self.key.expose_secret(), nonce, wrapped, &self.bound("key", context)).with_context(changed)?;
        let plain = decrypt(&data_key, &[0; NONCE_BYTES], data, &self.bound("data", context)).with_context(changed)?;
        Ok(SecretString::from(str::from_utf8(&plain).with_context(changed)?))
    }

    /// The passwords that follow from the master key. Another key makes others.
    #[must_use]
    pub fn passwords(&self) -> Passwords {
        Passwords::from_key(self.key.expose_secret())
    }

    fn bound(&self, layer: &str, context: &str) -> Vec<u8> {
        [&[VERSION][..], &self.id, layer.as_bytes(), b"\0", context.as_bytes()].concat()
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({})", hex(&self.id))
    }
}

fn encrypt(key: &[u8; KEY_BYTES], nonce: [u8; NONCE_BYTES], msg: &[u8], aad: &[u8]) -> anyhow::Result<Vec<u8>> {
    let cipher = Aes256Gcm::new(key.into());
    cipher.encrypt(&Nonce::from(nonce), Payload { msg, aad }).map_err(|_| anyhow::anyhow!("the secret is too large to seal"))
}

fn decrypt(key: &[u8], nonce: &[u8], msg: &[u8], aad: &[u8]) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let cipher = Aes256Gcm::new_from_slice(key)?;
    let plain = cipher.decrypt(Nonce::from_slice(nonce), Payload { msg, aad }).map_err(|_| anyhow::anyhow!("authentication failed"))?;
    Ok(Zeroizing::new(plain))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Puts a new key at `path` whole or not at all, and durably; leaves one that came to be there meanwhile.
fn make(path: &Path) -> anyhow::Result<()> {
    let directory = path.parent().context("a file needs a directory")?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let draft = Draft(directory.join(format!(".master.{}", hex(&random::bytes::<8>()))));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft.0)?;
    file.write_all(Zeroizing::new(random::bytes::<KEY_BYTES>()).as_slice())?;
    file.sync_all()?;
    // A link, unlike a rename, never replaces a key that another process has just put there.
    match fs::hard_link(&draft.0, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
        _ => File::open(directory)?.sync_all()?,
    }
    Ok(())
}

/// A file that is removed again, whatever happens.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn read(mut file: &File) -> anyhow::Result<Keyring> {
    let metadata = file.metadata()?;
    let me = rustix::process::geteuid().as_raw();
    ensure!(metadata.is_file(), "it is not a file");
    ensure!(metadata.uid() == me || metadata.uid() == 0, "it belongs to user {}, not to {me}: chown it", metadata.uid());
    let others = metadata.mode() & 0o077;
    ensure!(others == 0, "others can read it (mode {:o}): chmod 600 it, and replace the secrets it guards", metadata.mode() & 0o777);
    ensure!(metadata.len() == KEY_BYTES as u64, "it has {} bytes instead of {KEY_BYTES}: put the right file back", metadata.len());
    let mut key = Box::new([0; KEY_BYTES]);
    let result = file.read_exact(key.as_mut_slice());
    let keyring = Keyring::new(SecretBox::new(key));
    result?;
    Ok(keyring)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::fs::PermissionsExt, thread};

    fn keyring() -> Keyring {
        Keyring::new(SecretBox::new(Box::new(random::bytes())))
    }

    fn failure(result: anyhow::Result<impl Sized>) -> String {
        format!("{:#}", result.err().expect("a failure"))
    }

    #[test]
    fn the_key_file_is_made_once_for_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keys/master.key");
        let made = Keyring::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
        let sealed = made.seal("here", &"secret".into()).unwrap();
        assert_eq!(Keyring::open(&path).unwrap().open_sealed("here", &sealed).unwrap().expose_secret(), "secret");
    }

    #[test]
    fn processes_that_make_the_key_at_once_end_with_the_same() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("master.key");
        let ids: Vec<_> = thread::scope(|scope| {
            let open: Vec<_> = (0..8).map(|_| scope.spawn(|| Keyring::open(&path).unwrap().id)).collect();
            open.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]));
    }

    #[test]
    fn a_key_file_that_is_not_safe_is_refused_and_kept() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("master.key");
        Keyring::open(&path).unwrap();
        let before = fs::read(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(failure(Keyring::open(&path)).contains("others can read it (mode 640)"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before);
        for (content, says) in [(&before[..31], "31 bytes"), (&[], "0 bytes")] {
            fs::write(&path, content).unwrap();
            let failure = failure(Keyring::open(&path));
            assert!(failure.contains(says) && failure.contains("master.key"), "{failure}");
            assert_eq!(fs::read(&path).unwrap(), content, "it is left as it is");
        }
    }

    #[test]
    fn a_sealed_value_opens_only_in_its_place_and_whole() {
        let keyring = keyring();
        let sealed = keyring.seal("a/admin-password", &"correct horse".into()).unwrap();
        assert_eq!(keyring.open_sealed("a/admin-password", &sealed).unwrap().expose_secret(), "correct horse");
        assert!(failure(keyring.open_sealed("b/admin-password", &sealed)).contains("another place"));
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(keyring.open_sealed("a/admin-password", &changed).is_err(), "byte {position} is authenticated");
            assert!(keyring.open_sealed("a/admin-password", &sealed[..position]).is_err(), "cut at {position}");
        }
    }

    #[test]
    fn layers_of_two_values_cannot_be_mixed() {
        let keyring = keyring();
        let (one, two) = (keyring.seal("here", &"one".into()).unwrap(), keyring.seal("here", &"two".into()).unwrap());
        assert!(keyring.open_sealed("here", &[&one[..HEAD_BYTES], &two[HEAD_BYTES..]].concat()).is_err());
        assert!(!one.windows(3).any(|w| w == b"one"));
        assert_ne!(one, keyring.seal("here", &"one".into()).unwrap(), "each sealing has a data key and a nonce of its own");
    }

    #[test]
    fn a_value_of_another_key_names_both_keys() {
        let (ours, theirs) = (keyring(), keyring());
        let failure = failure(ours.open_sealed("here", &theirs.seal("here", &"x".into()).unwrap()));
        assert!(failure.contains(&hex(&ours.id)) && failure.contains(&hex(&theirs.id)), "{failure}");
    }

    #[test]
    fn an_empty_secret_can_be_sealed() {
        let keyring = keyring();
        assert!(keyring.open_sealed("here", &keyring.seal("here", &"".into()).unwrap()).unwrap().expose_secret().is_empty());
    }
}
