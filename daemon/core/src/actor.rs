//! Who asked for a change: what the local socket and the client itself say of it.

use crate::Name;
use crate::limits::MAX_ACTOR_CHARS;

/// Who asked for something that became an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Actor {
    /// The user at the other end of the socket, as the system names him.
    pub user: Name,
    /// The program, as it names itself, e.g. "tokmonctl 0.1.0"; empty: it did not.
    pub client: Name,
    /// Its process; 0: the system does not tell.
    pub pid: u32,
}

impl Actor {
    /// An actor whose names have a bound: they come from outside and stand in every entry that he makes.
    pub fn new(user: &str, client: &str, pid: u32) -> Actor {
        Actor {
            user: cut(user),
            client: cut(client),
            pid,
        }
    }
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.client {
            "" => write!(f, "{}", self.user),
            client => write!(f, "{} with {client}", self.user),
        }
    }
}

fn cut(text: &str) -> Name {
    let text = text.trim();
    match text.char_indices().nth(MAX_ACTOR_CHARS) {
        Some((at, _)) => text[..at].into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_between_characters() {
        let actor = Actor::new(" me ", &"ü".repeat(500), 7);
        assert_eq!((&*actor.user, actor.pid), ("me", 7));
        assert_eq!(actor.client.chars().count(), MAX_ACTOR_CHARS);
    }
}
