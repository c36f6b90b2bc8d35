//! Tokens of instances: who signed one in speaks for it, and nobody else.
//!
//! A registration may bring a token in `x-callboard-token`, or is given one where the server has a secret. The registry keeps its SHA-256. From then on the
//! instance is registered anew only with the same token, and renewed, reported on and signed out only with a proof of it, which is good once: in
//! `x-callboard-proof`, a sequence number, a point, and 64 hexadecimal digits that are
//!
//! ```text
//! HMAC-SHA-256(key: SHA-256(token), "callboard proof\n" VERB "\n" EPOCH "\n" HANDLE "\n" SEQUENCE "\n" QUERY "\n" SHA-256(BODY) in hexadecimal)
//! ```
//! The verb is `renew`, `health` or `deregister`; epoch and handle are those of the answer to the registration, and name this life of the instance; the sequence
//! number is above every one before in it, such as the time in microseconds; the query is as it is sent. So a request that somebody has seen cannot be sent
//! again, changed, or used for another instance, another life of it or another operation. The registration itself carries the token: it must not be seen.

use alloc::string::{String, ToString as _};

use hmac_sha256::{HMAC, Hash};

use super::http::Request;
use crate::error::{Code, Error};
use crate::hex::{hex, unhex};
use crate::model::Handle;
use crate::registry::{Guard, TokenDigest};
use crate::value::Value;

/// Bytes of a token.
const SHORTEST: usize = 16;
const LONGEST: usize = 256;

/// What a request shows of a token.
#[derive(Clone, Debug, Default)]
pub(super) enum Shown {
    #[default]
    Nothing,
    /// The token itself: only a registration may.
    Token(TokenDigest),
    Proof(Proof),
}

/// That whoever asks holds a token.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    sequence: u64,
    mac: [u8; 32],
    /// What the request is, without the life of the instance.
    verb: &'static str,
    query: String,
    body: [u8; 32],
}

/// A server's secret, from which it draws tokens. It is not printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret([u8; 32]);

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// # Errors
    /// [`Code::InvalidArgument`] when it is short enough to be guessed.
    pub(super) fn from_value(value: &Value) -> Result<Self, Error> {
        let long = value.as_str().filter(|text| text.len() >= 32);
        let text = long.ok_or_else(|| Error::new(Code::InvalidArgument, "secret").message("text of at least 32 bytes"))?;
        Ok(Self(Hash::hash(text.as_bytes())))
    }

    /// The token of a life of an instance.
    pub(super) fn token(&self, epoch: u64, handle: Handle) -> String {
        let life = alloc::format!("callboard token\n{epoch}\n{}", handle.to_bits());
        hex(&HMAC::mac(life.as_bytes(), self.0))
    }
}

/// The digest of a token, which is what is kept of it.
pub(super) fn digest(token: &str) -> TokenDigest {
    TokenDigest(Hash::hash(token.as_bytes()))
}

impl Shown {
    /// The token that a registration brings, if it does.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`].
    pub(super) fn token(request: &Request<'_>) -> Result<Self, Error> {
        let token = request.header("x-callboard-token");
        if token.is_empty() {
            return Ok(Self::Nothing);
        }
        let is_good = (SHORTEST..=LONGEST).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        let wrong = || Error::new(Code::InvalidArgument, "x-callboard-token").message("16 to 256 printable characters without blanks");
        is_good.then(|| Self::Token(digest(token))).ok_or_else(wrong)
    }

    /// The proof that a request brings, if it does.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`].
    pub(super) fn proof(request: &Request<'_>, verb: &'static str) -> Result<Self, Error> {
        let text = request.header("x-callboard-proof");
        if text.is_empty() {
            return Ok(Self::Nothing);
        }
        let wrong = || Error::new(Code::InvalidArgument, "x-callboard-proof").message("a sequence number, a point, 64 hexadecimal digits");
        let (sequence, mac) = text.split_once('.').ok_or_else(wrong)?;
        let digits = !sequence.is_empty() && sequence.bytes().all(|byte| byte.is_ascii_digit());
        let sequence = sequence.parse::<u64>().ok().filter(|sequence| digits && *sequence < 1 << 53).ok_or_else(wrong)?;
        let mac = unhex(mac).ok_or_else(wrong)?;
        Ok(Self::Proof(Proof { sequence, mac, verb, query: request.query.into(), body: Hash::hash(request.body) }))
    }

    /// Whether it lets whoever asks speak for a record: the sequence number to take then.
    ///
    /// # Errors
    /// [`Code::PermissionDenied`].
    pub(super) fn opens(&self, guard: &Guard, epoch: u64, handle: Handle) -> Result<Option<u64>, Error> {
        let denied = |field, message| Err(Error::new(Code::PermissionDenied, field).message(message));
        match self {
            Self::Nothing => denied("token", "who signed it in holds a token"),
            Self::Token(digest) if is_same(&digest.0, &guard.digest.0) => Ok(None),
            Self::Token(_) => denied("token", "not the one it was signed in with"),
            Self::Proof(proof) => {
                let Proof { sequence, mac, verb, query, body } = proof;
                if !is_same(mac, &proved(&guard.digest, verb, epoch, handle, *sequence, query, body)) {
                    return denied("proof", "not of this token, request or life of the instance");
                }
                if *sequence <= guard.sequence {
                    return denied("proof", "its sequence number was taken, or a later one");
                }
                Ok(Some(*sequence))
            }
        }
    }
}

fn proved(digest: &TokenDigest, verb: &str, epoch: u64, handle: Handle, sequence: u64, query: &str, body: &[u8; 32]) -> [u8; 32] {
    let (handle, body) = (handle.to_bits(), hex(body));
    let text = alloc::format!("callboard proof\n{verb}\n{epoch}\n{handle}\n{sequence}\n{query}\n{body}");
    HMAC::mac(text.as_bytes(), digest.0)
}

/// What goes into `x-callboard-proof`: that whoever sends a request holds the token of an instance. The verb is `renew`, `health` or `deregister`; `query` and
/// `body` are those of the request; the sequence number must be above every one before for this epoch and handle.
///
/// # Errors
/// [`Code::InvalidArgument`] for any other verb.
pub fn proof(token: &str, verb: &str, epoch: u64, handle: Handle, sequence: u64, query: &str, body: &[u8]) -> Result<String, Error> {
    if !["renew", "health", "deregister"].contains(&verb) {
        return Err(Error::new(Code::InvalidArgument, "verb").message("one of renew health deregister"));
    }
    let mac = proved(&digest(token), verb, epoch, handle, sequence, query, &Hash::hash(body));
    let mut text = sequence.to_string();
    text.push('.');
    text.push_str(&hex(&mac));
    Ok(text)
}

/// Compares in the same time wherever the difference is.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test case 1 of RFC 4231.
    #[test]
    fn hmac_is_that_of_rfc_4231() {
        assert_eq!(hex(&HMAC::mac(b"Hi There", [0x0b; 20])), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }

    #[test]
    fn nothing_secret_is_printed() {
        let server = crate::serve::Server::from_value(&Value::map([("secret", Value::from("s".repeat(32)))])).unwrap();
        let text = std::format!("{server:?} {:?}", digest("0123456789abcdef"));
        assert!(text.contains("Secret") && !text.contains("sss") && !text.contains("231"), "{text}");
    }
}
