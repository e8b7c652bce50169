//! The views of a live segment with real workers, and pictures of them: `make screenshots`.

use std::io::{Read, stdin};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, process, thread};

use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use shmtls::{Cache, Context, Expiry, Library, NewSession, Options, Origin, SessionId, TicketKey};

use super::app::{App, View};
use super::look::Watcher;
use super::view::{self, theme::Theme};
use crate::segment::Segment;

mod svg;

/// The segment that a worker works in: this test, run again as a process of its own.
const WORKER_OF: &str = "SHMTLS_CLI_TEST_WORKER_OF";
/// Where pictures go. Without it the views are looked at, for a moment.
const PICTURES: &str = "SHMTLS_SCREENSHOTS";

const VIEWS: [(&str, View, &[&str]); 4] = [
    ("processes", View::Processes, &["lookups/s", "webserver", "running", "dead", "evicted"]),
    ("buckets", View::Buckets, &["buckets", "full", "most waits"]),
    ("events", View::Events, &["newest first", "hit", "handshake"]),
    ("keys", View::Keys, &["ticket keys", "current", "previous", "who has them"]),
];

#[test]
fn the_views_of_real_workers() {
    if let Ok(name) = env::var(WORKER_OF) {
        return work(&name);
    }
    let pictures = env::var_os(PICTURES);
    let site = Site::open(pictures.is_some());
    let mut watcher = Watcher::new(Segment::named(&site.name)).expect("a segment");
    let mut app = App::new(Theme::new(true));
    let looks = if pictures.is_some() { 90 } else { 10 };
    for look in 0..looks {
        watcher.look(&mut app.model, look + 1 == looks);
        thread::sleep(Duration::from_millis(150));
    }
    for (name, view, texts) in VIEWS {
        app.view = view;
        let buffer = draw(&mut app);
        let shown: String = buffer.content.iter().map(|cell| cell.symbol()).collect();
        let picture = svg::picture(&buffer);
        for text in texts {
            assert!(shown.contains(text), "{text:?} is not in {name}:\n{buffer:?}");
        }
        assert_eq!(picture.matches("<text").count(), picture.matches("</text>").count());
        if let Some(directory) = &pictures {
            fs::create_dir_all(directory).expect("a directory");
            fs::write(Path::new(directory).join(format!("top-{name}.svg")), picture)
                .expect("a file");
        }
    }
}

fn draw(app: &mut App) -> Buffer {
    let mut terminal = ratatui::Terminal::new(TestBackend::new(112, 30)).expect("a screen");
    terminal.draw(|frame| view::draw(frame, app)).expect("drawn");
    terminal.backend().buffer().clone()
}

// ---- a site -------------------------------------------------------------------------------------

/// More sessions than there is room for.
const CLIENTS: u64 = 12_000;

/// A segment, and workers of which one has died.
struct Site {
    name: String,
    workers: Vec<Child>,
    _cache: Cache,
}

impl Site {
    fn open(is_shown: bool) -> Self {
        let _ = fs::write("/proc/self/comm", "webserver");
        let name = if is_shown { "www".into() } else { format!("top-{}", process::id()) };
        let options = Options::new().size(8 << 20).lifetime(Duration::from_secs(7200));
        let cache = options.create(&name).expect("a segment of that name is there already");
        (0..CLIENTS).for_each(|client| store(&cache, client));
        let key = || TicketKey::random().expect("random bytes");
        cache.keys().publish(vec![key(), key()]).expect("published");
        let mut site = Self { name, workers: Vec::new(), _cache: cache };
        site.workers = (0..5).map(|_| site.worker()).collect();
        thread::sleep(Duration::from_millis(700));
        site.workers[4].kill().and_then(|()| site.workers[4].wait()).expect("killed");
        site
    }

    fn worker(&self) -> Child {
        Command::new(env::current_exe().expect("this test"))
            .args(["--exact", "top::screenshots::the_views_of_real_workers", "--nocapture"])
            .env(WORKER_OF, &self.name)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a worker")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            let _ = worker.kill().and_then(|()| worker.wait());
        }
        let _ = fs::remove_file(format!("/dev/shm/shmtls.{}", self.name));
    }
}

/// Serves clients, more and fewer of them, until the test ends.
fn work(name: &str) {
    let _ = fs::write("/proc/self/comm", "webserver");
    let cache = Options::new().attach(name).expect("the segment");
    let cache = cache.with_origin(Origin::Handshake);
    thread::spawn(|| {
        let _ = stdin().read(&mut [0]);
        process::exit(0);
    });
    let mut random = u64::from(process::id());
    for turn in 0_u32.. {
        let clients = 12.0 + 8.0 * (f64::from(turn) / 120.0).sin();
        for _ in 0..clients as u32 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Some clients come often.
            let client = (random >> 33) % CLIENTS;
            serve(&cache, if client.is_multiple_of(3) { client } else { client / 4 });
        }
        let _ = cache.keys().status();
        thread::sleep(Duration::from_millis(4));
    }
}

/// A client that comes back; one whose session is gone, or was for a single use, gets a new one.
fn serve(cache: &Cache, client: u64) {
    let found = cache.resume(&context(), &id(client), Library::Raw);
    if found.map_or(true, |session| session.is_single_use()) {
        store(cache, client);
    }
}

fn store(cache: &Cache, client: u64) {
    let bytes = vec![0xa5; 400 + (client * 37 % 900) as usize];
    let session = NewSession::new(&bytes, Expiry::after(Duration::from_secs(3600)));
    let session = session.single_use(client.is_multiple_of(4)).protocol(0x0304);
    assert!(cache.store(&context(), &id(client), &session).is_stored());
}

fn context() -> Context {
    Context::named("example.org")
}

fn id(client: u64) -> SessionId {
    SessionId::new(&client.to_be_bytes()).expect("8 bytes")
}
