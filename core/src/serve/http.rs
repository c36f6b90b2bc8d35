//! Requests and responses as values. The host brings the socket.

use alloc::string::String;
use alloc::vec::Vec;

use super::Wait;
use crate::error::{Code, Error, Kind};
use crate::limits;
use crate::value::{Json, Value};

/// An HTTP request, as the host's server hands it over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The path as it was sent: not decoded, without the query.
    pub path: &'a str,
    /// The query as it was sent, without the question mark; may be empty.
    pub query: &'a str,
    /// The headers that a protocol may ask for, in any case; others may be left out.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
    /// The IP address of who asks, as the host knows it; may be empty. A Consul service that names no address is there.
    pub peer: &'a str,
    /// Who asks, as the host has found out (a client certificate, a session); empty when it has not. Counts only with a policy, and before any token.
    pub principal: &'a str,
}

impl<'a> Request<'a> {
    /// The value of a header, its name in lower case; empty when there is none.
    pub(super) fn header(&self, name: &str) -> &'a str {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Header names, in lower case, and values. No value holds anything but printable ASCII.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What to do about a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Send this.
    Response(Response),
    /// Nothing to say yet: ask again with [`Server::resume`](super::Server::resume) when something has changed that it is about, which
    /// [`Waits`](super::Waits) tell, and at the latest at `until`.
    Wait(Wait),
    /// Send this and leave the body open. What [`resume`](super::Server::resume) gives, asked as of any wait, goes on with it: the body of a `Stream` is the
    /// next piece, that of a `Response` the last. A host asks when the piece before is sent, so that a slow reader costs no more than what it follows; it may
    /// end the body at any time, and does when whoever asked hangs up.
    Stream(Response, Wait),
}

impl Response {
    /// A JSON response.
    pub(super) fn json(status: u16, document: &Value) -> Self {
        Self::bytes(status, "application/json", document.to_json())
    }

    /// A JSON response, written without a document in between.
    pub(super) fn written(status: u16, write: impl FnOnce(&mut Json)) -> Self {
        Self::bytes(status, "application/json", Json::of(write))
    }

    pub(super) fn bytes(status: u16, kind: &'static str, body: Vec<u8>) -> Self {
        let headers = alloc::vec![("content-type", kind.into()), ("cache-control", "no-store".into())];
        Self { status, headers, body }
    }

    /// Plain text in one line. It may repeat what was asked: no browser is to take it for anything else, and no log for more than a line.
    pub(super) fn text(status: u16, text: &str) -> Self {
        let text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        Self::bytes(status, "text/plain; charset=utf-8", text.into_bytes()).header("x-content-type-options", "nosniff")
    }

    /// The response that tells an error, as problem details (RFC 9457). For hosts that refuse a request themselves.
    pub fn error(error: &Error) -> Self {
        Self::refusal(status(error.code()), error)
    }

    pub(super) fn refusal(status: u16, error: &Error) -> Self {
        Self::bytes(status, "application/problem+json", problem(status, error).to_json())
    }

    /// For hosts to whom a body does not come within their patience.
    pub fn late() -> Self {
        Self::refusal(408, &Error::new(Code::Malformed, "body").message("did not come in time"))
    }

    /// For hosts to whom only a part of a body came. Mostly there is nobody left to tell.
    pub fn cut() -> Self {
        Self::error(&Error::new(Code::Malformed, "body").message("did not come to its end"))
    }

    /// For hosts that have no room for one more, of what `field` names: 503, and that one may come again in a second.
    pub fn overloaded(field: &str) -> Self {
        Self::error(&Error::new(Code::Overloaded, field).message("no room, come again a little later")).header("retry-after", "1")
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Problem details, `{type, title, status, detail?, code, kind, field, limit?}`: what RFC 9457 has, and then the error as every language has it.
pub(super) fn problem(status: u16, error: &Error) -> Value {
    let code = error.code().as_str();
    let mut pairs = alloc::vec![
        ("type", Value::from(alloc::format!("urn:callboard:error:{code}"))),
        ("title", Value::from(code.replace('-', " "))),
        ("status", u64::from(status).into()),
    ];
    if !error.text().is_empty() {
        pairs.push(("detail", error.text().into()));
    }
    pairs.extend([("code", code.into()), ("kind", error.code().kind().class().into()), ("field", error.field().into())]);
    if let Some(limit) = error.limit_value() {
        pairs.push(("limit", limit.into()));
    }
    Value::map(pairs)
}

/// The status that tells a code.
pub(super) fn status(code: Code) -> u16 {
    match (code, code.kind()) {
        (Code::QuotaExceeded, _) => 429,
        (Code::PermissionDenied, _) => 403,
        (_, Kind::Limit) => 413,
        (_, Kind::Invalid | Kind::Data | Kind::Usage) => 400,
        (_, Kind::NotFound) => 404,
        (_, Kind::Conflict) => 409,
        (_, Kind::Unavailable) => 503,
    }
}

/// The segments of a path, each decoded after the path was split, so that an escaped slash stays inside its segment.
///
/// # Errors
/// [`Code::Malformed`] for a bad escape, a control character or what is no UTF-8; [`Code::LimitExceeded`].
pub(super) fn segments(path: &str) -> Result<Vec<String>, Error> {
    const LONGEST: usize = 4_096;
    if path.len() > LONGEST {
        return Err(Error::too_large("path", LONGEST as u64));
    }
    let inner = path.strip_prefix('/').ok_or_else(|| Error::new(Code::Malformed, "path").message("starts with a slash"))?;
    inner.split('/').map(|segment| decode("path", segment)).collect()
}

/// The parameters of a query.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads `a=1&b=2`, in which each stands once.
    ///
    /// # Errors
    /// [`Code::DuplicateKey`], [`Code::Malformed`], [`Code::LimitExceeded`].
    pub(super) fn read(query: &str) -> Result<Self, Error> {
        let all = Self::read_all(query)?;
        let twice = |(at, (key, _)): &(usize, &(String, String))| all.0.iter().take(*at).any(|(known, _)| known == key);
        match all.0.iter().enumerate().find(twice) {
            Some((_, (key, _))) => Err(Error::new(Code::DuplicateKey, key)),
            None => Ok(all),
        }
    }

    /// Reads a query in which a parameter may stand more than once.
    ///
    /// # Errors
    /// [`Code::Malformed`], [`Code::LimitExceeded`].
    pub(super) fn read_all(query: &str) -> Result<Self, Error> {
        const LONGEST: usize = 16_384;
        if query.len() > LONGEST {
            return Err(Error::too_large("query", LONGEST as u64));
        }
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let key = decode("query", &key.replace('+', " "))?;
            if pairs.len() >= 32 {
                return Err(Error::too_large("query", 32));
            }
            pairs.push((key, decode("query", &value.replace('+', " "))?));
        }
        Ok(Self(pairs))
    }

    /// Refuses every parameter that is not among these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Error> {
        match self.0.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, _)) => Err(Error::new(Code::UnknownField, key).detail(alloc::format!("known parameters are {}", known.join(", ")))),
            None => Ok(()),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every pair.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Error> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { text.parse().ok() } else { None };
        let safe = number.filter(|number| *number < 1 << 53);
        safe.map(Some).ok_or_else(|| Error::new(Code::InvalidArgument, name).message("a whole number from 0 to 2^53 - 1"))
    }
}

/// The JSON of a body.
pub(super) fn body(request: &Request<'_>) -> Result<Value, Error> {
    if request.body.len() > limits::PAYLOAD_BYTES {
        return Err(Error::too_large("body", limits::PAYLOAD_BYTES as u64));
    }
    Value::from_json(request.body)
}

/// Takes percent escapes out.
fn decode(field: &str, text: &str) -> Result<String, Error> {
    let wrong = |message| Error::new(Code::Malformed, field).message(message);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push((high << 4 | low) as u8),
            _ => return Err(wrong("a bad percent escape")),
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("not UTF-8"))?;
    if text.chars().any(char::is_control) { Err(wrong("a control character")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_before_they_are_decoded() {
        assert_eq!(segments("/v1/a%2Fb/%C3%A9").unwrap(), ["v1", "a/b", "é"]);
        for bad in ["", "v1", "/%", "/%4", "/%zz", "/%ff", "/%00", "/a\n"] {
            assert_eq!(segments(bad).unwrap_err().code(), Code::Malformed, "{bad:?}");
        }
    }

    #[test]
    fn parameters_stand_once_and_are_known() {
        let parameters = Parameters::read("a=1&b=x+%26+y&c").unwrap();
        assert_eq!((parameters.number("a"), parameters.text("b"), parameters.text("c")), (Ok(Some(1)), Some("x & y"), Some("")));
        assert_eq!(parameters.number("b").unwrap_err().field(), "b");
        assert_eq!(parameters.only(&["a", "b"]).unwrap_err().field(), "c");
        assert_eq!(Parameters::read("a=1&%61=2").unwrap_err().code(), Code::DuplicateKey);
        for bad in ["-1", "1.5", "", "9007199254740992", "99999999999999999999", "+1"] {
            assert!(Parameters::read(&std::format!("n={bad}")).unwrap().number("n").is_err(), "{bad}");
        }
    }
}
