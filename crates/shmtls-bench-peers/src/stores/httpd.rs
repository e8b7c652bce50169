//! httpd's shmcb, inside the children of Debian's httpd: `httpd.c` is compiled with its headers and
//! loaded by it, and each child then works like any other worker.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_uchar, c_uint};
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fmt};

use nix::unistd::geteuid;
use tempfile::TempDir;

use super::{Host, Id, Store};
use crate::fault::Fault;
use crate::plan::Scale;
use crate::server::{Server, find, path_in};

const MODULE: &str = include_str!("httpd.c");

/// An httpd with so many children, all of which have come for work.
pub(super) fn host(scale: Scale, workers: u32) -> Result<Host, Fault> {
    // The children are another user, if we are root.
    let passable = Permissions::from_mode(0o711);
    let mut folder = tempfile::Builder::new();
    let folder = folder.prefix("shmtls-bench-peers-").permissions(passable).tempdir()?;
    compile(&folder)?;
    let config = path_in(&folder, "config")?;
    fs::write(&config, configuration(&folder, scale, workers)?)?;
    let socket = path_in(&folder, "door")?;
    let door = UnixListener::bind(&socket)?;
    fs::set_permissions(&socket, Permissions::from_mode(0o666))?;
    door.set_nonblocking(true)?;
    let options = ["-D", "FOREGROUND", "-f", &config].map(String::from).into();
    let mut server = Server::start("apache2", folder, options)?;
    let mut host = Host::new("", ());
    for _ in 0..workers {
        host.waiting.push(server.wait_for(|| door.accept().ok())?.0);
    }
    host.keeps = Box::new(server);
    Ok(host)
}

fn compile(folder: &TempDir) -> Result<(), Fault> {
    fs::write(folder.path().join("httpd.c"), MODULE)?;
    let apr = output(Command::new(tool("apr-1-config")?).args(["--includes", "--cppflags"]))?;
    let headers = output(Command::new(tool("apxs")?).args(["-q", "INCLUDEDIR"]))?;
    let mut cc = Command::new(tool("cc")?);
    cc.current_dir(folder).args(["-shared", "-fPIC", "-O2", "-o", "module.so", "httpd.c"]);
    output(cc.args(apr.split_whitespace()).arg(format!("-I{headers}")))?;
    Ok(())
}

fn tool(program: &str) -> Result<PathBuf, Fault> {
    find(program).ok_or_else(|| format!("{program} is not installed (apache2-dev)").into())
}

fn output(command: &mut Command) -> Result<String, Fault> {
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let error = said.lines().find(|line| line.contains("error")).unwrap_or("nothing");
        return Err(format!("{} says: {error}", command.get_program().display()).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn configuration(folder: &TempDir, scale: Scale, workers: u32) -> Result<String, Fault> {
    let modules = output(Command::new(tool("apxs")?).args(["-q", "LIBEXECDIR"]))?;
    let root = path_in(folder, "")?;
    // It will not run without one, and nobody comes there.
    let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let library = env::current_exe()?.with_file_name("libshmtls_bench_peers.so");
    let library =
        library.canonicalize().map_err(|error| format!("{}: {error}", library.display()))?;
    let user = if geteuid().is_root() { "User www-data\nGroup www-data\n" } else { "" };
    Ok(format!(
        "ServerRoot {root}\n\
         ServerName localhost\n\
         Listen {listen}\n\
         PidFile {root}pid\n\
         DefaultRuntimeDir {root}\n\
         ErrorLog {root}log\n\
         LoadModule mpm_prefork_module {modules}/mod_mpm_prefork.so\n\
         LoadModule socache_shmcb_module {modules}/mod_socache_shmcb.so\n\
         LoadModule shmtls_bench_peers_module {root}module.so\n\
         {user}\
         StartServers {workers}\n\
         ServerLimit {workers}\n\
         MaxRequestWorkers {workers}\n\
         MinSpareServers 1\n\
         PeersCache {root}cache({bytes})\n\
         PeersDoor {root}door\n\
         PeersLibrary {library}\n",
        library = library.display(),
        bytes = scale.bytes,
    ))
}

/// `struct cache` of `httpd.c`.
#[repr(C)]
pub(crate) struct Cache {
    get: unsafe extern "C" fn(*const c_uchar, *mut c_uchar, *mut c_uint) -> c_int,
    put: unsafe extern "C" fn(*const c_uchar, *mut c_uchar, c_uint) -> c_int,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache")
    }
}

/// The cache of the httpd whose child this is.
#[derive(Debug)]
pub(crate) struct Httpd {
    cache: &'static Cache,
    /// The provider takes what it stores from memory that it might write to.
    session: Vec<u8>,
}

impl Httpd {
    pub(crate) fn new(cache: &'static Cache) -> Self {
        Self { cache, session: Vec::new() }
    }
}

impl Store for Httpd {
    fn get(&mut self, id: &Id, into: &mut [u8]) -> Result<Option<usize>, Fault> {
        let mut len = into.len() as c_uint;
        // SAFETY: `httpd.c` reads 32 bytes of the first, writes at most `len` bytes to the second,
        // and their number to the third; it runs in a child, whose mutex this thread does not have.
        match unsafe { (self.cache.get)(id.as_ptr(), into.as_mut_ptr(), &raw mut len) } {
            1 => Ok(Some(len as usize)),
            0 => Ok(None),
            _ => Err("the provider, or its mutex, failed".into()),
        }
    }

    fn put(&mut self, id: &Id, session: &[u8]) -> Result<bool, Fault> {
        self.session.clear();
        self.session.extend_from_slice(session);
        let len = session.len() as c_uint;
        // SAFETY: `httpd.c` reads 32 bytes of the first and `len` of the second, which are ours.
        match unsafe { (self.cache.put)(id.as_ptr(), self.session.as_mut_ptr(), len) } {
            1 => Ok(true),
            0 => Ok(false),
            _ => Err("the mutex failed".into()),
        }
    }
}
