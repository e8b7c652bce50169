//! `--listen`: a scrape for each request.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::request::{self, Answer, Request};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// More at once than any scraper has. Others are turned away, so that none of these waits.
const CLIENTS_MAX: usize = 16;

const PAGE: &str = "<!DOCTYPE html><title>shmtls</title><a href=\"/metrics\">metrics</a>\n";

type Scrape<'a> = dyn Fn() -> Result<String, Failure> + Sync + 'a;

/// Until interrupted.
pub(super) fn run(listener: &TcpListener, scrape: &Scrape<'_>) -> Result<Exit, Failure> {
    let address = listener.local_addr()?;
    output::note(&format!("http://{address}/metrics"));
    let (clients, turn) = (AtomicUsize::new(0), Mutex::new(()));
    thread::scope(|scope| {
        for stream in listener.incoming() {
            // Such as one that hung up before it was accepted, or no descriptor left for it.
            let Ok(mut stream) = stream else {
                thread::sleep(Duration::from_millis(100));
                continue;
            };
            if clients.fetch_add(1, SeqCst) >= CLIENTS_MAX {
                clients.fetch_sub(1, SeqCst);
                continue;
            }
            let (clients, turn) = (&clients, &turn);
            scope.spawn(move || {
                let _ = serve(&mut stream, turn, scrape);
                clients.fetch_sub(1, SeqCst);
            });
        }
    });
    Ok(Exit::Fine)
}

fn serve(stream: &mut TcpStream, turn: &Mutex<()>, scrape: &Scrape<'_>) -> io::Result<()> {
    let (answer, with_body) = match Request::read(stream)? {
        Ok(request) => (answer(&request, turn, scrape), request.wants_body),
        Err(refusal) => (refusal, true),
    };
    request::send(stream, &answer, with_body)?;
    stream.shutdown(Shutdown::Write)
}

fn answer(request: &Request, turn: &Mutex<()>, scrape: &Scrape<'_>) -> Answer {
    match request.path.as_str() {
        "/metrics" => {
            // One at a time: the segments are read no more often for many who ask at once.
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            metrics(scrape())
        }
        "/" => {
            Answer { status: "200 OK", content_type: "text/html; charset=utf-8", body: PAGE.into() }
        }
        _ => Answer::plain("404 Not Found", "there is /metrics"),
    }
}

fn metrics(scraped: Result<String, Failure>) -> Answer {
    match scraped {
        Ok(body) => Answer {
            status: "200 OK",
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body,
        },
        Err(failure) => Answer::plain("503 Service Unavailable", failure.text()),
    }
}
