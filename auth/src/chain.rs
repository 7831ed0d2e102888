//! Chains of responsibility behind the two ports: each link allows, denies, or leaves the question to the next one.
//!
//! A link that asks an outside system (a database, HTTP) is one more type that implements these traits; the room has
//! none yet.

use std::sync::Arc;

use async_trait::async_trait;
use model::ClientInfo;
use model::ports::{Access, BoxFuture, Decision, Login, Verdict};

/// What a link thinks of an access.
pub enum Opinion {
    /// Allow.
    Allow,
    /// Deny.
    Deny,
    /// Nothing: ask the next link.
    Ignore,
    /// Somebody has to be asked first: `Some(true)` allows, `None` asks the next link.
    Ask(BoxFuture<Option<bool>>),
}

/// Judges accesses.
pub trait AccessLink: Send + Sync + 'static {
    /// Name in logs.
    fn name(&self) -> &'static str;
    /// Judges one access; see [`model::ports::Authorize::authorize`].
    fn judge(&self, client: &ClientInfo, access: Access, topic: &str) -> Opinion;
    /// Whether its answers are worth remembering.
    fn is_costly(&self) -> bool;
}

/// What a link thinks of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginOpinion {
    /// Let in.
    Allow {
        /// Skip access control for this client.
        superuser: bool,
    },
    /// Refuse.
    Deny(Verdict),
    /// Nothing: ask the next link.
    Ignore,
}

/// Judges logins.
#[async_trait]
pub trait LoginLink: Send + Sync + 'static {
    /// Name in logs.
    fn name(&self) -> &'static str;
    /// Judges one login.
    async fn judge(&self, login: &Login) -> LoginOpinion;
}

/// The links that judge accesses, in their order. Nobody decides: deny.
#[derive(Clone)]
pub(crate) struct AccessChain(pub(crate) Arc<[Arc<dyn AccessLink>]>);

impl AccessChain {
    pub(crate) fn judge(&self, client: &ClientInfo, access: Access, topic: &str) -> Decision {
        self.judge_from(0, client, access, topic)
    }

    fn judge_from(&self, first: usize, client: &ClientInfo, access: Access, topic: &str) -> Decision {
        for (index, link) in self.0.iter().enumerate().skip(first) {
            match link.judge(client, access, topic) {
                Opinion::Allow => return Decision::Allow,
                Opinion::Deny => {
                    tracing::trace!(link = link.name(), client_id = ?client.client_id, ?access, ?topic, "denied");
                    return Decision::Deny;
                }
                Opinion::Ignore => {}
                Opinion::Ask(answer) => {
                    let (chain, client, topic) = (self.clone(), client.clone(), topic.to_owned());
                    return Decision::Ask(Box::pin(async move {
                        match answer.await {
                            Some(allowed) => allowed,
                            None => match chain.judge_from(index + 1, &client, access, &topic) {
                                Decision::Allow => true,
                                Decision::Deny => false,
                                Decision::Ask(later) => later.await,
                            },
                        }
                    }));
                }
            }
        }
        Decision::Deny
    }

    pub(crate) fn is_costly(&self) -> bool {
        self.0.iter().any(|link| link.is_costly())
    }
}

/// Asks the links in their order. Nobody decides: not authorized.
pub(crate) async fn judge_login(links: &[Arc<dyn LoginLink>], login: &Login) -> Verdict {
    for link in links {
        match link.judge(login).await {
            LoginOpinion::Allow { superuser } => return Verdict::Allow { superuser },
            LoginOpinion::Deny(verdict) => {
                tracing::debug!(link = link.name(), client_id = ?login.client.client_id, ?verdict, "login refused");
                return verdict;
            }
            LoginOpinion::Ignore => {}
        }
    }
    Verdict::NotAuthorized
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::tests::client;

    /// Answers what it was made for, at once or after being asked.
    struct Fixed(Option<bool>, bool);

    impl AccessLink for Fixed {
        fn name(&self) -> &'static str {
            "fixed"
        }
        fn judge(&self, _: &ClientInfo, _: Access, _: &str) -> Opinion {
            let answer = self.0;
            match (self.1, answer) {
                (true, _) => Opinion::Ask(Box::pin(async move { answer })),
                (false, Some(true)) => Opinion::Allow,
                (false, Some(false)) => Opinion::Deny,
                (false, None) => Opinion::Ignore,
            }
        }
        fn is_costly(&self) -> bool {
            self.1
        }
    }

    #[tokio::test]
    async fn the_first_link_that_decides_decides_whether_it_has_to_be_asked_or_not() {
        let (yes, no, next) = (Some(true), Some(false), None);
        for (answers, expected) in [
            (vec![], false),
            (vec![next], false),
            (vec![next, yes], true),
            (vec![no, yes], false),
            (vec![yes, no], true),
            (vec![next, next, yes], true),
        ] {
            for waits in 0..(1 << answers.len()) {
                let links: Vec<Arc<dyn AccessLink>> = answers
                    .iter()
                    .enumerate()
                    .map(|(at, answer)| Arc::new(Fixed(*answer, waits >> at & 1 == 1)) as Arc<dyn AccessLink>)
                    .collect();
                let chain = AccessChain(links.into());
                assert_eq!(chain.is_costly(), waits != 0);
                let decided = match chain.judge(&client("c", None, "127.0.0.1"), Access::Publish, "t") {
                    Decision::Allow => true,
                    Decision::Deny => false,
                    Decision::Ask(answer) => answer.await,
                };
                assert_eq!(decided, expected, "{answers:?}, waiting {waits:b}");
            }
        }
    }
}
