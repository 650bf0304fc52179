//! Browser files: those in the program, or a folder's. Their names hold a hash of their content, so they never change.
//!
//! The build leaves `hash.txt` and `pkg/<hash>/…` in `site/`, each file with its brotli form `<name>.br` beside it.

use anyhow::Context;
use axum::{
    body::{Body, Bytes},
    extract::{Path as UrlPath, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use leptos::config::LeptosOptions;
use rust_embed::RustEmbed;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The name that pages ask for.
const NAME: &str = "granary";
const HASH: &str = "hash.txt";
/// A year: as long as caches are asked to keep anything.
const FOREVER: &str = "public, max-age=31536000, immutable";

#[derive(RustEmbed)]
#[folder = "site/"]
#[allow_missing = true]
struct Embedded;

/// All files, in memory.
#[derive(Debug)]
pub struct Assets {
    hash: String,
    /// By path, such as `pkg/0123/granary.js`.
    files: BTreeMap<String, Bytes>,
}

impl Assets {
    /// Those in the program, or all of a folder.
    ///
    /// # Errors
    /// When the folder cannot be read, or is none that the build made.
    pub fn load(folder: Option<&Path>) -> anyhow::Result<Self> {
        let mut files = match folder {
            Some(folder) => read(folder).with_context(|| format!("GRANARY_SITE: {} cannot be read", folder.display()))?,
            None => embedded(),
        };
        let hash = match files.remove(HASH) {
            Some(hash) => String::from_utf8(hash.to_vec())?.trim().to_owned(),
            None if folder.is_some() => anyhow::bail!("GRANARY_SITE: there is no {HASH} in it; the build makes such a folder"),
            // A program built without its browser files still serves pages that work without them.
            None => "none".to_owned(),
        };
        Ok(Self { hash, files })
    }

    /// The path of a file of `pkg/<hash>`, if it is there.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<String> {
        let path = format!("pkg/{}/{name}", self.hash);
        self.files.contains_key(&path).then(|| format!("/{path}"))
    }

    /// How pages find their files.
    #[must_use]
    pub fn leptos_options(&self) -> LeptosOptions {
        LeptosOptions::builder().output_name(NAME).site_pkg_dir(format!("pkg/{}", self.hash)).build()
    }

    fn respond(&self, path: &str, accepts_brotli: bool) -> Option<Response> {
        let plain = self.files.get(path)?;
        let compressed = self.files.get(&format!("{path}.br")).filter(|_| accepts_brotli);
        let mut response = Body::from(compressed.unwrap_or(plain).clone()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type(path)?));
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static(FOREVER));
        headers.insert(header::VARY, header::HeaderValue::from_static("accept-encoding"));
        if compressed.is_some() {
            headers.insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("br"));
        }
        Some(response)
    }
}

/// Serves `/pkg/{*path}`.
pub async fn serve(State(web): State<super::Web>, UrlPath(path): UrlPath<String>, headers: HeaderMap) -> Response {
    web.assets.respond(&format!("pkg/{path}"), accepts_brotli(&headers)).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

fn accepts_brotli(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next() == Some("br") && !parts.any(|p| p.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)))
    })
}

/// What is known by its name; nothing else is served.
fn content_type(path: &str) -> Option<&'static str> {
    Some(match path.rsplit_once('.')?.1 {
        "js" => "text/javascript; charset=utf-8",
        "wasm" => "application/wasm",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

fn embedded() -> BTreeMap<String, Bytes> {
    let bytes = |data| match data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Embedded::iter().filter_map(|name| Some((name.to_string(), bytes(Embedded::get(&name)?.data)))).collect()
}

fn read(folder: &Path) -> anyhow::Result<BTreeMap<String, Bytes>> {
    let mut files = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder)?.to_str().context("a file name is not valid UTF-8")?.to_owned();
                files.insert(name, Bytes::from(fs::read(&path)?));
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> (tempfile::TempDir, Assets) {
        let folder = tempfile::tempdir().unwrap();
        let pkg = folder.path().join("pkg/0123");
        fs::create_dir_all(&pkg).unwrap();
        fs::write(folder.path().join("hash.txt"), "0123\n").unwrap();
        for (name, content) in [("granary.css", "plain"), ("granary.css.br", "small"), ("granary_bg.wasm", "\0asm")] {
            fs::write(pkg.join(name), content).unwrap();
        }
        let assets = Assets::load(Some(folder.path())).unwrap();
        (folder, assets)
    }

    #[tokio::test]
    async fn files_are_sent_compressed_to_those_who_can_read_that() {
        let (_folder, assets) = site();
        let text = |response: Response| async { axum::body::to_bytes(response.into_body(), 100).await.unwrap() };
        let small = assets.respond("pkg/0123/granary.css", true).unwrap();
        assert_eq!(small.headers()["content-encoding"], "br");
        assert_eq!(small.headers()["cache-control"], FOREVER);
        assert_eq!(small.headers()["content-type"], "text/css; charset=utf-8");
        assert_eq!(text(small).await, "small");
        let plain = assets.respond("pkg/0123/granary.css", false).unwrap();
        assert!(!plain.headers().contains_key("content-encoding"));
        assert_eq!(text(plain).await, "plain");
        assert_eq!(assets.respond("pkg/0123/granary_bg.wasm", true).unwrap().headers()["content-type"], "application/wasm");
        for unknown in ["pkg/0123/x.css", "hash.txt", "pkg/../hash.txt", "pkg/0123/granary.css.br"] {
            assert!(assets.respond(unknown, true).is_none(), "{unknown}");
        }
    }

    #[test]
    fn pages_ask_for_the_files_of_this_hash() {
        let (_folder, assets) = site();
        assert_eq!(&*assets.leptos_options().site_pkg_dir, "pkg/0123");
        assert_eq!(assets.path("granary.css").as_deref(), Some("/pkg/0123/granary.css"));
        assert_eq!(assets.path("other.css"), None);
    }

    #[test]
    fn a_folder_that_is_no_site_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Assets::load(Some(folder.path())).unwrap_err().to_string().contains("hash.txt"));
    }

    #[test]
    fn brotli_is_used_only_when_it_is_accepted() {
        let accepts = |value: &str| accepts_brotli(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, value.parse().unwrap())]));
        assert!(accepts("gzip, deflate, br, zstd") && accepts("br;q=0.5"));
        assert!(!accepts("gzip") && !accepts("br;q=0") && !accepts("brx"));
    }
}
