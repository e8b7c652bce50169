//! `scripts/setup` on machines that exist only as a PATH: which packages it asks for, and when it
//! asks at all.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

const BUILD_TOOLS: [&str; 3] = ["cargo", "cc", "pkg-config"];
const TESTED: [&str; 10] = [
    "c++",
    "openssl",
    "curl",
    "python3",
    "gnutls-cli",
    "nginx",
    "apache2",
    "haproxy",
    "spin",
    "strace",
];
const COMPARED: [&str; 4] = ["redis-server", "memcached", "apache2", "apxs"];

#[test]
fn a_complete_machine_is_left_alone() {
    let machine = Machine::new(&[&BUILD_TOOLS[..], &TESTED, &COMPARED].concat());
    for set in ["build", "fuzz", "test", "peers"] {
        assert_eq!(machine.setup(set), (true, String::new()));
    }
    assert_eq!(machine.apt_calls(), [""; 0]);
}

#[test]
fn only_what_is_missing_is_installed() {
    let machine = Machine::new(
        &[
            &BUILD_TOOLS[..],
            &["c++", "openssl", "python3", "nginx", "apache2", "haproxy", "spin", "strace"],
        ]
        .concat(),
    );
    assert!(machine.setup("build").0);
    assert_eq!(machine.apt_calls(), [""; 0]);

    assert_eq!(machine.setup("test"), (true, "setup: installing curl gnutls-bin\n".into()));
    assert_eq!(machine.apt_calls(), ["install curl gnutls-bin"]);

    assert_eq!(machine.setup("test"), (true, String::new()));
    assert_eq!(machine.apt_calls().len(), 1);
}

#[test]
fn a_linker_needs_more_than_gcc() {
    let machine = Machine::new(&["cargo", "pkg-config"]);
    assert!(machine.setup("build").0);
    assert_eq!(machine.apt_calls(), ["install gcc libc6-dev"]);
}

#[test]
fn to_fuzz_only_a_cpp_compiler_is_needed_besides() {
    let machine = Machine::new(&BUILD_TOOLS);
    assert!(machine.setup("fuzz").0);
    assert_eq!(machine.apt_calls(), ["install g++"]);
}

#[test]
fn to_compare_only_the_compared_servers_are_needed_besides() {
    let machine = Machine::new(&BUILD_TOOLS);
    assert!(machine.setup("peers").0);
    assert_eq!(machine.apt_calls(), ["install redis-server memcached apache2-bin apache2-dev"]);
}

#[test]
fn the_package_lists_are_fetched_only_if_they_must_be() {
    let machine = Machine::new(&BUILD_TOOLS);
    machine.write("no-lists", "");
    assert!(machine.setup("test").0);
    let install =
        "install g++ openssl curl python3 gnutls-bin nginx-light apache2-bin haproxy spin strace";
    assert_eq!(machine.apt_calls(), [install, "update", install]);
}

#[test]
fn without_root_it_asks_sudo() {
    let machine = Machine::new(&BUILD_TOOLS);
    machine.program("id", "echo 1000");
    machine.program("sudo", r#"[ "$1" = -n ] || exec "$@""#);
    assert!(machine.setup("test").0);
    assert_eq!(
        machine.apt_calls(),
        ["install g++ openssl curl python3 gnutls-bin nginx-light apache2-bin haproxy spin strace"]
    );
}

#[test]
fn what_it_cannot_do_it_says() {
    let machine = Machine::new(&BUILD_TOOLS);
    machine.program("id", "echo 1000");
    let (done, said) = machine.setup("test");
    let by_hand = "apt-get update && apt-get install -y --no-install-recommends \
                   g++ openssl curl python3 gnutls-bin nginx-light apache2-bin haproxy spin strace";
    assert!(!done && said.contains(by_hand), "{said}");
    assert_eq!(machine.apt_calls(), [""; 0]);

    machine.remove("apt-get");
    let (done, said) = machine.setup("test");
    assert!(!done && said.contains("openssl curl python3 gnutls-bin"), "{said}");

    machine.remove("cargo");
    let (done, said) = machine.setup("build");
    assert!(!done && said.contains("https://rustup.rs"), "{said}");
}

#[test]
fn a_failing_apt_is_quoted() {
    let machine = Machine::new(&BUILD_TOOLS);
    machine.program("apt-get", "echo E: no route to the mirror; exit 100");
    let (done, said) = machine.setup("test");
    assert!(!done && said.contains("E: no route to the mirror"), "{said}");

    machine.program("apt-get", "exit 0");
    let (done, said) = machine.setup("test");
    assert!(!done && said.contains("yet missing: g++ openssl curl"), "{said}");
}

/// A machine on which only these programs are installed, all of them idle, and apt-get, which
/// notes how it is called and then "installs" what the packages are known to contain.
struct Machine {
    dir: TempDir,
    /// One machine at a time: while one test writes a program, another test's fork holds that file
    /// open for a moment, and a program that is open for writing cannot be run.
    _alone: MutexGuard<'static, ()>,
}

const APT_GET: &str = r#"
while [ "$1" != install ] && [ "$1" != update ]; do shift; done
action=$1; shift
[ "$1" != --no-install-recommends ] || shift
echo "$action${1:+ }$*" >>"$ROOT/apt-calls"
if [ "$action" = update ]; then rm -f "$ROOT/no-lists"; exit; fi
[ ! -e "$ROOT/no-lists" ] || exit 100
for package; do
    case $package in gcc) program=cc ;; g++) program=c++ ;; gnutls-bin) program=gnutls-cli ;; nginx-light) program=nginx ;; apache2-bin) program=apache2 ;; apache2-dev) program=apxs ;; *) program=$package ;; esac
    ln -sf cargo "$ROOT/bin/$program"
done
"#;

impl Machine {
    fn new(programs: &[&str]) -> Machine {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = TempDir::new().expect("a temporary directory");
        let machine = Machine { dir, _alone: alone };
        fs::create_dir(machine.dir.path().join("bin")).expect("a new directory");
        for real in ["sh", "env", "mktemp", "rm", "cat", "ln"] {
            let path = ["/usr/bin", "/bin"].map(|dir| format!("{dir}/{real}"));
            let path = path.iter().find(|path| fs::exists(path).unwrap_or(false)).expect(real);
            symlink(path, machine.dir.path().join("bin").join(real)).expect("a new name");
        }
        for idle in programs {
            machine.program(idle, "exit 0");
        }
        machine.program("id", "echo 0");
        machine.program("apt-get", APT_GET);
        machine
    }

    fn program(&self, name: &str, script: &str) {
        self.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::write(&path, text).expect("the test's own directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    }

    fn remove(&self, program: &str) {
        fs::remove_file(self.dir.path().join("bin").join(program)).expect("it was there");
    }

    /// Whether it succeeded, and what it said.
    fn setup(&self, set: &str) -> (bool, String) {
        let Output { status, stdout, stderr } = Command::new("/bin/sh")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/setup"))
            .arg(set)
            .env_clear()
            .env("PATH", self.dir.path().join("bin"))
            .env("SBIN", self.dir.path().join("bin"))
            .env("ROOT", self.dir.path())
            .output()
            .expect("sh runs");
        let said = String::from_utf8([stdout, stderr].concat()).expect("text");
        (status.success(), said)
    }

    fn apt_calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.dir.path().join("apt-calls")).unwrap_or_default();
        calls.lines().map(String::from).collect()
    }
}
