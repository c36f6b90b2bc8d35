//! What the handlers of every protocol work with, and how a path finds its handler.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::desk::Desk;
use super::http::{Parameters, Request, status};
use super::server::Server;
use crate::error::Error;

/// What a call has to work with.
pub(super) struct Call<'a> {
    pub(super) server: &'a Server,
    pub(super) registry: Desk<'a>,
    pub(super) request: &'a Request<'a>,
    /// The parts of the path that the route leaves open.
    pub(super) names: Vec<String>,
    pub(super) parameters: Parameters,
}

impl Call<'_> {
    /// The open part of the path at a place.
    pub(super) fn name(&self, at: usize) -> &str {
        self.names.get(at).map_or("", String::as_str)
    }
}

/// Why a request is refused, where errors are plain text: a status, and the words of the server that is imitated.
pub(super) struct Refusal(pub(super) u16, pub(super) String);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(status(error.code()), error.to_string())
    }
}

pub(super) fn refuse<T>(status: u16, text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(status, text.into()))
}

/// What a table of routes has for a path.
pub(super) enum Route<H> {
    /// The open parts of the path, and who handles it.
    To(Vec<String>, H),
    /// Other methods, as the header `allow` names them.
    Allows(String),
    Nowhere,
}

/// Looks a path up in a table of method, template and handler.
pub(super) fn find<H: Copy>(routes: &[(&str, &str, H)], method: &str, path: &[String]) -> Route<H> {
    let mut of_method = routes.iter().filter(|(own, ..)| *own == method);
    if let Some(found) = of_method.find_map(|(_, template, handler)| Some(Route::To(names(template, path)?, *handler))) {
        return found;
    }
    let methods: Vec<&str> = routes.iter().filter(|(_, template, _)| fits(template, path)).map(|(method, ..)| *method).collect();
    if methods.is_empty() { Route::Nowhere } else { Route::Allows(methods.join(", ")) }
}

/// The open parts of a path that fits a template: `{name}` is one segment, `{name...}` at the end is all that is left, with its slashes.
fn names(template: &str, path: &[String]) -> Option<Vec<String>> {
    if !fits(template, path) {
        return None;
    }
    let mut names = Vec::new();
    for (at, part) in template.split('/').skip(1).enumerate() {
        if part.ends_with("...}") {
            names.push(path.get(at..)?.join("/"));
        } else if part.starts_with('{') {
            names.push(path.get(at)?.clone());
        }
    }
    Some(names)
}

/// Whether a path fits a template; of most templates that takes a look at a word or two.
fn fits(template: &str, path: &[String]) -> bool {
    let mut segments = path.iter();
    for part in template.split('/').skip(1) {
        if part.ends_with("...}") {
            return segments.next().is_some_and(|first| !first.is_empty() || segments.next().is_some());
        }
        let Some(segment) = segments.next() else { return false };
        if !part.starts_with('{') && part != segment {
            return false;
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::http::segments;

    #[test]
    fn a_path_fits_or_does_not() {
        for (template, path, expected) in [
            ("/v1/{a}/x", "/v1/1/x", Some(&["1"][..])),
            ("/v1/{a}/x", "/v1/1/y", None),
            ("/v1/{a}", "/v1/1/2", None),
            ("/v1/{a}", "/v1", None),
            ("/v1/{a...}", "/v1/service:1/2%2F3", Some(&["service:1/2/3"][..])),
            ("/v1/{a...}", "/v1", None),
            ("/v1/{a...}", "/v1/", None),
            ("/{a}/{b...}", "/%2F/2", Some(&["/", "2"][..])),
        ] {
            let found = names(template, &segments(path).unwrap());
            assert_eq!(found.as_deref(), expected.map(|names| names.iter().map(|name| String::from(*name)).collect::<Vec<_>>()).as_deref());
        }
    }
}
