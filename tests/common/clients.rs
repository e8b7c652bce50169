//! TLS clients that nobody here wrote, each as one function: it visits the workers in turn, offers
//! on every visit what it learned on the ones before, and gives back what the workers answered.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::forwarder::forward_to;
use crate::common::server::{Reply, Server};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tls12,
    Tls13,
}

impl Protocol {
    pub(crate) const ALL: [Protocol; 2] = [Protocol::Tls12, Protocol::Tls13];

    /// As OpenSSL, and so the server, calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Protocol::Tls12 => "TLSv1.2",
            Protocol::Tls13 => "TLSv1.3",
        }
    }
}

/// `openssl s_client`: a process per visit, the session in a file between them.
pub(crate) fn s_client(server: &Server, protocol: Protocol) -> Vec<Reply> {
    let session = server.dir().join(format!("{}.session", protocol.name()));
    let visits = server.worker_ports().into_iter().enumerate();
    let replies = visits.map(|(nth, port)| {
        let visit = SClient::new(server, port, protocol).save(&session);
        let output = if nth == 0 { visit.run() } else { visit.offer(&session).run() };
        let verdict = if nth == 0 { "New, TLS" } else { "Reused, TLS" };
        assert!(
            output.contains(verdict),
            "visit {nth}: s_client does not say {verdict}:\n{output}"
        );
        the_reply(&output)
    });
    replies.collect()
}

/// One visit of `openssl s_client`, for what only some visits do.
pub(crate) struct SClient {
    command: Command,
    request: &'static str,
}

impl SClient {
    pub(crate) fn new(server: &Server, port: u16, protocol: Protocol) -> Self {
        let mut command = tool("openssl");
        command
            .args(["s_client", "-ign_eof", "-verify_return_error", "-servername", "localhost"])
            .arg("-connect")
            .arg(format!("127.0.0.1:{port}"))
            .arg("-CAfile")
            .arg(server.cert());
        match protocol {
            // Without the ticket extension: as the clients that know session IDs only.
            Protocol::Tls12 => command.args(["-tls1_2", "-no_ticket"]),
            Protocol::Tls13 => command.arg("-tls1_3"),
        };
        SClient { command, request: REQUEST }
    }

    pub(crate) fn save(mut self, session: &Path) -> Self {
        self.command.arg("-sess_out").arg(session);
        self
    }

    pub(crate) fn offer(mut self, session: &Path) -> Self {
        self.command.arg("-sess_in").arg(session);
        self
    }

    /// Sends the request as early data, and then only if `and_again` as ordinary data too.
    pub(crate) fn early(mut self, server: &Server, and_again: bool) -> Self {
        let file = server.dir().join("early.request");
        std::fs::write(&file, REQUEST).expect("the test's own directory");
        self.command.arg("-early_data").arg(file);
        self.request = if and_again { REQUEST } else { "" };
        self
    }

    pub(crate) fn run(self) -> String {
        run(self.command, self.request)
    }
}

/// curl: one process, its own session cache, keyed by host and port.
pub(crate) fn curl(server: &Server, protocol: Protocol) -> Vec<Reply> {
    let workers = server.worker_ports();
    let url = format!("https://localhost:{}/", forward_to(workers.clone()));
    let mut command = tool("curl");
    command.args(["--silent", "--show-error", "--ipv4", "--cacert"]).arg(server.cert());
    match protocol {
        Protocol::Tls12 => command.args(["--tlsv1.2", "--tls-max", "1.2"]),
        Protocol::Tls13 => command.arg("--tlsv1.3"),
    };
    command.args(workers.iter().map(|_| &url));
    Reply::all_in(&run(command, ""))
}

/// Python's ssl module: one process, the session handed over as an object.
pub(crate) fn python(server: &Server, protocol: Protocol) -> Vec<Reply> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/resume.py");
    let mut command = tool("python3");
    command.arg(script).arg(server.cert()).arg(protocol.name().replace('.', "_"));
    command.args(server.worker_ports().iter().map(u16::to_string));
    let output = run(command, "");
    let resumed = output.matches("session_reused=True").count();
    assert_eq!(resumed, server.worker_ports().len() - 1, "Python's own view:\n{output}");
    Reply::all_in(&output)
}

/// gnutls-cli: connects, leaves, and sends its request over a second, resumed connection.
///
/// So the first visit has no reply; the forwarder sent it to worker 0.
pub(crate) fn gnutls(server: &Server, protocol: Protocol) -> Vec<Reply> {
    let port = forward_to(server.worker_ports());
    let priority = match protocol {
        Protocol::Tls12 => "NORMAL:-VERS-ALL:+VERS-TLS1.2",
        Protocol::Tls13 => "NORMAL:-VERS-ALL:+VERS-TLS1.3",
    };
    let mut command = tool("gnutls-cli");
    command
        .args(["--resume", "--waitresumption", "--priority", priority])
        .arg("--x509cafile")
        .arg(server.cert())
        .args(["--sni-hostname", "localhost", "--verify-hostname", "localhost"])
        .args(["--port", &port.to_string(), "127.0.0.1"]);
    let output = run(command, REQUEST);
    assert!(output.contains("This is a resumed session"), "gnutls-cli's own view:\n{output}");
    Reply::all_in(&output)
}

pub(crate) fn the_reply(output: &str) -> Reply {
    let replies = Reply::all_in(output);
    assert_eq!(replies.len(), 1, "one answer was expected here:\n{output}");
    replies.into_iter().next().expect("one")
}

/// A program that has to be there, since a client left out would pass for one that resumes. It gets
/// a limit of its own, so that a hung one fails its test and not the whole run.
fn tool(name: &str) -> Command {
    let there =
        Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(there.is_ok(), "{name} is not installed; `make setup` installs it");
    let mut command = Command::new("timeout");
    command.args(["15", name]);
    command
}

/// Everything that the client prints until the server ends the connection.
fn run(mut command: Command, request: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = command.spawn().expect("timeout is part of coreutils");
    // Taken, and so kept open until the client ends: to some clients the end of their input means
    // that they may leave, answer or not.
    let mut stdin = client.stdin.take().expect("piped");
    stdin.write_all(request.as_bytes()).expect("the client reads its input");
    let output = client.wait_with_output().expect("the client ends");
    drop(stdin);

    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    format!("{stdout}\n{stderr}")
}
