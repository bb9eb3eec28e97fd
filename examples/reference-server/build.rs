//! Builds the web UI and writes the table of files that `src/assets.rs` embeds.
//!
//! Without Node the server still builds: it then serves one page that says how to get the UI.
//! `AUTERITY_WEB` overrides: `skip` (that page), `require` (fail instead), or the folder of a
//! ready build.
#![expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script everything through the environment"
)]

use std::{
    env,
    fmt::{self, Write as _},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest as _, Sha256};

/// What the bundle depends on, below `web/`.
const SOURCES: [&str; 9] = [
    "build",
    "index.html",
    "not-built.html",
    "package-lock.json",
    "package.json",
    "src",
    "static",
    "tsconfig.json",
    "vite.config.ts",
];
const NODE_VERSION_MIN: (u32, u32) = (20, 19);

type Result<T> = std::result::Result<T, Failure>;

/// What went wrong; `Debug` prints the sentence alone, because cargo shows that form.
struct Failure(String);

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn main() -> Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let web = Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"))
        .join("web");
    println!("cargo:rerun-if-env-changed=AUTERITY_WEB");
    println!("cargo:rerun-if-changed=build.rs");
    for source in SOURCES {
        println!("cargo:rerun-if-changed=web/{source}");
    }

    let mode = env::var("AUTERITY_WEB").unwrap_or_default();
    let dist = out.join("dist");
    match mode.as_str() {
        "" => build_or_explain(&web, &out, &dist)?,
        "require" => build(&web, &out, &dist)?,
        "skip" => place_notice(&web, &out, &dist)?,
        folder => place_ready(Path::new(folder), &out, &dist)?,
    }
    write_table(&dist, &out.join("assets_table.rs"))
}

/// Builds the UI, or falls back to the notice where that is not possible.
fn build_or_explain(web: &Path, out: &Path, dist: &Path) -> Result<()> {
    let Err(failure) = build(web, out, dist) else {
        return Ok(());
    };
    // A Node that is installed later usually changes the search path.
    println!("cargo:rerun-if-env-changed=PATH");
    for line in failure.0.lines() {
        println!("cargo:warning={line}");
    }
    println!(
        "cargo:warning=the web UI is not in this build; install Node >= {}.{} with npm, then build \
         with AUTERITY_WEB=require (AUTERITY_WEB=skip silences this)",
        NODE_VERSION_MIN.0, NODE_VERSION_MIN.1
    );
    place_notice(web, out, dist)
}

fn build(web: &Path, out: &Path, dist: &Path) -> Result<()> {
    let stamp = out.join("web.stamp");
    let wanted = hash_sources(web)?;
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted)
        && dist.join("index.html").is_file()
    {
        return Ok(());
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let node_version = version_of("node")?;
    let npm_version = version_of(npm)?;
    println!("building the web UI with Node {node_version} and npm {npm_version}");
    if parse_version(&node_version).is_none_or(|found| found < NODE_VERSION_MIN) {
        return Err(Failure(format!(
            "Node {node_version} is too old for the web UI, which needs {}.{} or later",
            NODE_VERSION_MIN.0, NODE_VERSION_MIN.1
        )));
    }

    // Named by the lock file it came from, inside the folder, so that both vanish together.
    let installed = web.join("node_modules/.auterity-lock");
    let lock = hex(&Sha256::digest(read(&web.join("package-lock.json"))?));
    if !fs::read_to_string(&installed).is_ok_and(|found| found == lock) {
        let mut command = Command::new(npm);
        command.args([
            "ci",
            "--ignore-scripts",
            "--include=dev",
            "--no-audit",
            "--no-fund",
        ]);
        execute(command.current_dir(web))?;
        write(&installed, &lock)?;
    }

    clear(&stamp, dist)?;
    let mut command = Command::new("node");
    command
        .arg("node_modules/vite/bin/vite.js")
        .args(["build", "--logLevel", "warn", "--outDir"])
        .arg(dist);
    execute(command.current_dir(web))?;
    write(&stamp, &wanted)
}

/// Serves the page that says how to get the UI.
fn place_notice(web: &Path, out: &Path, dist: &Path) -> Result<()> {
    clear(&out.join("web.stamp"), dist)?;
    let page = read(&web.join("not-built.html"))?;
    fs::create_dir_all(dist).map_err(|error| failed("create", dist, &error))?;
    let index = dist.join("index.html");
    fs::write(&index, page).map_err(|error| failed("write", &index, &error))
}

/// Takes a build that somebody else made.
fn place_ready(folder: &Path, out: &Path, dist: &Path) -> Result<()> {
    if !folder.is_absolute() || !folder.join("index.html").is_file() {
        return Err(Failure(format!(
            "AUTERITY_WEB must be skip, require or the absolute path of a folder with an \
             index.html, not {}",
            folder.display()
        )));
    }
    println!("cargo:rerun-if-changed={}", folder.display());
    clear(&out.join("web.stamp"), dist)?;
    for file in files_below(folder)? {
        let target = dist.join(file.strip_prefix(folder).expect("the walk started there"));
        let parent = target.parent().expect("a file below dist has a parent");
        fs::create_dir_all(parent).map_err(|error| failed("create", parent, &error))?;
        fs::copy(&file, &target).map_err(|error| failed("copy", &file, &error))?;
    }
    Ok(())
}

/// Stale files of an earlier build must not survive a change of mode.
fn clear(stamp: &Path, dist: &Path) -> Result<()> {
    if stamp.exists() {
        fs::remove_file(stamp).map_err(|error| failed("remove", stamp, &error))?;
    }
    if dist.exists() {
        fs::remove_dir_all(dist).map_err(|error| failed("remove", dist, &error))?;
    }
    Ok(())
}

/// Writes the Rust source that embeds every file of `dist`.
fn write_table(dist: &Path, table: &Path) -> Result<()> {
    let page = String::from_utf8(read(&dist.join("index.html"))?)
        .map_err(|_| Failure("index.html of the web UI is not UTF-8".into()))?;
    let mut source = String::from("static FILES: &[Asset] = &[\n");
    for file in files_below(dist)? {
        if file.extension().is_some_and(|extension| extension == "br") {
            continue;
        }
        let mut packed = file.clone().into_os_string();
        packed.push(".br");
        let packed = PathBuf::from(packed);
        let is_packed = packed.is_file();
        let path = file.strip_prefix(dist).expect("the walk started there");
        let path = path.to_string_lossy().replace('\\', "/");
        let hash = hex(&Sha256::digest(read(&file)?)[..16]);
        let body = if is_packed { packed } else { file };
        writeln!(source,
            "    Asset {{ path: {path:?}, hash: {hash:?}, is_brotli: {is_packed}, bytes: include_bytes!({:?}) }},",
            body.to_string_lossy()
        ).expect("a String takes any text");
    }
    source.push_str("];\n");
    for (name, values) in [
        ("SCRIPT_HASHES", inline_hashes(&page, "script")),
        ("STYLE_HASHES", inline_hashes(&page, "style")),
        ("PRELOADS", preloads(&page)),
    ] {
        writeln!(source, "const {name}: &[&str] = &{values:?};").expect("a String takes any text");
    }
    if fs::read_to_string(table).is_ok_and(|found| found == source) {
        return Ok(());
    }
    write(table, &source)
}

/// The policy's hashes of the page's inline elements of one name.
fn inline_hashes(page: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}"), format!("</{element}>"));
    let mut hashes = Vec::new();
    for part in page.split(&open).skip(1) {
        let Some((attributes, rest)) = part.split_once('>') else {
            continue;
        };
        let Some((content, _)) = rest.split_once(&close) else {
            continue;
        };
        if !content.is_empty() && !attributes.contains("src=") {
            hashes.push(format!("sha256-{}", base64(&Sha256::digest(content))));
        }
    }
    hashes
}

/// The `Link` values for what the page needs at once.
fn preloads(page: &str) -> Vec<String> {
    let mut links = Vec::new();
    for tag in page.split('<') {
        let address = ["src=\"", "href=\""]
            .iter()
            .find_map(|name| tag.split_once(name)?.1.split('"').next());
        let Some(address) = address.filter(|found| found.starts_with("/assets/")) else {
            continue;
        };
        if tag.contains("rel=\"stylesheet\"") {
            links.push(format!("<{address}>; rel=preload; as=style; crossorigin"));
        } else if tag.contains("type=\"module\"") || tag.contains("rel=\"modulepreload\"") {
            links.push(format!("<{address}>; rel=modulepreload"));
        }
    }
    links
}

fn hash_sources(web: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    for source in SOURCES {
        let path = web.join(source);
        let files = if path.is_dir() {
            files_below(&path)?
        } else {
            vec![path]
        };
        for file in files {
            hasher.update(file.to_string_lossy().as_bytes());
            hasher.update([0]);
            hasher.update(Sha256::digest(read(&file)?));
        }
    }
    Ok(hex(&hasher.finalize()))
}

/// Every file below a folder, in a stable order.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let entries = fs::read_dir(&next).map_err(|error| failed("list", &next, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| failed("list", &next, &error))?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn version_of(program: &str) -> Result<String> {
    let output = Command::new(program).arg("--version").output();
    match output {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        _ => Err(Failure(format!(
            "{program} was not found, so the web UI cannot be built"
        ))),
    }
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn execute(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .map_err(|error| Failure(format!("cannot start {command:?}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let mut text = format!("building the web UI failed: {command:?}: {}", output.status);
    for stream in [&output.stdout, &output.stderr] {
        let lines = String::from_utf8_lossy(stream);
        let lines: Vec<&str> = lines
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        for line in &lines[lines.len().saturating_sub(12)..] {
            text.push('\n');
            text.push_str(line);
        }
    }
    Err(Failure(text))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| failed("read", path, &error))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| failed("write", path, &error))
}

fn failed(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure(format!("cannot {verb} {}: {error}", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes any text");
        text
    })
}

/// Standard base64 with padding, as the security policy wants it; a dependency only for this
/// would be built for the host each time.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                let index = (word >> (18 - 6 * place)) & 63;
                text.push(char::from(ALPHABET[index as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}
