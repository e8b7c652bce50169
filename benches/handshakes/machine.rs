//! Where and with what was measured.

use std::fs;
use std::thread;

pub(crate) fn text() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let cpu = cpu().unwrap_or_else(|| std::env::consts::ARCH.into());
    let kernel = read("/proc/sys/kernel/osrelease");
    let openssl = openssl::version::version().split(' ').take(2).collect::<Vec<_>>().join(" ");
    let build = if cfg!(debug_assertions) { ", a debug build" } else { "" };
    format!(
        "{cpu}, {cores} cores, Linux {kernel}, {openssl}{build}\n\
         clients and workers share these cores: a handshake costs the time of both ends"
    )
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().into()
}

fn cpu() -> Option<String> {
    let info = read("/proc/cpuinfo");
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().into())
}
