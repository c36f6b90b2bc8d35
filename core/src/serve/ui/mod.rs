//! A page for people at `/ui`: services, instances, health, leases, overrides and what has just changed.
//!
//! Its files hold no data and are the same for everybody, so they are given out whatever the policy says. The page reads the registry through
//! [`rest`](super::rest) alone, which stands beside it wherever the host has mounted both, with a bearer token where one is needed. A host that wants no
//! page answers `/ui` itself.

use alloc::format;
use alloc::string::String;

use xxhash_rust::xxh3::xxh3_64;

use super::http::{Request, Response};
use crate::error::{Code, Error};

/// Where the page is.
const PLACE: &str = "/ui";

/// Path below the page, kind and text of its files.
const FILES: &[(&str, &str, &str)] = &[
    ("", "text/html; charset=utf-8", include_str!("page.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page.js")),
    ("/board.js", "text/javascript; charset=utf-8", include_str!("board.js")),
    ("/dom.js", "text/javascript; charset=utf-8", include_str!("dom.js")),
    ("/icon.svg", "image/svg+xml", include_str!("icon.svg")),
];

/// What the page may do: read its own files and the API beside it. No text can become markup or a script in it.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Whether a path is the page's.
pub(super) fn has(path: &str) -> bool {
    path.strip_prefix(PLACE).is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

/// `HEAD` is answered as `GET`: the host's server leaves the body out.
pub(super) fn handle(request: &Request<'_>) -> Response {
    let unknown = |status| Response::refusal(status, &Error::new(Code::UnknownRoute, "path"));
    let below = request.path.strip_prefix(PLACE).unwrap_or_default();
    // The files of the page are named from where it is: one more slash would lead astray.
    let target = if below == "/" { "" } else { below };
    let Some((_, kind, text)) = FILES.iter().find(|(path, ..)| *path == target) else { return unknown(404) };
    if !matches!(request.method, "GET" | "HEAD") {
        return unknown(405).header("allow", "GET, HEAD");
    }
    if below == "/" {
        return Response { status: 308, headers: alloc::vec![("location", "../ui".into())], body: alloc::vec![] };
    }
    let tag = format!("\"{:016x}\"", xxh3_64(text.as_bytes()));
    let is_known = is_named(request.header("if-none-match"), &tag);
    let body = if is_known { alloc::vec![] } else { text.as_bytes().to_vec() };
    let headers = [
        ("content-type", String::from(*kind)),
        // Asked for again each time, and sent again when it is another.
        ("cache-control", "no-cache".into()),
        ("etag", tag),
        ("content-security-policy", CONTENT_POLICY.into()),
        ("x-content-type-options", "nosniff".into()),
        ("referrer-policy", "no-referrer".into()),
    ];
    Response { status: if is_known { 304 } else { 200 }, headers: headers.into(), body }
}

/// Whether a list of tags, as `If-None-Match` has it, names one.
fn is_named(list: &str, tag: &str) -> bool {
    list.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &str, path: &str, known: &str) -> Response {
        assert!(has(path));
        handle(&Request { method, path, headers: &[("If-None-Match", known)], ..Request::default() })
    }

    fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        response.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_page_and_its_files_are_given_out() {
        for (path, kind, text) in FILES {
            let path = format!("/ui{path}");
            for method in ["GET", "HEAD"] {
                let response = ask(method, &path, "");
                assert_eq!((response.status, response.body.as_slice()), (200, text.as_bytes()), "{method} {path}");
                assert_eq!(header(&response, "content-type"), Some(*kind));
                assert!(header(&response, "content-security-policy").unwrap().contains("default-src 'none'"));
                let tag = header(&response, "etag").unwrap();
                for known in [tag.into(), format!("\"x\", W/{tag}"), "*".into()] {
                    let again = ask(method, &path, &known);
                    assert_eq!((again.status, again.body.len(), header(&again, "etag")), (304, 0, Some(tag)), "{known}");
                }
                assert_eq!(ask(method, &path, "\"x\", W/\"y\", ").status, 200);
            }
            let refused = ask("POST", &path, "");
            assert_eq!((refused.status, header(&refused, "allow")), (405, Some("GET, HEAD")));
        }
    }

    #[test]
    fn nothing_else_is() {
        assert!(["/", "/uix", "/ui.css", "/v1/ui", "ui", ""].iter().all(|path| !has(path)));
        for path in ["/ui/none", "/ui/page.css/", "/ui//", "/ui/../v1", "/ui/%2e%2e/v1"] {
            assert_eq!(ask("GET", path, "").status, 404, "{path}");
        }
        let moved = ask("GET", "/ui/", "");
        assert_eq!((moved.status, header(&moved, "location")), (308, Some("../ui")));
    }

    /// Everything that the page names is served, and is named below it, so that it works wherever it is mounted.
    #[test]
    fn the_page_names_what_is_served() {
        let served = |name: &str| FILES.iter().any(|(path, ..)| path.strip_prefix('/') == Some(name));
        let named = |text: &str, before: &str| -> alloc::vec::Vec<String> {
            text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).map(String::from).collect()
        };
        for (path, _, text) in FILES.iter().filter(|(path, ..)| path.is_empty() || path.ends_with(".js")) {
            let (before, base): (&[&str], &str) = if path.is_empty() { (&["src=\"", "href=\""], "ui/") } else { (&["from \""], "./") };
            let names = before.iter().flat_map(|before| named(text, before)).filter(|name| !name.starts_with('#'));
            for name in names {
                assert!(name.strip_prefix(base).is_some_and(served), "{path}: {name}");
            }
        }
    }
}
