//! Ticket keys: from files, from rotation, and again on SIGHUP.

use std::time::Duration;

use shmtls::{Cache, KeyFiles, KeyFormat, Published, Rotation, Rotator};

use crate::options::Options;

/// HAProxy's manual says that keys should be changed every 12 hours.
const ROTATE_DEFAULT: Duration = Duration::from_secs(12 * 3600);

/// Where the ring of ticket keys comes from.
pub(crate) struct Keys {
    files: Option<KeyFiles>,
    rotation: Option<Rotation>,
}

impl Keys {
    pub(crate) fn of(options: &Options) -> Keys {
        let files = options.ticket_keys.as_ref();
        let files = files.map(|(paths, format)| KeyFiles::new(*format, paths));
        let needs_rotation = options.tickets && files.is_none();
        let interval = options.rotate.or(needs_rotation.then_some(ROTATE_DEFAULT));
        let rotation = interval.map(|interval| {
            let rotation = Rotation::every(interval);
            options.ttl.map_or(rotation, |ttl| rotation.ticket_lifetime(ttl))
        });
        Keys { files, rotation }
    }

    /// Before the first worker: a context that shares keys must find one.
    pub(crate) fn prepare(&mut self, cache: &Cache) -> Result<(), String> {
        self.load(cache)?;
        if let Some(rotation) = &self.rotation {
            let made = cache.keys().rotate_if_due(rotation).map_err(|e| explain(&e))?;
            made.iter().for_each(report);
        }
        Ok(())
    }

    /// Reads the files, if there are any; if that fails the ring stays as it was.
    pub(crate) fn load(&mut self, cache: &Cache) -> Result<(), String> {
        if let Some(files) = &mut self.files {
            report(&cache.keys().load(files).map_err(|e| explain(&e))?);
        }
        Ok(())
    }

    /// In each worker, so that rotation goes on whoever dies.
    pub(crate) fn rotate(&self, cache: &Cache) -> Result<Option<Rotator>, String> {
        let rotation = self.rotation.map(|rotation| cache.rotate_keys(rotation));
        rotation.transpose().map_err(|e| explain(&e))
    }
}

fn report(published: &Published) {
    eprintln!("ticket keys: epoch {}", published.epoch);
    for warning in &published.warnings {
        eprintln!("warning: {warning}");
    }
}

fn explain(error: &shmtls::KeyError) -> String {
    format!("ticket keys: {error}\nhint: {}", error.hint())
}

/// `FILE[,FILE]...:FORMAT`.
pub(crate) fn parse(value: &str) -> Result<(Vec<String>, KeyFormat), String> {
    let (paths, format) =
        value.rsplit_once(':').ok_or_else(|| format!("{value:?} is not FILE:FORMAT"))?;
    let format = format.parse().map_err(|e| format!("--ticket-keys: {e}"))?;
    Ok((paths.split(',').map(String::from).collect(), format))
}
