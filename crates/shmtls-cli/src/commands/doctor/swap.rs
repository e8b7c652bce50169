//! Whether the kernel may write the segment to a disk. The segment itself does not tell: only
//! processes know what they have locked.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;

use nix::sys::stat::{major, minor};

use super::picture::Member;
use crate::system::ProcessState;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Swap {
    /// The machine has none.
    None,
    /// The file system is mounted so that it is never swapped.
    NeverOfMount,
    /// This process has locked it into memory, for all others too.
    LockedBy(u32),
    Possible,
    Unknown(&'static str),
}

impl Swap {
    pub(super) fn of(file: Option<&Metadata>, bytes: u64, members: &[Member]) -> Self {
        let Ok(swaps) = fs::read_to_string("/proc/swaps") else {
            return Self::Unknown("/proc/swaps cannot be read");
        };
        if !has_swap(&swaps) {
            return Self::None;
        }
        let Some(file) = file else { return Self::Unknown("its file cannot be looked at") };
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        if is_mounted_without_swap(&mounts, file.dev()) {
            return Self::NeverOfMount;
        }
        if members.iter().any(|member| member.state == ProcessState::Unknown) {
            return Self::Unknown("its processes are in another PID namespace");
        }
        let mut answer = Self::Possible;
        for member in members.iter().filter(|member| member.state.is_alive()) {
            match is_locked_by(member.pid, file, bytes) {
                Some(true) => return Self::LockedBy(member.pid),
                Some(false) => {}
                None => answer = Self::Unknown("only their user may see what processes lock"),
            }
        }
        answer
    }
}

/// The first line is the head.
fn has_swap(swaps: &str) -> bool {
    swaps.lines().count() > 1
}

/// proc_pid_mountinfo(5): the device is the third field, the options of the file system the last.
fn is_mounted_without_swap(mounts: &str, device: u64) -> bool {
    let device = format!("{}:{}", major(device), minor(device));
    mounts.lines().any(|line| {
        let is_it = line.split(' ').nth(2) == Some(&device);
        let mut options = line.rsplit(' ').next().unwrap_or_default().split(',');
        is_it && options.any(|option| option == "noswap")
    })
}

/// `None` if that cannot be seen. What a process has locked in all is for everybody to see, and is
/// mostly too little; only if it is enough the mapping itself is looked for.
fn is_locked_by(pid: u32, file: &Metadata, bytes: u64) -> Option<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    if locked_bytes(&status)? < bytes {
        return Some(false);
    }
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).ok()?;
    Some(is_locked_in(&maps, file.dev(), file.ino()))
}

/// proc_pid_status(5): `VmLck:      32768 kB`.
fn locked_bytes(status: &str) -> Option<u64> {
    let field = status.lines().find_map(|line| line.strip_prefix("VmLck:"))?;
    field.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// proc_pid_smaps(5): each mapping has a line as in maps, then its figures, last its flags; `lo` is
/// locked.
fn is_locked_in(maps: &str, device: u64, inode: u64) -> bool {
    let device = format!("{:02x}:{:02x}", major(device), minor(device));
    let inode = inode.to_string();
    let mut is_ours = false;
    maps.lines().any(|line| match line.strip_prefix("VmFlags:") {
        Some(flags) => is_ours && flags.split(' ').any(|flag| flag == "lo"),
        None => {
            let mut fields = line.split_ascii_whitespace();
            if fields.next().is_some_and(|range| range.contains('-')) {
                is_ours = fields.nth(2) == Some(&device) && fields.next() == Some(&inode);
            }
            false
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: u64 = 0x17;

    #[test]
    fn swap_is_a_line_below_the_head() {
        let head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert!(!has_swap(head) && has_swap(&format!("{head}/dev/dm-1 partition 8388604 0 -2\n")));
    }

    #[test]
    fn a_mount_without_swap() {
        let mount = |options| format!("9 1 0:23 / /dev/shm rw - tmpfs tmpfs {options}\n");
        assert!(is_mounted_without_swap(&mount("rw,size=64k,noswap"), DEVICE));
        assert!(!is_mounted_without_swap(&mount("rw,size=64k"), DEVICE));
        assert!(!is_mounted_without_swap(&mount("rw,noswap"), DEVICE + 1));
    }

    #[test]
    fn what_a_process_has_locked() {
        assert_eq!(locked_bytes("Name:\tnginx\nVmLck:\t   32768 kB\n"), Some(32 << 20));
        assert_eq!(locked_bytes("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn a_mapping_that_is_locked() {
        let maps = |flags: &str, inode: u64| {
            format!(
                "7f00-7f10 rw-s 00000000 00:17 {inode} /dev/shm/shmtls.web\nSize: 64 kB\n\
                 VmFlags: {flags}\n7f20-7f30 rw-p 00000000 00:00 0 \nVmFlags: rd wr lo\n"
            )
        };
        assert!(is_locked_in(&maps("rd wr sh lo dd", 7), DEVICE, 7));
        assert!(!is_locked_in(&maps("rd wr sh dd", 7), DEVICE, 7));
        assert!(!is_locked_in(&maps("rd wr sh lo dd", 8), DEVICE, 7));
    }
}
