//! Other people's servers, as Debian packages them: each a child of the test on a port of its own,
//! and gone with all of its workers when the test ends, however it ends.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::server::{certificate, eventually};

/// Where the modules of httpd are, in Debian and in Fedora.
const HTTPD_MODULES: [&str; 2] = ["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules"];

pub(super) struct Other {
    child: Child,
    port: u16,
    dir: TempDir,
}

impl Other {
    /// nginx with four workers, each of them with a queue of connections of its own, so that the
    /// kernel spreads connections over them.
    pub(super) fn nginx(sessions: &str) -> Other {
        let (dir, port) = (certificate(), free_port());
        let at = dir.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|what| format!("{what}_temp_path {at}/{what};\n")).concat();
        let config = format!(
            "daemon off;\nworker_processes 4;\npid {at}/nginx.pid;\nerror_log stderr;\n\
             events {{ worker_connections 64; }}\n\
             http {{\naccess_log off;\n{temporary}\
             ssl_certificate {at}/cert.pem;\nssl_certificate_key {at}/key.pem;\n\
             ssl_protocols TLSv1.2 TLSv1.3;\n{sessions}\n\
             server {{ listen 127.0.0.1:{port} ssl reuseport; return 200 'nginx'; }}\n}}\n"
        );
        let file = dir.path().join("nginx.conf");
        fs::write(&file, config).expect("written");
        let mut command = Command::new(program("nginx"));
        command.arg("-p").arg(dir.path()).arg("-c").arg(&file).args(["-e", "stderr"]);
        Other::start(command, port, dir)
    }

    /// httpd with four prefork workers; `{dir}` in `sessions` is a directory of its own.
    pub(super) fn httpd(sessions: &str) -> Other {
        let (dir, port) = (certificate(), free_port());
        let at = dir.path().display().to_string();
        // Its workers run as nobody where the test is root.
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("chmod");
        let modules = HTTPD_MODULES.iter().find(|path| Path::new(path).exists());
        let modules = modules.expect("apache2-bin is not installed; `make setup` installs it");
        let module = |name| format!("LoadModule {name}_module {modules}/mod_{name}.so\n");
        let modules = ["mpm_prefork", "authz_core", "socache_shmcb", "ssl"].map(module).concat();
        let user =
            if nix::unistd::geteuid().is_root() { "User #65534\nGroup #65534\n" } else { "" };
        let config = format!(
            "ServerRoot {at}\nServerName localhost\nPidFile {at}/pid\nErrorLog {at}/error.log\n\
             DefaultRuntimeDir {at}\nMutex file:{at}\nListen 127.0.0.1:{port}\n{modules}{user}\
             StartServers 4\nMinSpareServers 4\nMaxSpareServers 4\nMaxRequestWorkers 4\n{}\n\
             SSLEngine on\nSSLCertificateFile {at}/cert.pem\nSSLCertificateKeyFile {at}/key.pem\n",
            sessions.replace("{dir}", &at)
        );
        let file = dir.path().join("httpd.conf");
        fs::write(&file, config).expect("written");
        let mut command = Command::new(program("apache2"));
        command.arg("-f").arg(&file).arg("-DFOREGROUND");
        Other::start(command, port, dir)
    }

    /// One process, one context.
    pub(super) fn s_server(args: &[&str]) -> Other {
        let (dir, port) = (certificate(), free_port());
        let mut command = Command::new(program("openssl"));
        command
            .args(["s_server", "-quiet", "-cert", "cert.pem", "-key", "key.pem", "-accept"])
            .arg(format!("127.0.0.1:{port}"))
            .args(args)
            .current_dir(dir.path());
        Other::start(command, port, dir)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    fn start(mut command: Command, port: u16, dir: TempDir) -> Other {
        let log = File::create(dir.path().join("output")).expect("a log");
        command
            // A group of its own, so that one signal reaches the workers too.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log);
        let child = command.spawn().expect("it is installed");
        let mut other = Other { child, port, dir };
        eventually("the other server listens", || {
            let exited = other.child.try_wait().expect("a child of ours");
            assert!(exited.is_none(), "it ended: {exited:?}");
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        other
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id().try_into().expect("a pid"));
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
        if thread::panicking() {
            for log in ["output", "error.log"] {
                let said = fs::read_to_string(self.dir.path().join(log)).unwrap_or_default();
                eprintln!("---- the other server's {log}:\n{said}\n----");
            }
        }
    }
}

/// A program that has to be there. Debian keeps servers where users do not look.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = places.iter().map(|place| place.join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not installed; `make setup` installs it"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}
