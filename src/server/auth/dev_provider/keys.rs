//! The provider's keys: new with each start.

use anyhow::anyhow;
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use openidconnect::{
    JsonWebKeyId, PrivateSigningKey,
    core::{CoreEdDsaPrivateSigningKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const ID: &str = "dev";
/// What stands before an Ed25519 seed in PKCS #8 (RFC 8410, section 7).
const PKCS8: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The key tokens are signed with.
pub(super) struct Keys(CoreEdDsaPrivateSigningKey);

impl Keys {
    pub(super) fn new() -> anyhow::Result<Self> {
        let der = [&PKCS8[..], &rand::random::<[u8; 32]>()].concat();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der));
        CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(JsonWebKeyId::new(ID.to_owned()))).map(Self).map_err(|e| anyhow!(e))
    }

    /// What others verify with.
    pub(super) fn public(&self) -> CoreJsonWebKeySet {
        CoreJsonWebKeySet::new(vec![self.0.as_verification_key()])
    }

    /// A JSON Web Token.
    pub(super) fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": ID })), part(claims));
        Ok(format!("{message}.{}", self.signature(&message)?))
    }

    /// What a token of this key says. An Ed25519 signature is always the same for the same message, so it is made again.
    pub(super) fn open<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        let (message, signature) = token.rsplit_once('.')?;
        if Sha256::digest(self.signature(message).ok()?) != Sha256::digest(signature) {
            return None;
        }
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(message.split_once('.')?.1).ok()?).ok()
    }

    fn signature(&self, message: &str) -> anyhow::Result<String> {
        Ok(BASE64_URL_SAFE_NO_PAD.encode(self.0.sign(&CoreJwsSigningAlgorithm::EdDsa, message.as_bytes())?))
    }
}

/// 256 random bits.
pub(super) fn random() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}
