//! What workers share, and how a client comes back: the rows of the table.

use openssl::ssl::{SslContext, SslVersion};
use shmtls::Cache;

use crate::context;
use crate::identity::Identity;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Sharing {
    /// Nothing: a cache and a ticket key per worker.
    Own(Kind),
    Shmtls(Kind),
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Id,
    Stateful,
    /// Stateless; the shared keys are rotated while clients come back.
    Ticket(SslVersion),
}

impl Sharing {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Sharing::Own(kind) | Sharing::Shmtls(kind) => kind,
        }
    }

    /// Whether keys are rotated while clients come and go.
    pub(crate) fn rotates(self) -> bool {
        matches!(self, Sharing::Shmtls(Kind::Ticket(_)))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Sharing::Own(_) => "own",
            Sharing::Shmtls(_) => "shmtls",
        }
    }

    /// A worker's context.
    pub(crate) fn context(self, who: &Identity, cache: &Cache) -> Result<SslContext, String> {
        let version = self.kind().version();
        match self {
            Sharing::Own(Kind::Ticket(_)) => context::own_key(who, version),
            Sharing::Own(_) => context::own_cache(who, version),
            Sharing::Shmtls(Kind::Ticket(_)) => context::shared_keys(who, version, cache),
            Sharing::Shmtls(_) => context::shared(who, version, cache),
        }
    }
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Id => "TLS 1.2 IDs",
            Kind::Stateful => "TLS 1.3 stateful",
            Kind::Ticket(SslVersion::TLS1_2) => "TLS 1.2 tickets",
            Kind::Ticket(_) => "TLS 1.3 tickets",
        }
    }

    pub(crate) fn version(self) -> SslVersion {
        match self {
            Kind::Id => SslVersion::TLS1_2,
            Kind::Stateful => SslVersion::TLS1_3,
            Kind::Ticket(version) => version,
        }
    }
}
