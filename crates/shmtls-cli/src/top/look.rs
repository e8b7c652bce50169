//! Looks at a segment, and follows it: one that is removed, replaced or cut short is noticed
//! before it is read.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant, SystemTime};

use shmtls::{
    BucketInfo, EventCursor, Inspector, KeyInfo, KeyStatus, LockState, ProcessInfo, SegmentInfo,
};

use super::model::Model;
use super::model::shot::{About, Bucket, Identity, Key, Keys, Lock, Process, Shot};
use super::model::tally::Tally;
use super::words;
use crate::commands::{keys, stat};
use crate::failure::Failure;
use crate::output::style::plain;
use crate::segment::Segment;
use crate::system::ProcessState;

/// Buckets whose sessions are looked at one by one: copies of 2 MiB, some four times a second.
const SAMPLE: usize = 64;

#[derive(Debug)]
pub(crate) struct Watcher {
    segment: Segment,
    start: Instant,
    open: Option<Open>,
}

/// A segment that is mapped.
#[derive(Debug)]
struct Open {
    inspector: Inspector,
    info: SegmentInfo,
    file: (u64, u64),
    cursor: EventCursor,
}

/// What has become of the file of a segment that is mapped.
enum Fate {
    Same,
    /// The mapping is still good.
    Removed(String),
    /// There is another one, or this one must not be read any more.
    Lost,
}

impl Watcher {
    /// The first look must succeed.
    pub(crate) fn new(segment: Segment) -> Result<Self, Failure> {
        let open = Some(Open::new(&segment)?);
        Ok(Self { segment, start: Instant::now(), open })
    }

    /// Takes one look for `model`; also at the events if somebody wants to see them.
    pub(crate) fn look(&mut self, model: &mut Model, with_events: bool) {
        let at = self.start.elapsed();
        let remark = match self.open.as_ref().map(|open| open.fate(&self.segment)) {
            Some(Fate::Same) => None,
            Some(Fate::Removed(remark)) => Some(remark),
            Some(Fate::Lost) | None => {
                self.open = None;
                match Open::new(&self.segment) {
                    Ok(open) => self.open = Some(open),
                    Err(failure) => return model.fail(at, failure.text().into()),
                }
                None
            }
        };
        let Some(open) = &self.open else { return };
        model.take(open.shot(&self.segment, at), remark);
        if with_events {
            self.look_at_events(model);
        }
    }

    /// What has happened since the last look at events, if the segment can be read.
    pub(crate) fn look_at_events(&mut self, model: &mut Model) {
        let Some(open) = &mut self.open else { return };
        if !matches!(open.fate(&self.segment), Fate::Lost) {
            let (events, missed) = open.inspector.events(&mut open.cursor);
            model.events.add(events.iter().map(words::event).collect(), missed);
        }
    }
}

impl Open {
    fn new(segment: &Segment) -> Result<Self, Failure> {
        let inspector = segment.inspect()?;
        let file = fs::metadata(segment.path()).map_or((0, 0), |file| (file.dev(), file.ino()));
        Ok(Self { info: inspector.info(), inspector, file, cursor: EventCursor::default() })
    }

    /// To read behind the end of a file that was cut short would be the end of the tool.
    fn fate(&self, segment: &Segment) -> Fate {
        match fs::metadata(segment.path()) {
            Ok(file) if (file.dev(), file.ino()) != self.file => Fate::Lost,
            Ok(file) if file.len() < self.info.bytes() => Fate::Lost,
            // Its header does not change, unless somebody writes who should not.
            Ok(_) if self.inspector.info() != self.info => Fate::Lost,
            Ok(_) => Fate::Same,
            Err(error) if error.kind() == ErrorKind::NotFound && segment.has_name() => {
                Fate::Removed("its file was removed; who has it open goes on with it".into())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Fate::Removed("the process that it was found in has closed it".into())
            }
            Err(error) => Fate::Removed(format!("its file cannot be seen any more: {error}")),
        }
    }

    fn shot(&self, segment: &Segment, at: Duration) -> Shot {
        let Self { inspector, info, .. } = self;
        let stats = inspector.stats();
        let processes = inspector.processes();
        Shot {
            at,
            time: SystemTime::now(),
            identity: Identity {
                file: self.file,
                created: info.created(),
                creator: info.creator_pid(),
            },
            about: about(segment, info),
            tally: Tally::of(&stats),
            recoveries: stats.recoveries(),
            processes: processes.iter().map(|it| process(it, info)).collect(),
            buckets: inspector.buckets().map(bucket).collect(),
            mean_session_bytes: stat::mean_session_bytes(inspector, SAMPLE),
            keys: inspector.keys().map(|status| ring(&status)),
        }
    }
}

fn about(segment: &Segment, info: &SegmentInfo) -> About {
    About {
        label: segment.label().into(),
        path: segment.path().display().to_string(),
        bytes: info.bytes(),
        layout: info.layout_version(),
        bucket_capacity: info.bucket_capacity() as u64,
        lifetime: info.lifetime(),
        is_sealed: info.is_sealed(),
        keeps_events: info.events() > 0,
    }
}

fn process(process: &ProcessInfo, info: &SegmentInfo) -> Process {
    Process {
        pid: process.pid(),
        writer: process.writer(),
        command: plain(process.command()),
        state: ProcessState::of(process, info),
        attached: process.attached(),
        tally: Tally::of(process.stats()),
        key_epoch: process.key_epoch(),
    }
}

fn bucket(bucket: BucketInfo) -> Bucket {
    let cut = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Bucket {
        sessions: cut(bucket.sessions()),
        used: cut(bucket.used_bytes()),
        contended: bucket.contended(),
        evictions: bucket.evictions(),
        repairs: bucket.repairs(),
        lock: match bucket.lock() {
            LockState::Free => Lock::Free,
            LockState::OwnerDied => Lock::OwnerDied,
            _ => Lock::Held,
        },
    }
}

fn ring(status: &KeyStatus) -> Keys {
    Keys {
        epoch: status.epoch,
        source: keys::source(status.source),
        published: status.published,
        publisher: status.writer_pid,
        keys: status.keys.iter().map(key).collect(),
    }
}

fn key(info: &KeyInfo) -> Key {
    let key = keys::Key::of(info);
    Key {
        role: key.role,
        fingerprint: info.fingerprint.to_string(),
        encrypts: key.encrypts(),
        decrypts: key.decrypts(),
    }
}
