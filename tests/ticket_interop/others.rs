//! Other people's servers, as Debian packages them: started on a port of their own, and gone with
//! all of their workers when the test ends, however it ends.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::server::eventually;

pub(crate) struct Other {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Other {
    /// nginx with two workers, no session cache, and these keys, the first of which encrypts.
    pub(crate) fn nginx(dir: &Path, keys: &[PathBuf]) -> Self {
        let port = free_port();
        let at = dir.display();
        let keys = keys.iter().map(|key| format!("ssl_session_ticket_key {};\n", key.display()));
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|what| format!("{what}_temp_path {at}/{what};\n")).concat();
        let config = format!(
            "daemon off;\nworker_processes 2;\npid {at}/nginx.pid;\nerror_log stderr;\n\
             events {{ worker_connections 64; }}\n\
             http {{\naccess_log off;\n{temporary}\
             ssl_certificate {at}/cert.pem;\nssl_certificate_key {at}/key.pem;\n\
             ssl_protocols TLSv1.2 TLSv1.3;\nssl_session_cache off;\n{}\
             server {{ listen 127.0.0.1:{port} ssl; return 200 'nginx'; }}\n}}\n",
            keys.collect::<String>()
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, config).expect("written");
        let mut command = Command::new(program("nginx"));
        command.arg("-p").arg(dir).arg("-c").arg(&file).args(["-e", "stderr"]);
        Self::start(command, port, dir.join("nginx.log"))
    }

    /// HAProxy without a session cache, and with the keys of this file.
    pub(crate) fn haproxy(dir: &Path, keys: &Path) -> Self {
        let port = free_port();
        let identity = dir.join("identity.pem");
        let read = |name| fs::read_to_string(dir.join(name)).expect("a certificate");
        fs::write(&identity, read("cert.pem") + &read("key.pem")).expect("written");
        let config = format!(
            "global\n  tune.ssl.cachesize 0\n  ssl-default-bind-options ssl-min-ver TLSv1.2\n\
             defaults\n  mode http\n  timeout client 10s\n  timeout server 10s\n\
             \x20 timeout connect 10s\n\
             frontend tickets\n  bind 127.0.0.1:{port} ssl crt {} tls-ticket-keys {}\n\
             \x20 http-request return status 200 content-type text/plain string haproxy\n",
            identity.display(),
            keys.display(),
        );
        let file = dir.join("haproxy.conf");
        fs::write(&file, config).expect("written");
        let mut command = Command::new(program("haproxy"));
        command.arg("-db").arg("-f").arg(&file);
        Self::start(command, port, dir.join("haproxy.log"))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn start(mut command: Command, port: u16, log: PathBuf) -> Self {
        let output = fs::File::create(&log).expect("a log");
        command
            // A group of its own, so that one signal reaches the workers too.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a descriptor"))
            .stderr(output);
        let child = command.spawn().expect("it is installed");
        let mut other = Self { child, port, log };
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
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("---- the other server said:\n{log}\n----");
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
