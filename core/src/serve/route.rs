//! Paths with open parts.

use alloc::string::String;
use alloc::vec::Vec;

/// The open parts of a path that fits a template: `{name}` is one segment, `{name...}` at the end is all that is left, with its slashes.
pub(super) fn names(template: &str, path: &[String]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut segments = path.iter();
    for part in template.split('/').skip(1) {
        if part.ends_with("...}") {
            let rest: Vec<&str> = segments.by_ref().map(String::as_str).collect();
            names.push(rest.join("/"));
            return names.last().is_some_and(|rest| !rest.is_empty()).then_some(names);
        }
        let segment = segments.next()?;
        if part.starts_with('{') {
            names.push(segment.clone());
        } else if part != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(names)
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
