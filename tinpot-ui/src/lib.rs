//! Tinpot's web UI as files in memory: a pure client of the HTTP API, built from `web/` into `dist/`
//! and embedded at compile time.
//!
//! This crate serves nothing itself. `tinpot-http` serves the UI with its default feature `ui`. To
//! serve it from a server of your own:
//!
//! ```
//! let script = tinpot_ui::file("app.js").expect("the UI has a script");
//! assert_eq!(script.content_type(), "text/javascript; charset=utf-8");
//! assert!(script.gzip().is_none_or(|packed| packed.len() < script.bytes().len()));
//!
//! let page = tinpot_ui::page("/automation/");
//! assert!(page.contains(r#"<base href="/automation/">"#));
//! ```

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{LazyLock, OnceLock};

use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

/// The name of the page, which loads all other files.
pub const INDEX: &str = "index.html";

/// The placeholder in the page for the path that it is served below.
const BASE: &str = r#"<base href="./">"#;

/// The folder of the files whose names contain a hash of their content.
const CHUNKS: &str = "chunks/";

/// The size from which files are compressed, in bytes. Below it, compression saves less than a packet.
const GZIP_FROM_BYTES: usize = 512;

// The files are embedded in debug builds too, so that all builds show the same UI. Their times are
// fixed, so that two builds of the same source are equal.
#[derive(RustEmbed)]
#[folder = "dist/"]
struct Dist;

/// A file of the UI.
#[derive(Debug)]
pub struct File {
    bytes: Vec<u8>,
    content_type: &'static str,
    etag: String,
    never_changes: bool,
    gzip: OnceLock<Option<Vec<u8>>>,
}

static FILES: LazyLock<BTreeMap<String, File>> = LazyLock::new(|| {
    let files = Dist::iter().filter_map(|name| {
        let embedded = Dist::get(&name)?;
        let file = File {
            bytes: embedded.data.into_owned(),
            content_type: content_type(&name),
            etag: tag(&embedded.metadata.sha256_hash()),
            never_changes: name.starts_with(CHUNKS),
            gzip: OnceLock::new(),
        };
        Some((name.into_owned(), file))
    });
    files.collect()
});

/// Returns the file with this name, as in `app.js`.
#[must_use]
pub fn file(name: &str) -> Option<&'static File> {
    FILES.get(name)
}

/// Returns the names of all files, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.keys().map(String::as_str)
}

/// Returns the page for a UI that is served below `base`, which is an absolute path that ends with `/`,
/// as a browser sees it.
#[must_use]
pub fn page(base: &str) -> String {
    let index = file(INDEX).map_or("", |file| std::str::from_utf8(&file.bytes).unwrap_or_default());
    index.replacen(BASE, &format!(r#"<base href="{}">"#, escaped(base)), 1)
}

/// Returns the entity tag of some content, with quotes, for the header `ETag`. Pages of [`page`] need
/// it; files have [`File::etag`].
#[must_use]
pub fn etag(content: &[u8]) -> String {
    tag(&Sha256::digest(content))
}

/// Returns a hash as an entity tag. Sixteen bytes suffice to avoid collisions.
fn tag(hash: &[u8]) -> String {
    let hash: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hash}\"")
}

impl File {
    /// Returns the content.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the media type, for the header `Content-Type`.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// Returns the entity tag, with quotes, for the header `ETag`.
    #[must_use]
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// Returns true if another version of the UI has no file of this name with another content, so that
    /// browsers may keep it.
    #[must_use]
    pub fn never_changes(&self) -> bool {
        self.never_changes
    }

    /// Returns the content in gzip, which is compressed on the first call and kept; `None` if it would
    /// not be smaller.
    #[must_use]
    pub fn gzip(&self) -> Option<&[u8]> {
        self.gzip.get_or_init(|| gzip(&self.bytes)).as_deref()
    }
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < GZIP_FROM_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().filter(|packed| packed.len() < bytes.len())
}

/// Escapes text as the value of an attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "ico" => "image/x-icon",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// The README, whose example is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Read;

    use super::*;

    #[test]
    fn the_page_has_a_placeholder_for_its_path_and_loads_existing_files_only() {
        let index = std::str::from_utf8(file(INDEX).unwrap().bytes()).unwrap();
        assert_eq!(index.matches(BASE).count(), 1);
        // Nothing that the page loads may come before the path that it is loaded from.
        assert!(index.find(BASE) < index.find("\"ui/"));
        let mut named = 0;
        for rest in index.split("\"ui/").skip(1) {
            let name = rest.split('"').next().unwrap();
            assert!(file(name).is_some(), "the page loads {name}, which does not exist");
            named += 1;
        }
        assert!(named >= 2, "a page without a script and a style shows nothing");
    }

    #[test]
    fn the_page_is_fit_for_a_policy_without_inline_code() {
        let index = page("/");
        for forbidden in [" style=", "<style", " onload=", " onclick=", "javascript:"] {
            assert!(!index.contains(forbidden), "{forbidden}");
        }
        for script in index.split("<script").skip(1) {
            let (tag, rest) = script.split_once('>').unwrap();
            assert!(tag.contains(" src=\"ui/"), "{tag}");
            assert!(rest.starts_with("</script>"), "a script in the page itself");
        }
    }

    #[test]
    fn nothing_is_loaded_from_other_hosts() {
        for name in names().filter(|name| name.ends_with(".html") || name.ends_with(".css")) {
            let text = std::str::from_utf8(file(name).unwrap().bytes()).unwrap();
            for remote in
                ["src=\"http", "href=\"http", "src=\"//", "href=\"//", "url(http", "@import"]
            {
                assert!(!text.contains(remote), "{name}: {remote}");
            }
        }
    }

    #[test]
    fn a_path_cannot_leave_its_attribute() {
        let page = page("/a\"><script>&/");
        assert!(page.contains(r#"<base href="/a&quot;&gt;&lt;script&gt;&amp;/">"#), "{page}");
    }

    #[test]
    fn files_have_types_and_tags_by_content_and_unpack_to_themselves() {
        let mut tags: Vec<_> = names().map(|name| file(name).unwrap().etag()).collect();
        let count = tags.len();
        assert!(tags.iter().all(|tag| tag.len() == 34 && tag.starts_with('"')), "{tags:?}");
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), count, "two files of the same content");
        for name in names() {
            let file = file(name).unwrap();
            assert_eq!(file.etag(), etag(file.bytes()), "{name}");
            assert_ne!(file.content_type(), "application/octet-stream", "{name}");
            if let Some(packed) = file.gzip() {
                let mut unpacked = Vec::new();
                flate2::read::GzDecoder::new(packed).read_to_end(&mut unpacked).unwrap();
                assert_eq!(unpacked, file.bytes(), "{name}");
            }
        }
    }

    fn text(name: &str) -> &'static str {
        std::str::from_utf8(file(name).unwrap().bytes()).unwrap()
    }

    /// Returns the names of files that follow `before` in a file, up to a quote.
    fn named<'a>(content: &'a str, before: &str) -> Vec<&'a str> {
        content.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    /// Returns the files that a script imports before it runs.
    fn imports(script: &str) -> Vec<String> {
        let folder = script.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut found = Vec::new();
        for before in ["from\"", "import\""] {
            for path in named(text(script), before).iter().filter(|path| path.starts_with('.')) {
                let path = path.strip_prefix("./").unwrap_or(path);
                found.push(match path.strip_prefix("../") {
                    Some(above) => above.to_owned(),
                    None if folder.is_empty() => path.to_owned(),
                    None => format!("{folder}/{path}"),
                });
            }
        }
        found
    }

    /// Returns the name of a chunk by the part before its hash.
    fn chunk(part: &str, extension: &str) -> String {
        let named = |name: &&str| {
            let name = name.strip_prefix(CHUNKS).and_then(|name| name.strip_suffix(extension));
            name.and_then(|name| name.strip_prefix(part)).is_some_and(|hash| hash.len() == 9)
        };
        names().find(named).unwrap_or_else(|| panic!("no chunk {part}")).to_owned()
    }

    /// Returns the files that a first visit loads: those that the page names, the worker of the
    /// stream, the code of one more part, and the modules that these import. The others are loaded
    /// when their part of the UI is shown.
    fn first_visit(parts: &[&str]) -> BTreeSet<String> {
        let mut found = BTreeSet::from([INDEX.to_owned()]);
        let mut next: Vec<String> =
            named(text(INDEX), "\"ui/").into_iter().map(ToOwned::to_owned).collect();
        next.push("stream-worker.js".to_owned());
        next.extend(parts.iter().map(|part| chunk(part, ".js")));
        while let Some(name) = next.pop() {
            if name.ends_with(".js") && !found.contains(&name) {
                next.extend(imports(&name));
            }
            found.insert(name);
        }
        found
    }

    fn sent(name: &str) -> usize {
        let file = file(name).unwrap();
        file.gzip().map_or(file.bytes().len(), <[u8]>::len)
    }

    #[test]
    fn the_ui_is_small() {
        let first = first_visit(&[]);
        for name in ["app.js", "app.css", &chunk("broker", ".js")] {
            assert!(first.contains(name), "{name} is not in {first:?}");
        }
        let at_first: usize = first.iter().map(|name| sent(name)).sum();
        let styles: usize = names().filter(|name| name.ends_with(".css")).map(sent).sum();
        // The largest page: its styles are not told apart from those of others.
        let largest: usize = first_visit(&["execution"])
            .iter()
            .filter(|name| !name.ends_with(".css"))
            .map(|name| sent(name))
            .sum();
        let all: usize = names().map(sent).sum();
        println!("a first visit transfers {at_first} bytes; the whole UI has {all}");
        assert!(at_first < 70_000, "a first visit transfers {at_first} bytes");
        let largest = largest + styles;
        assert!(largest < 100_000, "a first visit of an execution transfers {largest} bytes");
        // Parts that are loaded later are waited for too.
        assert!(all < 150_000, "the whole UI has {all} bytes");
    }

    #[test]
    fn browsers_keep_only_files_whose_names_change_with_their_content() {
        let kept: Vec<_> = names().filter(|name| file(name).unwrap().never_changes()).collect();
        assert!(kept.len() >= 5, "{kept:?}");
        for name in kept {
            let (stem, _) = name.rsplit_once('.').unwrap();
            let hash = &stem[stem.len() - 9..];
            assert!(hash.starts_with('-'), "{name} has no hash");
        }
        assert!(!file("app.js").unwrap().never_changes());
    }

    #[test]
    fn large_files_are_compressed_unless_they_do_not_shrink() {
        assert!(gzip(&[b'a'; 4096]).unwrap().len() < 100);
        assert!(gzip(&[b'a'; 100]).is_none());
        let packed = gzip(&[b'a'; 4_000_000]).unwrap();
        assert!(packed.len() > GZIP_FROM_BYTES && gzip(&gzip(&packed).unwrap_or(packed)).is_none());
    }
}
