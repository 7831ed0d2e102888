//! The last link of the login chain: clients that nobody knows.

use async_trait::async_trait;
use model::ClientInfo;
use model::ports::{Login, Verdict};

use crate::chain::{LoginLink, LoginOpinion};

/// Where clients may connect without proving who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnonymousAccess {
    /// Nowhere.
    Never,
    /// From this machine: both ends of the connection are loopback addresses.
    Loopback,
    /// From everywhere.
    Everywhere,
}

/// The link.
pub(crate) struct Anonymous {
    pub(crate) access: AnonymousAccess,
}

#[async_trait]
impl LoginLink for Anonymous {
    fn name(&self) -> &'static str {
        "anonymous"
    }

    async fn judge(&self, login: &Login) -> LoginOpinion {
        let allowed = match self.access {
            AnonymousAccess::Never => false,
            AnonymousAccess::Loopback => is_local(&login.client),
            AnonymousAccess::Everywhere => true,
        };
        let claims = login.client.username.is_some() || login.password.is_some();
        match (allowed, claims) {
            (true, _) => LoginOpinion::Allow { superuser: false },
            (false, true) => LoginOpinion::Deny(Verdict::BadCredentials),
            (false, false) => LoginOpinion::Deny(Verdict::NotAuthorized),
        }
    }
}

fn is_local(client: &ClientInfo) -> bool {
    let loopback =
        |address: Option<std::net::SocketAddr>| address.is_some_and(|at| at.ip().to_canonical().is_loopback());
    loopback(client.peer) && loopback(client.local)
}
