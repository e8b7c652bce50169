//! `shmtls create`: a named segment, before any server runs.

use std::fs::{self, File, Metadata, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::time::Duration;

use nix::unistd::{Gid, Group};
use serde::Serialize;
use shmtls::{Cache, CreateError, Options};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, Report, note, page::Page, units};
use crate::quantity;
use crate::segment::Segment;
use crate::system;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls create web                                 32 MiB, for this user's processes only
  shmtls create web --sessions 100k --lifetime 1h   sized by what is to go in
  shmtls create web --mode 0660 --group ops         for all members of a group
  shmtls create web --if-missing                    in ExecStartPre= of a service";

/// What may fail when there is a segment already.
const GIVE_TO_GROUP: &str = "give the group permissions on";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// NAME (it becomes /dev/shm/shmtls.NAME), or a path on a tmpfs
    name: String,
    /// Bytes of the whole segment [default: 32MiB]
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes)]
    size: Option<u64>,
    /// Room for about so many sessions, instead of a size
    #[arg(long, value_name = "COUNT", value_parser = quantity::count, conflicts_with = "size")]
    sessions: Option<u64>,
    /// Bytes of the largest session that is stored [default: 10KiB]
    #[arg(long, value_name = "SIZE", value_parser = quantity::small_bytes)]
    max_session: Option<u32>,
    /// Lines of the process table [default: 128]
    #[arg(long, value_name = "COUNT")]
    processes: Option<u32>,
    /// Events that each process keeps for `shmtls events`: 0, or a power of two [default: 32]
    #[arg(long, value_name = "COUNT")]
    events: Option<u32>,
    /// The longest that any session lives [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = quantity::lifetime)]
    lifetime: Option<Duration>,
    /// Permission bits; servers must allow them too (Options::mode) [default: 0600]
    #[arg(long, value_name = "MODE", value_parser = quantity::mode)]
    mode: Option<u32>,
    /// Group that the segment is to belong to, a name or a number
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// If it exists already and is as asked for, leave it as it is
    #[arg(long)]
    if_missing: bool,
}

#[derive(Debug, Serialize)]
struct Created {
    segment: String,
    path: String,
    /// False if it was there already.
    created: bool,
    bytes: u64,
    max_session_bytes: usize,
    lifetime_secs: u64,
    mode: String,
    group: String,
    /// Whether anybody need know.
    #[serde(skip)]
    shows_group: bool,
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let group = self.group.as_deref().map(find_group).transpose()?;
        let report = match self.create(group) {
            Ok(cache) => self.report(&cache, true)?,
            Err(CreateError::AlreadyExists { .. }) if self.if_missing => self.existing(group)?,
            Err(error) => return Err(failure(&error)),
        };
        output.show(&report)?;
        if report.created && self.mode() != 0o600 {
            note(&format!("servers attach with Options::mode(0o{:o})", self.mode()));
        }
        Ok(Exit::Fine)
    }

    fn mode(&self) -> u32 {
        self.mode.unwrap_or(0o600)
    }

    fn create(&self, group: Option<Gid>) -> Result<Cache, CreateError> {
        // Until the group is the right one it has no permissions: what is open stays open.
        let hidden = if group.is_some() { 0o070 } else { 0 };
        let cache = self.options().mode(self.mode() & !hidden).create(&self.name)?;
        if let Some(group) = group {
            self.hand_over(&cache, group).inspect_err(|_| {
                let _ = cache.path().map(fs::remove_file);
            })?;
        }
        Ok(cache)
    }

    fn hand_over(&self, cache: &Cache, group: Gid) -> Result<(), CreateError> {
        let target = cache.path().unwrap_or("the segment".as_ref()).to_owned();
        let changed = fchown(cache.fd(), None, Some(group.as_raw()))
            .and_then(|()| fs::set_permissions(&target, Permissions::from_mode(self.mode())));
        changed.map_err(|source| CreateError::Io { action: GIVE_TO_GROUP, target, source })
    }

    /// As a server would attach it that is about to trust it: a stranger's file is refused.
    fn existing(&self, group: Option<Gid>) -> Result<Created, Failure> {
        let segment = Segment::of_name(&self.name);
        if let Ok(file) = fs::metadata(segment.path()) {
            self.compare(&file, group)?;
        }
        let cache = segment.attach_as_server(&self.options().mode(self.mode()))?;
        self.report(&cache, false)
    }

    /// With what was asked for, where it was.
    fn compare(&self, file: &Metadata, group: Option<Gid>) -> Result<(), Failure> {
        let found = file.mode() & 0o777;
        if let Some(asked) = self.mode.filter(|asked| *asked != found) {
            return Err(self.differs("mode", &format!("{found:04o}"), &format!("{asked:04o}")));
        }
        if let Some(asked) = group.filter(|asked| asked.as_raw() != file.gid()) {
            let name = |gid| system::group_name(gid);
            return Err(self.differs("group", &name(file.gid()), &name(asked.as_raw())));
        }
        Ok(())
    }

    fn differs(&self, what: &str, found: &str, asked: &str) -> Failure {
        let text = format!("segment '{}' has {what} {found}, --{what} asks for {asked}", self.name);
        Failure::new(Exit::NotMet, text).tip(format!("drop --{what}, or remove the segment first"))
    }

    /// Only what was asked for: the rest is the library's to choose.
    fn options(&self) -> Options {
        let mut options = Options::new().populate(false);
        if let Some(size) = self.size {
            options = options.size(size);
        }
        if let Some(sessions) = self.sessions {
            options = options.sessions(sessions);
        }
        if let Some(max_session) = self.max_session {
            options = options.max_session(max_session);
        }
        if let Some(processes) = self.processes {
            options = options.processes(processes);
        }
        if let Some(events) = self.events {
            options = options.events(events);
        }
        if let Some(lifetime) = self.lifetime {
            options = options.lifetime(lifetime);
        }
        options
    }

    fn report(&self, cache: &Cache, created: bool) -> Result<Created, Failure> {
        let file = File::from(cache.fd().try_clone_to_owned()?).metadata()?;
        let mode = file.mode() & 0o777;
        Ok(Created {
            segment: self.name.clone(),
            path: cache.path().map(|path| path.display().to_string()).unwrap_or_default(),
            created,
            bytes: cache.segment_bytes(),
            max_session_bytes: cache.max_session(),
            lifetime_secs: cache.lifetime().as_secs(),
            mode: format!("{mode:04o}"),
            group: system::group_name(file.gid()),
            shows_group: self.group.is_some() || mode & 0o070 != 0,
        })
    }
}

fn failure(error: &CreateError) -> Failure {
    let failure = Failure::of_create(error);
    match error {
        CreateError::Io { action: GIVE_TO_GROUP, source, .. }
            if source.kind() == ErrorKind::PermissionDenied =>
        {
            failure.tip("be a member of that group, or root")
        }
        _ => failure,
    }
}

fn find_group(name: &str) -> Result<Gid, Failure> {
    let unknown = || Failure::usage(format!("there is no group '{name}'")).tip("getent group");
    match name.parse() {
        // To the kernel this one means: leave the group as it is.
        Ok(u32::MAX) => Err(unknown()),
        Ok(number) => Ok(Gid::from_raw(number)),
        Err(_) => match Group::from_name(name) {
            Ok(Some(group)) => Ok(group.gid),
            _ => Err(unknown()),
        },
    }
}

impl Report for Created {
    const NAME: &'static str = "create";

    fn text(&self, page: &mut Page) {
        let what = if self.created { "created" } else { "exists already:" };
        let size = units::bytes(self.bytes);
        let largest = units::bytes(self.max_session_bytes as u64);
        let lifetime = units::span(Duration::from_secs(self.lifetime_secs));
        let group = Some(format!(", group {}", self.group)).filter(|_| self.shows_group);
        let group = group.unwrap_or_default();
        page.line(format_args!(
            "{what} {}  {size}, sessions of up to {largest} for {lifetime}, mode {}{group}",
            self.path, self.mode
        ));
    }
}
