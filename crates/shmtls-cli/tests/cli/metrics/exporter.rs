//! The exporter over HTTP, asked by curl, by clients that are no good, and while segments go.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shmtls::Options;

use super::AtTheEnd;
use super::format::Exposition;
use crate::support::{Name, busy, fill, run, shmtls, wait_for, with};

/// The program as it listens; killed at the end.
pub(crate) struct Exporter {
    child: Child,
    /// What it says from now on, line by line.
    said: Arc<Mutex<Vec<String>>>,
    address: String,
}

impl Exporter {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::listening("127.0.0.1:0", args)
    }

    fn listening(address: &str, args: &[&str]) -> Self {
        let mut command = shmtls();
        command.args(["metrics", "--listen", address]).args(args);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program");
        let mut lines = BufReader::new(child.stderr.take().expect("its stderr")).lines();
        let note = |line: &String| line.starts_with("note: listening on http://");
        let line = lines.by_ref().map_while(Result::ok).find(note).expect("it listens");
        let address = line.trim_start_matches("note: listening on http://");
        let address = address.strip_suffix("/metrics").expect("an address").to_owned();
        let said = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&said);
        thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| all.lock().expect("whole").push(line));
        });
        Self { child, said, address }
    }

    /// One request over one connection; all of the response.
    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("it answers and closes");
        response
    }

    /// Head and body of a GET.
    fn get(&self, path: &str) -> (String, String) {
        let response = self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address));
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        (head.into(), body.into())
    }

    #[track_caller]
    pub(crate) fn scrape(&self) -> Exposition {
        let (head, body) = self.get("/metrics");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head} {body}");
        Exposition::of(&body)
    }

    fn end(mut self, signal: Signal) -> std::process::ExitStatus {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("a signal");
        self.child.wait().expect("its end")
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn curl_gets_what_the_program_prints() {
    let name = Name::new();
    let _cache = busy(&name);
    let exporter = Exporter::start(&[name.get()]);
    let curl = |args: &[&str], path: &str| {
        let url = format!("http://{}{path}", exporter.address);
        run(Command::new("curl").args(["-s", "-S"]).args(args).arg(url)).stdout
    };
    let response = curl(&["-i"], "/metrics");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let length = format!("\r\nContent-Length: {}\r\n", body.len());
    let kind = "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n";
    for line in [kind, "\r\nConnection: close", &length] {
        assert!(head.contains(line), "{line:?} is not in {head}");
    }
    let without_times = |text: &str| {
        let lines =
            text.lines().filter(|line| !line.contains("_duration_") && !line.contains("_age_"));
        lines.map(String::from).collect::<Vec<_>>()
    };
    let printed = with(&["metrics", name.get()]).stdout;
    assert_eq!(without_times(body), without_times(&printed));
    assert_eq!(Exposition::of(body).value("shmtls_gets_total", &[("result", "hit")]), 2.0);

    let head = curl(&["-I"], "/metrics");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(curl(&[], "/").contains("<a href=\"/metrics\">"));
    assert!(curl(&["-i"], "/other").starts_with("HTTP/1.1 404 Not Found\r\n"));
    let posted = curl(&["-i", "-d", &"x".repeat(20_000)], "/metrics");
    assert!(posted.contains("HTTP/1.1 405 Method Not Allowed\r\n"), "{posted}");
    assert!(posted.contains("\r\nAllow: GET, HEAD\r\n"), "{posted}");
}

#[test]
fn ipv6_and_signals() {
    let name = Name::created();
    let exporter = Exporter::listening("[::1]:0", &[name.get()]);
    assert!(exporter.address.starts_with("[::1]:"), "{}", exporter.address);
    assert_eq!(exporter.scrape().value("shmtls_up", &[]), 1.0);
    assert_eq!(exporter.end(Signal::SIGINT).code(), Some(130));
    let status = Exporter::listening("0.0.0.0:0", &["--allow-remote"]).end(Signal::SIGTERM);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
}

#[test]
fn an_address_that_is_taken() {
    let exporter = Exporter::start(&[]);
    let run = with(&["metrics", "--listen", &exporter.address]);
    assert_eq!(run.code, Some(3), "{run:?}");
    let port = exporter.address.rsplit(':').next().expect("a port");
    let error = format!("error: cannot listen on {}: Address already in use", exporter.address);
    let tip = format!("tip: ss -ltnp 'sport = :{port}' shows who does; --listen 127.0.0.1:0 ");
    assert!(run.stderr.starts_with(&error) && run.stderr.contains(&tip), "{run:?}");
    let run = with(&["metrics", "a b", "--listen", "127.0.0.1:0"]);
    assert_eq!((run.code, run.stderr.contains("tip: use letters")), (Some(2), true), "{run:?}");
}

#[test]
fn what_is_no_request_is_told() {
    let exporter = Exporter::start(&[]);
    let status = |request: &str| exporter.ask(request)[9..12].to_owned();
    assert_eq!(status("\r\n\r\n"), "400");
    assert_eq!(status("PRI * HTTP/2.0\r\n\r\n"), "400");
    assert_eq!(status("GET /metrics HTTP/1.0\n\n"), "200");
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(status(&long), "431");
    // Gone before it has said anything.
    drop(TcpStream::connect(&exporter.address).expect("it listens"));
    exporter.scrape();
}

/// More of them than are served at a time: some say nothing, some a byte now and then.
#[test]
fn slow_clients_hold_nobody_up_for_long() {
    let exporter = Exporter::start(&[]);
    let connect = || TcpStream::connect(&exporter.address).expect("it listens");
    let silent: Vec<_> = (0..12).map(|_| connect()).collect();
    let mut slow: Vec<_> = (0..12).map(|_| connect()).collect();
    let start = Instant::now();
    thread::scope(|scope| {
        for stream in &mut slow {
            scope.spawn(move || {
                let mut bytes = b"GET /metrics HTTP/1.1\r\nX: ".iter().chain([b'x'].iter().cycle());
                while start.elapsed() < Duration::from_secs(30)
                    && stream.write_all(&[*bytes.next().expect("without end")]).is_ok()
                {
                    thread::sleep(Duration::from_millis(200));
                }
            });
        }
        exporter.scrape();
        assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    });
    assert!(start.elapsed() < Duration::from_secs(29), "the slow ones were not cut off");
    let mut said = String::new();
    (&silent[0]).read_to_string(&mut said).expect("an answer");
    assert!(said.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{said}");
}

#[test]
fn many_ask_at_once() {
    let name = Name::new();
    let _cache = busy(&name);
    let exporter = Exporter::start(&[name.get()]);
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let hits = exporter.scrape().value("shmtls_gets_total", &[("result", "hit")]);
                assert_eq!(hits, 2.0);
            });
        }
    });
}

/// Under one name: none, one, another, garbage, one again.
#[test]
fn a_segment_that_comes_and_goes_is_followed() {
    let (name, other) = (Name::new(), Name::created());
    let exporter = Exporter::start(&[name.get(), other.get()]);
    let value = |metric: &str, labels: &[(&str, &str)]| {
        let found = exporter.scrape();
        assert_eq!(found.value("shmtls_up", &[("segment", other.get())]), 1.0);
        found.find(metric, &[&[("segment", name.get())], labels].concat())
    };
    let (up, hits) =
        (|| value("shmtls_up", &[]), || value("shmtls_gets_total", &[("result", "hit")]));
    assert_eq!((up(), hits()), (Some(0.0), None));
    let cache = busy(&name);
    assert_eq!((up(), hits()), (Some(1.0), Some(2.0)));
    fs::remove_file(name.path()).expect("removed");
    assert_eq!((up(), hits()), (Some(0.0), None));
    let created = Options::new().size(1 << 18).create(name.get()).expect("another");
    assert_eq!((up(), hits()), (Some(1.0), Some(0.0)));
    drop((cache, created));
    fs::write(name.path(), "garbage").expect("written");
    assert_eq!(up(), Some(0.0));
    fs::remove_file(name.path()).expect("removed");
    let _cache = busy(&name);
    assert_eq!((up(), hits()), (Some(1.0), Some(2.0)));

    // Each remark once, though there were more looks.
    let said = exporter.said.lock().expect("whole").clone();
    let gone = said.iter().filter(|line| line.contains("no segment")).count();
    assert!((1..=2).contains(&gone) && said.len() <= 4, "{said:#?}");
}

/// Whoever reads it meets the end of the file in the midst of a bucket. The others are exported at
/// each look, and it is again when it is whole.
#[test]
fn a_segment_that_is_cut_short_ends_nothing() {
    let (name, other) = (Name::new(), Name::created());
    let create = || fill(&Options::new().size(1 << 20).create(name.get()).expect("a segment"));
    create();
    let file = OpenOptions::new().write(true).open(name.path()).expect("the segment");
    let whole = file.metadata().expect("stat").len();
    let mut exporter = Exporter::start(&[name.get(), other.get()]);
    let done = AtomicBool::new(false);
    let mut down = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                for len in [20_000, whole] {
                    file.set_len(len).expect("cut or grown");
                }
            }
        });
        let _end = AtTheEnd(&done);
        for _ in 0..40 {
            let found = exporter.scrape();
            assert_eq!(found.value("shmtls_up", &[("segment", other.get())]), 1.0);
            down += u32::from(found.value("shmtls_up", &[("segment", name.get())]) == 0.0);
        }
    });
    assert!(down > 0, "it was never met when it was short");
    fs::remove_file(name.path()).expect("removed");
    create();
    assert_eq!(exporter.scrape().value("shmtls_up", &[("segment", name.get())]), 1.0);
    assert!(exporter.child.try_wait().expect("a child").is_none());
}

/// The look, a process of its own, is stopped: who asked is told, and the next look is another.
#[test]
fn a_look_that_hangs_is_given_up() {
    let name = Name::created();
    let exporter = Exporter::start(&[name.get()]);
    let start = Instant::now();
    let response = thread::scope(|scope| {
        let asked = scope.spawn(|| {
            loop {
                let (head, body) = exporter.get("/metrics");
                if !head.contains(" 200 ") {
                    return format!("{head}\n{body}");
                }
                assert!(start.elapsed() < Duration::from_secs(60), "no look was ever stopped");
            }
        });
        wait_for("a look is stopped", || {
            let looks = children(exporter.child.id());
            looks.iter().any(|pid| kill(Pid::from_raw(*pid), Signal::SIGSTOP).is_ok())
        });
        asked.join().expect("told")
    });
    assert!(response.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{response}");
    assert!(response.contains("cannot read the segments: timed out"), "{response}");
    assert_eq!(exporter.scrape().value("shmtls_up", &[]), 1.0);
    wait_for("it is gone", || children(exporter.child.id()).is_empty());
}

/// Those that are not dead yet. /proc/PID/task/TID/children is not everywhere.
fn children(pid: u32) -> Vec<i32> {
    let parent = format!(" {pid} ");
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|child: &i32| {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let after = stat.rsplit(") ").next().unwrap_or_default();
        after.get(1..).is_some_and(|it| it.starts_with(&parent)) && !after.starts_with('Z')
    })
    .collect()
}
