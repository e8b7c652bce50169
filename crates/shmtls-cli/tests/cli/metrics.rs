//! `shmtls metrics`: what Prometheus would read, however it is fetched.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::canary::{self, Forms};
use crate::support::{Name, assert_golden, busy, run, shmtls, stdout, wait_for, with};
use exposition::Exposition;

mod exposition;

/// Each name with its labels; the figures vary.
#[test]
fn names_and_labels() {
    let name = Name::new();
    let _cache = busy(&name);
    let text = stdout(&["metrics", name.get()]);
    Exposition::parse(&text);
    let without_figure = |line: &str| match line.starts_with('#') {
        true => line.to_owned(),
        false => line.rsplit_once(' ').expect("a figure").0.to_owned(),
    };
    let lines: Vec<_> = text.lines().map(without_figure).collect();
    assert_golden("metrics.txt", &lines.join("\n").replace(name.get(), "NAME"));
}

#[test]
fn figures_are_those_of_the_segment() {
    let name = Name::new();
    let _cache = busy(&name);
    let metrics = Exposition::parse(&stdout(&["metrics", name.get()]));
    let figure = |series: &str| metrics.value(&series.replace("NAME", name.get()));
    assert_eq!(figure("shmtls_up{segment=\"NAME\"}"), 1.0);
    assert_eq!(figure("shmtls_gets_total{segment=\"NAME\",result=\"hit\"}"), 2.0);
    assert_eq!(figure("shmtls_stores_total{segment=\"NAME\",result=\"new\"}"), 4.0);
    assert_eq!(figure("shmtls_sessions{segment=\"NAME\"}"), 4.0);
    assert_eq!(figure("shmtls_size_bytes{segment=\"NAME\"}"), f64::from(1 << 20));
    assert_eq!(figure("shmtls_processes{segment=\"NAME\",state=\"alive\"}"), 1.0);
    assert_eq!(figure("shmtls_ticket_key_epoch{segment=\"NAME\"}"), 1.0);
    assert_eq!(figure("shmtls_ticket_key_processes_current{segment=\"NAME\"}"), 1.0);
}

/// A counter that falls is taken for one that began anew: what it had counted would count twice.
#[test]
fn counters_stay_when_processes_leave() {
    let name = Name::new();
    let cache = busy(&name);
    let before = Exposition::parse(&stdout(&["metrics", name.get()]));
    drop(cache);
    let after = Exposition::parse(&stdout(&["metrics", name.get()]));
    let counters: Vec<_> = before.counters().collect();
    assert!(counters.len() > 40, "{counters:?}");
    for (series, count) in counters {
        assert!(after.value(series) >= count, "{series}");
    }
}

#[test]
fn one_that_is_not_there_hides_no_other() {
    let (name, missing) = (Name::created(), Name::new());
    let run = with(&["metrics", name.get(), missing.get(), "pid:nobody"]);
    let metrics = Exposition::parse(&run.stdout);
    assert_eq!(metrics.value(&format!("shmtls_up{{segment=\"{}\"}}", name.get())), 1.0);
    assert_eq!(metrics.value(&format!("shmtls_up{{segment=\"{}\"}}", missing.get())), 0.0);
    assert_eq!(metrics.value("shmtls_up{segment=\"pid:nobody\"}"), 0.0);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.starts_with("error: no segment"), "{run:?}");
}

#[test]
fn a_scrape_over_http() {
    let (name, forms) = (Name::new(), Forms::of_all());
    let cache = busy(&name);
    canary::store(&cache);
    let exporter = Exporter::start(&[name.get()]);
    let (head, body) = exporter.get("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    Exposition::parse(&body);
    assert_eq!(forms.found_in(&body), None);
    assert_eq!(exporter.get("HEAD /metrics HTTP/1.1\r\n\r\n").1, "");
    assert!(exporter.get("GET / HTTP/1.0\r\n\r\n").1.contains("href=\"/metrics\""));
    for (request, status) in [
        ("GET /nothing HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ("\x16\x03\x01\r\n\r\n", "400"),
    ] {
        let (head, _) = exporter.get(request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(10_000));
    assert!(exporter.get(&long).0.starts_with("HTTP/1.1 431 "));

    let curl = run(Command::new("curl").args(["-sSf", &format!("{}metrics", exporter.url())]));
    assert_eq!(curl.code, Some(0), "{curl:?}");
    Exposition::parse(&curl.stdout);
    exporter.interrupt();
}

/// Clients that say nothing, or one byte at a time, keep nobody else from an answer.
#[test]
fn a_client_that_never_asks() {
    let name = Name::created();
    let exporter = Exporter::start(&[name.get()]);
    let mut silent: Vec<_> = (0..15).map(|_| exporter.connect()).collect();
    silent.iter_mut().for_each(|it| it.write_all(b"G").expect("sent"));
    let start = Instant::now();
    assert!(exporter.get("GET /metrics HTTP/1.1\r\n\r\n").0.starts_with("HTTP/1.1 200"));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    // More than it serves are turned away, and all are let go in the end.
    let mut more: Vec<_> = (0..20).map(|_| exporter.connect()).collect();
    for stream in silent.iter_mut().chain(&mut more) {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        // A reset is a goodbye too: there was a byte that nobody read.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    wait_for("it answers again", || {
        exporter.try_get("GET /metrics HTTP/1.1\r\n\r\n").0.starts_with("HTTP/1.1 200")
    });
    exporter.interrupt();
}

/// The exporter goes on whatever becomes of what it exports: each look is a process of its own.
#[test]
fn segments_that_are_cut_removed_and_made_anew() {
    let (name, other) = (Name::new(), Name::created());
    let cache = busy(&name);
    let file = OpenOptions::new().write(true).open(name.path()).expect("the segment");
    let whole = file.metadata().expect("stat").len();
    let exporter = Exporter::start(&[name.get(), other.get()]);
    let up = |name: &Name| {
        let metrics = Exposition::parse(&exporter.get("GET /metrics HTTP/1.1\r\n\r\n").1);
        metrics.value(&format!("shmtls_up{{segment=\"{}\"}}", name.get()))
    };
    assert_eq!(up(&name), 1.0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                file.set_len(20_000).expect("cut");
                file.set_len(whole).expect("grown");
            }
        });
        (0..40).for_each(|_| assert_eq!(up(&other), 1.0));
        done.store(true, Relaxed);
    });
    file.set_len(20_000).expect("cut");
    assert_eq!((up(&name), up(&other)), (0.0, 1.0));
    std::mem::forget(cache); // to leave would be to read behind the end
    fs::remove_file(name.path()).expect("removed");
    assert_eq!((up(&name), up(&other)), (0.0, 1.0));
    let _cache = busy(&name);
    assert_eq!((up(&name), up(&other)), (1.0, 1.0));
    exporter.interrupt();
}

#[test]
fn where_it_may_listen() {
    let remote = with(&["metrics", "--listen", "0.0.0.0:0"]);
    assert_eq!(remote.code, Some(2), "{remote:?}");
    assert!(remote.stderr.contains("--allow-remote"), "{remote:?}");
    let name = Name::created();
    let exporter = Exporter::start(&[name.get()]);
    let taken = with(&["metrics", "--listen", &exporter.address]);
    assert_eq!(taken.code, Some(3), "{taken:?}");
    assert!(taken.stderr.contains("cannot listen on") && taken.stderr.contains("tip: "));
    exporter.interrupt();
    for args in
        [&["--listen", "9798"][..], &["--allow-remote"], &["-w", "1s"], &["--format", "json"]]
    {
        let usage = with(&[&["metrics"], args].concat());
        assert_eq!(usage.code, Some(2), "{usage:?}");
    }
}

/// Whoever collects the file never meets half of it, nor a stranger's leftovers.
#[test]
fn a_file_that_is_whole_at_any_time() {
    let name = Name::new();
    let _cache = busy(&name);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("shmtls.prom");
    let path = file.to_str().expect("UTF-8");
    assert_eq!(stdout(&["metrics", name.get(), "--output", path]), "");
    Exposition::parse(&fs::read_to_string(&file).expect("written"));
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o644);
    fs::remove_file(&file).expect("removed");

    let mut command = shmtls();
    command.args(["metrics", name.get(), "--output", path, "-w", "100ms"]);
    let mut child = command.spawn().expect("the program");
    wait_for("the file", || file.exists());
    let modified = || fs::metadata(&file).expect("there at any time").modified().expect("a time");
    for _ in 0..3 {
        let before = modified();
        wait_for("it is written again", || {
            Exposition::parse(&fs::read_to_string(&file).expect("there at any time"));
            modified() > before
        });
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("a signal");
    assert_eq!(child.wait().expect("ended").code(), Some(130));

    let nowhere = with(&["metrics", name.get(), "--output", "/nowhere/at.prom"]);
    assert_eq!(nowhere.code, Some(3), "{nowhere:?}");
    assert!(nowhere.stderr.starts_with("error: cannot write /nowhere/at.prom: "), "{nowhere:?}");
}

/// Where Prometheus's own tool is.
#[test]
fn promtool_is_content() {
    let name = Name::new();
    let _cache = busy(&name);
    let text = stdout(&["metrics", name.get()]);
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]);
    promtool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = promtool.spawn() else {
        eprintln!("not tested: there is no promtool on this machine");
        return;
    };
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("read");
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// What the documentation and the dashboard ask for is there.
#[test]
fn every_name_that_is_asked_for_is_exported() {
    let name = Name::new();
    let _cache = busy(&name);
    let metrics = Exposition::parse(&stdout(&["metrics", name.get()]));
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for file in ["monitoring.md", "grafana-shmtls.json"] {
        let text = fs::read_to_string(docs.join(file)).expect("a document");
        let asked = exposition::names_in(&text);
        assert!(asked.len() >= 9, "{file}: {asked:?}");
        for name in asked {
            assert!(metrics.has(&name), "{file}: {name}");
        }
    }
    let text = fs::read_to_string(docs.join("grafana-shmtls.json")).expect("a dashboard");
    let dashboard: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: std::collections::BTreeSet<_> = panels.iter().map(|it| it["id"].as_u64()).collect();
    assert!(panels.len() > 10 && ids.len() == panels.len());
    assert!(panels.iter().all(|it| it["datasource"]["uid"] == "${DS_PROMETHEUS}"));
}

/// A running `shmtls metrics --listen`.
struct Exporter {
    child: Child,
    address: String,
}

impl Exporter {
    fn start(segments: &[&str]) -> Self {
        let mut command = shmtls();
        command.arg("metrics").args(segments).args(["--listen", "127.0.0.1:0"]);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program");
        let mut note = String::new();
        BufReader::new(child.stderr.take().expect("piped")).read_line(&mut note).expect("a note");
        let address = note.trim().strip_prefix("note: http://").expect("an address");
        let address = address.strip_suffix("/metrics").expect("an address").into();
        Self { child, address }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).expect("it listens")
    }

    /// Head and body of the answer.
    #[track_caller]
    fn get(&self, request: &str) -> (String, String) {
        let (head, body) = self.try_get(request);
        assert!(!head.is_empty(), "no answer to {request:?}");
        (head, body)
    }

    fn try_get(&self, request: &str) -> (String, String) {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).expect("UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        (format!("{head}\r\n"), body.into())
    }

    #[track_caller]
    fn interrupt(mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).expect("a signal");
        wait_for("its end", || self.child.try_wait().expect("a child").is_some());
        assert_eq!(self.child.wait().expect("ended").code(), Some(130));
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
