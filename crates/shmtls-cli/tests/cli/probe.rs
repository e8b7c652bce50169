//! `shmtls probe` at real servers, those of other people too: it tells what workers share from what
//! they do not, and both from servers that never resume.

mod servers;

#[allow(dead_code, reason = "each test crate uses its part")]
#[path = "../../../../tests/common/server.rs"]
mod server;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};
use serde_json::{Value, json};

use crate::schema::assert_as_its_schema_says;
use crate::support::{assert_golden, run, shmtls, stdout, with};
use server::{Server, certificate};
use servers::Other;

/// The state or verdict of TLS 1.2 session IDs, TLS 1.2 tickets and TLS 1.3.
fn probe(port: u16, args: &[&str]) -> ([String; 3], Value) {
    let place = format!("localhost:{port}");
    let run = with(&[&["probe", &place, "--format", "json"], args].concat());
    assert_eq!(run.code, Some(0), "{run:?}");
    let report: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_as_its_schema_says(&report);
    let row = |n: usize| {
        let row = &report["kinds"][n];
        let verdict = row["verdict"].as_str().or(row["state"].as_str());
        verdict.expect("a row").to_string()
    };
    ([row(0), row(1), row(2)], report)
}

#[track_caller]
fn assert_finds(port: u16, args: &[&str], expected: [&str; 3]) {
    let (found, report) = probe(port, args);
    assert_eq!(found, expected, "{report:#}");
}

// ---- workers that share -----------------------------------------------------------------------

#[test]
fn our_own_server_resumes_always() {
    let server = Server::start(&["--tickets", "off"]);
    assert_finds(server.port(), &["--parallel", "8"], ["always", "not_offered", "always"]);
    let server = Server::start(&["--tickets", "on", "--rotate", "1"]);
    assert_finds(server.port(), &["--http"], ["always"; 3]);
}

#[test]
fn nginx_with_a_shared_cache() {
    let nginx = Other::nginx("ssl_session_cache shared:probe:1m; ssl_session_tickets off;");
    assert_finds(nginx.port(), &["--http"], ["always", "not_offered", "always"]);
}

#[test]
fn httpd_with_a_shared_cache() {
    let httpd = Other::httpd("SSLSessionCache shmcb:{dir}/cache(512000)\nSSLSessionTickets off");
    assert_finds(httpd.port(), &["--parallel", "4"], ["always", "not_offered", "always"]);
}

/// Its context, and so the key of its tickets, is made before the fork.
#[test]
fn httpd_without_a_cache_resumes_tickets() {
    let httpd = Other::httpd("SSLSessionCache none");
    assert_finds(httpd.port(), &["--parallel", "4"], ["not_offered", "always", "always"]);
}

#[test]
fn one_process_shares_with_itself() {
    let s_server = Other::s_server(&[]);
    assert_finds(s_server.port(), &[], ["always"; 3]);
}

// ---- workers that share nothing ---------------------------------------------------------------

/// OpenSSL's own cache is in the memory of each worker.
#[test]
fn nginx_with_a_cache_per_worker() {
    let nginx = Other::nginx("ssl_session_cache builtin; ssl_session_tickets off;");
    let (found, report) = probe(nginx.port(), &["--connections", "200"]);
    assert_eq!(found, ["per_worker", "not_offered", "per_worker"], "{report:#}");
    for kind in [0, 2] {
        let workers = |field: &str| report["kinds"][kind][field].as_u64().expect("a number");
        // Fails wrongly once in ten thousand runs: 4 workers, 200 attempts.
        let resumed = workers("resumed");
        assert!((27..=76).contains(&resumed), "{report:#}");
        assert!((3..=7).contains(&workers("workers")), "{report:#}");
    }
}

// ---- servers that never resume ----------------------------------------------------------------

/// A session ID that nobody looks up, as some clients need it.
#[test]
fn httpd_that_keeps_nothing() {
    let httpd = Other::httpd("SSLSessionCache nonenotnull\nSSLSessionTickets off");
    assert_finds(httpd.port(), &[], ["never", "not_offered", "never"]);
}

/// OpenSSL's TLS 1.3 promises a session whether or not anything keeps it.
#[test]
fn httpd_that_promises_nothing_but_in_tls_1_3() {
    let httpd = Other::httpd("SSLSessionCache none\nSSLSessionTickets off");
    assert_finds(httpd.port(), &[], ["not_offered", "not_offered", "never"]);
}

#[test]
fn nginx_that_keeps_nothing() {
    let nginx = Other::nginx("ssl_session_cache none; ssl_session_tickets off;");
    assert_finds(nginx.port(), &[], ["never", "not_offered", "never"]);
    let nginx = Other::nginx("ssl_session_cache off; ssl_session_tickets on;");
    assert_finds(nginx.port(), &[], ["not_offered", "always", "always"]);
}

/// A server that closes first and without close_notify makes OpenSSL remove the session. A client
/// that closes first never sees it, and so `--http` lets the server close.
#[test]
fn a_server_that_closes_without_close_notify() {
    let port = hanging_up();
    assert_finds(port, &[], ["always"; 3]);
    let (found, report) = probe(port, &["--http"]);
    assert_eq!(found, ["never", "always", "always"], "{report:#}");
    assert_eq!(report["kinds"][0]["close_notify"], 0);
    let text = stdout(&["probe", &format!("localhost:{port}"), "--http"]);
    assert!(text.contains("TLS 1.2 id: the server closes without close_notify"), "{text}");
}

/// A server as one writes it with the openssl crate at first: it answers and drops the connection.
/// Its port.
fn hanging_up() -> u16 {
    let identity = certificate();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("OpenSSL");
    let file = |name| identity.path().join(name);
    acceptor.set_certificate_chain_file(file("cert.pem")).expect("a certificate");
    acceptor.set_private_key_file(file("key.pem"), SslFiletype::PEM).expect("its key");
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let Ok(mut stream) = acceptor.accept(socket) else { continue };
            let mut request = [0; 1024];
            if stream.read(&mut request).is_ok_and(|len| len > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            } else {
                let _ = stream.shutdown();
            }
        }
    });
    port
}

/// `s_server -www` knows GET only. A server that says nothing takes one timeout, and not one for
/// each connection.
#[test]
fn a_request_that_is_not_answered() {
    let s_server = Other::s_server(&["-www"]);
    let place = format!("localhost:{}", s_server.port());
    let args = ["--http", "--tls", "1.3", "--timeout", "300ms"];
    assert_fails(&place, &args, 3, "the request was not answered");
}

// ---- the report -------------------------------------------------------------------------------

#[test]
fn what_it_looks_like() {
    let server = Server::start(&["--tickets", "off"]);
    let port = server.port().to_string();
    let place = format!("localhost:{port}");
    let text = stdout(&["probe", &place, "--min", "95"]);
    let words = |line: &str| {
        let line = line.replace(&port, "PORT");
        let words: Vec<_> = line.split_whitespace().collect();
        // `1.32 ms`
        let is_time = |n: usize| words.get(n + 1) == Some(&"ms");
        let word = |n: usize| if is_time(n) { "TIME" } else { words[n] };
        (0..words.len()).map(word).collect::<Vec<_>>().join(" ") + "\n"
    };
    assert_golden("probe.txt", &text.lines().map(words).collect::<String>());

    let (_, mut report) = probe(server.port(), &["--min", "95"]);
    for field in ["target", "address"] {
        report[field] = report[field].as_str().expect("text").replace(&port, "PORT").into();
    }
    for row in report["kinds"].as_array_mut().expect("rows") {
        for field in ["full_handshake_us", "resumed_handshake_us"] {
            if row[field].is_number() {
                row[field] = "TIME".into();
            }
        }
    }
    let pretty = serde_json::to_string_pretty(&report).expect("JSON") + "\n";
    assert_golden("probe.json", &pretty);
}

#[test]
fn the_exit_code_says_whether_the_minimum_is_reached() {
    let never = Other::httpd("SSLSessionCache nonenotnull\nSSLSessionTickets off");
    let place = format!("localhost:{}", never.port());
    let probe = |args: &[&str]| with(&[&["probe", &place, "-n", "10"], args].concat());
    let below = probe(&["--min", "95%"]);
    assert_eq!(below.code, Some(1), "{below:?}");
    assert!(below.stdout.contains("below 95 %: never"), "{below:?}");
    assert_eq!(probe(&["--min", "0"]).code, Some(0));
    assert_eq!(probe(&[]).code, Some(0));
}

#[test]
fn a_version_that_is_not_spoken_is_a_row() {
    let server = Server::start(&["--tls", "1.3"]);
    let (found, report) = probe(server.port(), &[]);
    assert_eq!(found, ["refused", "refused", "always"], "{report:#}");
    assert_eq!(report["kinds"][0]["reason"], "alert protocol_version");
    let place = format!("localhost:{}", server.port());
    let run = with(&["probe", &place, "--tls", "1.2"]);
    assert_eq!((run.code, &*run.stdout), (Some(3), ""), "{run:?}");
    assert!(run.stderr.contains(&format!("{place}: alert protocol_version")), "{run:?}");
}

// ---- no server, or none that speaks TLS -------------------------------------------------------

#[track_caller]
fn assert_fails(place: &str, args: &[&str], code: i32, why: &str) {
    let run = run(shmtls().args(["probe", place]).args(args));
    assert_eq!((run.code, &*run.stdout), (Some(code), ""), "{run:?}");
    assert!(run.stderr.contains(why), "{why:?} is not in:\n{}", run.stderr);
}

#[test]
fn why_there_is_no_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let place = listener.local_addr().expect("an address").to_string();
    // The kernel accepts for a server that never does.
    assert_fails(&place, &["--timeout", "200ms"], 3, "timeout");

    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let greeting = (&socket).write_all(b"220 mail ESMTP\r\n");
            greeting.expect("a socket");
        }
    });
    assert_fails(&place, &[], 3, "does not speak TLS");
    assert_fails("127.0.0.1:1", &[], 3, "127.0.0.1:1: cannot connect: connection refused");
    assert_fails("no.such.name.invalid:443", &[], 3, "cannot resolve the name");
}

#[test]
fn what_makes_no_sense() {
    for (args, why) in [
        (["--min", "101"], "a number from 0 to 100"),
        (["--connections", "0"], "0 is not in 1..=10000"),
        (["--parallel", "65"], "65 is not in 1..=64"),
        (["--timeout", "0s"], "at least 1ms"),
        (["--alpn", "h2,"], "1 to 255 bytes"),
    ] {
        assert_fails("localhost:443", &args, 2, why);
    }
    assert_fails("localhost", &[], 2, "expected HOST:PORT");
}

/// The numbers a script may rely on.
#[test]
fn a_session_is_offered_as_often_as_asked() {
    let server = Server::start(&["--tickets", "on"]);
    let (_, report) = probe(server.port(), &["-n", "13", "--alpn", "h2,http/1.1", "--sni", "x.y"]);
    assert_eq!(report["sni"], "x.y");
    for row in report["kinds"].as_array().expect("rows") {
        assert_eq!((&row["attempts"], &row["connections"]), (&json!(13), &json!(21)), "{row}");
    }
}
