//! The segment that the user means: a name, a path, `pid:PID` or `fd:NAME`.

use std::env;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use shmtls::{AttachError, Cache, Inspector, Options};

use crate::discover::{self, Descriptor};
use crate::failure::Failure;
use crate::signals;
use crate::system;

mod inherited;

#[derive(Debug, clap::Args)]
pub(crate) struct SegmentArg {
    /// NAME, a path, pid:PID or fd:NAME; may be left out if there is only one
    #[arg(value_name = "SEGMENT", env = "SHMTLS_SEGMENT")]
    segment: Option<String>,
}

/// Where it is; not opened yet.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// What to call it, such that the user can call it so.
    label: String,
    path: PathBuf,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A file with a name.
    Named,
    /// An open file, found as a link in /proc.
    Open,
}

impl SegmentArg {
    pub(crate) fn find(&self) -> Result<Segment, Failure> {
        match self.segment.as_deref().filter(|text| !is_unset(text)) {
            Some(text) => Segment::parse(text),
            None => {
                let mut all = Segment::all();
                all.retain(|segment| !segment.was_removed());
                Segment::only_one_of(all)
            }
        }
    }
}

impl Segment {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if text.contains('/') {
            return Ok(Self::at_path(text));
        }
        if let Some(process) = text.strip_prefix("pid:") {
            return Self::of_process(text, process);
        }
        if let Some(name) = text.strip_prefix("fd:") {
            let path = inherited::path_of(name)?;
            return Ok(Self { label: text.into(), path, place: Place::Open });
        }
        Ok(Self::of_name(text))
    }

    /// A name, or a path with a `/`.
    pub(crate) fn of_name(text: &str) -> Self {
        if text.contains('/') { Self::at_path(text) } else { Self::named(text) }
    }

    /// `/dev/shm/shmtls.NAME`.
    pub(crate) fn named(name: &str) -> Self {
        let path = Path::new(discover::DIRECTORY).join(format!("{}{name}", discover::PREFIX));
        Self { label: name.into(), path, place: Place::Named }
    }

    fn at_path(path: &str) -> Self {
        Self { label: path.into(), path: path.into(), place: Place::Named }
    }

    /// Of a segment that a process has open: by its path, if it has one that we can see.
    fn of_other(descriptor: &Descriptor) -> Self {
        match descriptor.link.to_str() {
            Some(path) if descriptor.is_at_its_link() => Self::at_path(path),
            _ => Self::of_descriptor(descriptor),
        }
    }

    fn of_descriptor(descriptor: &Descriptor) -> Self {
        let Descriptor { pid, fd, .. } = descriptor;
        Self { label: format!("pid:{pid}:{fd}"), path: descriptor.path(), place: Place::Open }
    }

    /// `pid:PID`, or `pid:PID:FD` for a process that has several.
    fn of_process(text: &str, process: &str) -> Result<Self, Failure> {
        let usage = || {
            Failure::usage(format!("'{text}' names no process"))
                .tip("pid:PID, or pid:PID:FD for a process that has several segments open")
        };
        let (pid, fd) = match process.split_once(':') {
            Some((pid, fd)) => (pid, Some(fd.parse::<u32>().map_err(|_| usage())?)),
            None => (process, None),
        };
        let pid: u32 = pid.parse().map_err(|_| usage())?;
        let mut found = discover::descriptors(pid).map_err(|error| no_process(pid, &error))?;
        found.retain(|descriptor| fd.is_none_or(|fd| descriptor.fd == fd));
        let Some(first) = found.first() else {
            return Err(Failure::cannot_open(format!("process {pid} has no segment open"))
                .tip("shmtls list"));
        };
        if found.iter().any(|other| other.identity != first.identity) {
            let all: Vec<_> = found.iter().map(|it| format!("pid:{pid}:{}", it.fd)).collect();
            return Err(Failure::usage(format!("process {pid} has several segments open"))
                .tip(format!("name one: {}", all.join(", "))));
        }
        Ok(Self { label: text.into(), ..Self::of_descriptor(first) })
    }

    fn only_one_of(mut all: Vec<Self>) -> Result<Self, Failure> {
        match all.len() {
            0 => Err(Failure::cannot_open("there is no segment on this machine that you can see")
                .tip("shmtls create NAME, or start the server that makes one")),
            1 => Ok(all.remove(0)),
            _ => {
                let labels: Vec<_> = all.iter().map(|segment| segment.label.as_str()).collect();
                Err(Failure::usage(format!("there are several segments: {}", labels.join(", ")))
                    .tip("name one, or set SHMTLS_SEGMENT"))
            }
        }
    }

    /// All that this user can see: those with a name in /dev/shm first, then those that processes
    /// have open at other paths, without a name, or with one that was removed.
    pub(crate) fn all() -> Vec<Self> {
        let named = discover::names().into_iter().map(|name| Self::named(&name));
        let others = discover::others();
        named.chain(others.iter().map(Self::of_other)).collect()
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn has_name(&self) -> bool {
        self.place == Place::Named
    }

    /// Maps it read-only.
    pub(crate) fn inspect(&self) -> Result<Inspector, Failure> {
        let options = self.trusting(Options::new());
        let opened = match self.place {
            Place::Named => options.inspect(&self.label),
            Place::Open => options.inspect_fd(self.open(false)?),
        };
        opened.map_err(|error| self.failure(&error))
    }

    /// Maps it read-only, for who reads others too. If it is cut short meanwhile, the tool begins
    /// anew and fails here instead.
    pub(crate) fn inspect_one_of_many(&self) -> Result<Inspector, Failure> {
        if let Ok(file) = fs::metadata(&self.path) {
            let identity = format!("{}:{}", file.dev(), file.ino());
            if signals::was_cut(&identity) {
                return Err(signals::cut_short());
            }
            signals::reading_one_of_many(&identity);
        }
        self.inspect()
    }

    /// Whether there is nothing any more: its file was removed, or its process has ended.
    pub(crate) fn is_gone(&self) -> bool {
        fs::metadata(&self.path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    }

    /// Attaches as one who writes.
    pub(crate) fn attach(&self) -> Result<Cache, Failure> {
        self.attach_as_server(&self.trusting(Options::new().populate(false)))
    }

    /// Attaches it if it is as `options` ask, and by default this user's or root's.
    pub(crate) fn attach_as_server(&self, options: &Options) -> Result<Cache, Failure> {
        let opened = match self.place {
            Place::Named => options.attach(&self.label),
            Place::Open => options.attach_fd(self.open(true)?),
        };
        opened.map_err(|error| self.failure(&error))
    }

    /// The user named this segment, so its owner and mode are as the user wants them: only a
    /// server, which puts secrets into it, has reasons to ask.
    fn trusting(&self, options: Options) -> Options {
        let options = options.mode(0o777);
        match fs::metadata(&self.path) {
            Ok(file) => options.owner(file.uid()),
            Err(_) => options,
        }
    }

    fn open(&self, writable: bool) -> Result<OwnedFd, Failure> {
        // A socket cannot be opened, and a pipe waits for somebody who writes.
        if fs::metadata(&self.path).is_ok_and(|found| !found.is_file()) {
            let link = fs::read_link(&self.path).unwrap_or_default();
            let text = format!("'{}' is {}: no file, hence no segment", self.label, link.display());
            return Err(Failure::cannot_open(text)
                .tip("ls -l /proc/PID/fd shows what a process has open under which number"));
        }
        let file = File::options().read(true).write(writable).open(&self.path);
        file.map(OwnedFd::from).map_err(|error| {
            Failure::cannot_open(format!(
                "segment '{}': {error} (you are {})",
                self.label,
                system::me()
            ))
            .tip("run as the user of the process that has it: sudo -u USER shmtls ...")
        })
    }

    /// Whether it had a name once. The library takes no such file for a segment.
    fn was_removed(&self) -> bool {
        let is_memfd = || {
            fs::read_link(&self.path)
                .is_ok_and(|link| link.to_string_lossy().starts_with("/memfd:"))
        };
        let has_no_name = || fs::metadata(&self.path).is_ok_and(|file| file.nlink() == 0);
        self.place == Place::Open && has_no_name() && !is_memfd()
    }

    fn failure(&self, error: &AttachError) -> Failure {
        if matches!(error, AttachError::NotSealed { .. }) && self.was_removed() {
            let text = format!("segment '{}': its file was removed while it is in use", self.label);
            return Failure::cannot_open(text)
                .tip("restart the processes that have it open, so that all share one again");
        }
        Failure::of_attach(&self.label, &self.path.to_string_lossy(), error)
    }
}

/// Whether a segment is an environment variable that was set to nothing, to be without it. On the
/// command line that is a mistake: a script's variable without its value.
pub(crate) fn is_unset(segment: &str) -> bool {
    segment.is_empty() && env::args_os().all(|arg| !arg.is_empty())
}

fn no_process(pid: u32, error: &std::io::Error) -> Failure {
    let me = system::me();
    match error.kind() {
        ErrorKind::NotFound => {
            Failure::cannot_open(format!("there is no process {pid}")).tip("shmtls list")
        }
        ErrorKind::PermissionDenied => {
            Failure::cannot_open(format!("process {pid} belongs to somebody else (you are {me})"))
                .tip("run as its user: sudo -u USER shmtls ...")
        }
        _ => Failure::cannot_open(format!("cannot look into process {pid}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_one_need_not_be_named() {
        let (web, api) = (Segment::named("web"), Segment::named("api"));
        let only = Segment::only_one_of(vec![web.clone()]).expect("the only one");
        assert_eq!(only.path, Path::new("/dev/shm/shmtls.web"));
        let several = Segment::only_one_of(vec![web, api]).expect_err("two");
        assert_eq!(several.text(), "there are several segments: web, api");
        let none = Segment::only_one_of(Vec::new()).expect_err("none");
        assert!(none.text().starts_with("there is no segment"), "{none:?}");
    }
}
