//! The rules of this repository, as tests.
//!
//! Each rule is a function from files to complaints, and each test runs its rule twice: over the
//! repository, which must be clean, and over a small offence, which must not be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Where `unsafe` may be written.
const UNSAFE_ROOMS: [&str; 7] = [
    "src/sys/",
    "src/segment.rs",
    "src/openssl/ffi",
    "crates/shmtls-cli/src/bench/contention/ffi.rs",
    "crates/shmtls-bench-peers/src/child.rs",
    "crates/shmtls-bench-peers/src/stores/httpd.rs",
    "crates/shmtls-bench-peers/src/stores/lmdb.rs",
];
const LINES_MAX: usize = 400;
const COLUMNS_MAX: usize = 100;
const PACKAGES_MAX: usize = 30;

struct File {
    /// Relative to the repository's root.
    path: String,
    text: String,
}

#[test]
fn modules_name_only_modules_before_them() {
    assert_clean(module_order(&files_under(&["src"])));

    let lib = "mod low;\nmod high;\npub use high::{Deep as Shallow, High};";
    let offences = [
        "use crate::high::x;",
        "use crate::{low::x, high};",
        "fn f() { crate::High::new() }",
        "use super::Shallow;",
    ];
    for offence in offences {
        assert_offends(module_order(&[file("src/lib.rs", lib), file("src/low.rs", offence)]));
    }
    assert_clean(module_order(&[
        file("src/lib.rs", lib),
        file("src/low.rs", "// crate::high\n#[cfg(test)]\nmod tests { use crate::high; }"),
        file("src/high/part.rs", "use super::x; use crate::high::y; use crate::low::z;"),
    ]));
}

#[test]
fn source_files_fit_one_sitting() {
    let sources = files_under(&["src", "crates"]);
    assert_clean(too_long(&sources));
    assert_clean(too_wide(&sources));

    assert_offends(too_long(&[file("src/x.rs", &"\n".repeat(LINES_MAX + 1))]));
    assert_offends(too_wide(&[file("src/x.rs", &"é".repeat(COLUMNS_MAX + 1))]));
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    assert_clean(unsafe_outside_rooms(&files_under(&["src", "crates"])));

    for level in ["allow", "expect", "warn"] {
        let offence = format!("#![{level}(dead_code, unsafe_code)]");
        assert_offends(unsafe_outside_rooms(&[file("src/cache.rs", &offence)]));
    }
}

#[test]
fn nothing_is_left_for_later() {
    assert_clean(unfinished(&files_under(&["src", "tests", "examples", "benches", "crates"])));

    assert_offends(unfinished(&[file("src/x.rs", concat!("// TO", "DO: more"))]));
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    assert_clean(machine_paths(&files_under(&["."])));

    assert_offends(machine_paths(&[file("x.md", concat!("see /ro", "ot/x"))]));
}

#[test]
fn a_user_of_the_library_pays_for_few_packages() {
    let tree = cargo_tree();
    assert!(tree.contains("openssl-sys"), "this is not the tree with `openssl`:\n{tree}");
    let packages = packages(&tree);
    assert!(packages.len() <= PACKAGES_MAX, "{} packages: {packages:#?}", packages.len());

    let repeated = "shmtls v0.1.0 (/here)\nlibc v0.2.1\nnix v0.31.0\nlibc v0.2.1 (*)\n";
    assert_eq!(self::packages(repeated), BTreeSet::from(["libc v0.2.1", "nix v0.31.0"]));
}

#[test]
fn the_readme_starts_with_the_two_commands() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert_clean(two_commands(&fs::read_to_string(root.join("README.md")).unwrap()));

    assert_offends(two_commands("# shmtls\n```rust\nfn main() {}\n```\n```sh\nmake demo\n```\n"));
}

// ---- the rules --------------------------------------------------------------------------------

/// The `mod` list of `src/lib.rs` is the dependency order: no module names one listed after it,
/// neither by its path nor through a name that `lib.rs` re-exports.
fn module_order(files: &[File]) -> Vec<String> {
    let lib = files.iter().find(|f| f.path == "src/lib.rs").expect("src/lib.rs");
    let lib = lib.without_tests();
    let order: Vec<String> =
        lib.windows(3).filter(|w| w[0] == "mod" && w[2] == ";").map(|w| w[1].clone()).collect();
    assert!(order.len() >= 2, "src/lib.rs has no mod list");
    let home_of = reexports(&lib);

    let mut complaints = Vec::new();
    let is_code = |f: &&File| f.path != "src/lib.rs" && !f.path.contains("/tests");
    for file in files.iter().filter(is_code) {
        let inside = file.path.strip_prefix("src/").expect("a source file");
        let module = inside.split(['/', '.']).next().unwrap();
        let Some(place) = order.iter().position(|m| m == module) else {
            complaints.push(format!("{}: {module} is not in the mod list", file.path));
            continue;
        };
        // In a module's own root file `super` is the crate; deeper down it stays in the module.
        let is_module_root = !inside.contains('/') || inside.ends_with("/mod.rs");
        for name in names_from_the_root(&file.without_tests(), is_module_root) {
            let home = home_of.get(&name).unwrap_or(&name);
            if order.iter().position(|m| m == home).is_some_and(|there| there > place) {
                complaints.push(format!("{}: {module} names {name} of {home}", file.path));
            }
        }
    }
    complaints
}

fn too_long(files: &[File]) -> Vec<String> {
    let counted = files.iter().map(|f| (f, f.text.lines().count()));
    counted
        .filter(|&(_, lines)| lines > LINES_MAX)
        .map(|(f, lines)| format!("{}: {lines} lines", f.path))
        .collect()
}

fn too_wide(files: &[File]) -> Vec<String> {
    // A row of a table cannot be wrapped.
    let is_table = |line: &str| line.trim_start_matches(['/', '!', ' ']).starts_with('|');
    lines_where(files, |line| line.chars().count() > COLUMNS_MAX && !is_table(line))
}

fn unsafe_outside_rooms(files: &[File]) -> Vec<String> {
    let outside =
        files.iter().filter(|f| !UNSAFE_ROOMS.iter().any(|room| f.path.starts_with(room)));
    outside
        .filter(|f| relaxes_unsafe_code(&f.tokens()))
        .map(|f| format!("{}: relaxes unsafe_code, which only {UNSAFE_ROOMS:?} may", f.path))
        .collect()
}

fn unfinished(files: &[File]) -> Vec<String> {
    // Split, so that this file passes its own rule.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ig", "nore"),
    ];
    lines_where(files, |line| marks.iter().any(|mark| line.contains(mark)))
}

fn machine_paths(files: &[File]) -> Vec<String> {
    let paths = [concat!("/ro", "ot/"), concat!("/wo", "rk/")];
    lines_where(files, |line| paths.iter().any(|path| line.contains(path)))
}

fn two_commands(readme: &str) -> Vec<String> {
    let first_block = readme.split("```").nth(1).unwrap_or_default();
    let missing = ["make demo", "make test"].into_iter().filter(|c| !first_block.contains(c));
    missing.map(|c| format!("README.md: `{c}` is not in the first code block")).collect()
}

// ---- reading ----------------------------------------------------------------------------------

impl File {
    fn tokens(&self) -> TokenStream {
        self.text.parse().unwrap_or_else(|e| panic!("{}: {e}", self.path))
    }

    /// The code as a flat list of tokens: no comments, no `#[cfg(test)]` items, and no delimiters
    /// but the braces of a `use` tree, which `names_from_the_root` needs.
    fn without_tests(&self) -> Vec<String> {
        let mut flat = Vec::new();
        flatten(self.tokens(), &mut flat);
        flat
    }
}

fn flatten(tokens: TokenStream, flat: &mut Vec<String>) {
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) if is_cfg_test(&group.stream()) => {
                flat.pop(); // the `#`
                skip_item(&mut tokens);
            }
            TokenTree::Group(group) => {
                let braces = group.delimiter() == Delimiter::Brace;
                flat.extend(braces.then(|| "{".into()));
                flatten(group.stream(), flat);
                flat.extend(braces.then(|| "}".into()));
            }
            token => flat.push(token.to_string()),
        }
    }
}

fn is_cfg_test(attribute: &TokenStream) -> bool {
    let text = attribute.to_string().replace(' ', "");
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

/// An item ends with a semicolon or with its braces.
fn skip_item(tokens: &mut impl Iterator<Item = TokenTree>) {
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ';' => return,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return,
            _ => {}
        }
    }
}

/// Every `x` of `crate::x` and of `crate::{x, ..}`.
fn names_from_the_root(flat: &[String], super_is_root: bool) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, token) in flat.iter().enumerate() {
        let is_root = token == "crate" || (super_is_root && token == "super");
        if is_root && flat[at + 1..].starts_with(&[":".into(), ":".into()]) {
            names.extend(heads(&flat[at + 3..]));
        }
    }
    names
}

/// The first name of each path in a use tree: `x::y` has x; `{x::y, z::{w}}` has x and z.
fn heads(tree: &[String]) -> BTreeSet<String> {
    if tree[0] != "{" {
        return BTreeSet::from([tree[0].clone()]);
    }
    let mut names = BTreeSet::new();
    let mut depth = 0;
    for (before, token) in tree.iter().zip(&tree[1..]) {
        match before.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(before.as_str(), "{" | ",") {
            names.insert(token.clone());
        }
    }
    names
}

/// Which module each name comes from that `lib.rs` re-exports: `pub use module::{A, B as C};`.
fn reexports(lib: &[String]) -> BTreeMap<String, String> {
    let mut home_of = BTreeMap::new();
    for statement in lib.split(|token| token == ";") {
        let Some(at) = statement.iter().position(|token| token == "use") else { continue };
        let Some((module, names)) = statement[at + 1..].split_first() else { continue };
        // The last name of each path is the one it is known by.
        for (name, after) in names.iter().zip(names[1..].iter().map(String::as_str).chain(["}"])) {
            if matches!(after, "," | "}") {
                home_of.insert(name.clone(), module.clone());
            }
        }
    }
    home_of
}

/// Whether an attribute such as `#![allow(.., unsafe_code, ..)]` is in there.
fn relaxes_unsafe_code(tokens: &TokenStream) -> bool {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mentions = |group: &TokenTree| group.to_string().contains("unsafe_code");
    trees.windows(2).any(|pair| {
        matches!(pair[0].to_string().as_str(), "allow" | "expect" | "warn") && mentions(&pair[1])
    }) || trees
        .iter()
        .any(|tree| matches!(tree, TokenTree::Group(group) if relaxes_unsafe_code(&group.stream())))
}

fn cargo_tree() -> String {
    // Offline: what this test was built from has been downloaded already.
    let args = "tree --offline -p shmtls -e normal,build --prefix none --features openssl";
    let tree = Command::new(env!("CARGO"))
        .args(args.split(' '))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "cargo tree: {}", String::from_utf8_lossy(&tree.stderr));
    String::from_utf8(tree.stdout).unwrap()
}

/// `name vX.Y.Z` of each package but ours.
fn packages(tree: &str) -> BTreeSet<&str> {
    let ours = concat!(env!("CARGO_PKG_NAME"), " ");
    tree.lines()
        .filter(|line| !line.is_empty() && !line.starts_with(ours))
        .map(|line| line.split(" (").next().unwrap())
        .collect()
}

fn lines_where(files: &[File], offends: impl Fn(&str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate().filter(|(_, line)| offends(line)) {
            complaints.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
        }
    }
    complaints
}

/// The text files under these folders; code only, unless the root itself is asked for.
fn files_under(folders: &[&str]) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignored = fs::read_to_string(root.join(".gitignore")).unwrap();
    let ignored: Vec<&str> = ignored.lines().map(|line| line.trim_matches('/')).collect();

    let mut files = Vec::new();
    for folder in folders {
        let code_only = *folder != ".";
        collect(root, &root.join(folder), &ignored, &mut files);
        files.retain(|f| !code_only || f.path.ends_with(".rs"));
    }
    assert!(!files.is_empty(), "nothing under {folders:?}");
    files
}

/// Not `git ls-files`: the rules also hold where git is not installed.
fn collect(root: &Path, folder: &Path, ignored: &[&str], files: &mut Vec<File>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().expect("names are UTF-8");
        if name == ".git" || ignored.contains(&name) {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, ignored, files);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root).unwrap().to_str().unwrap();
            files.push(file(path.trim_start_matches("./"), &text));
        }
    }
}

fn file(path: &str, text: &str) -> File {
    File { path: path.into(), text: text.into() }
}

fn assert_clean(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn assert_offends(complaints: Vec<String>) {
    assert!(!complaints.is_empty(), "an offence went unnoticed: this rule cannot fail");
}
