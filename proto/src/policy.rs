//! The file that tells clients what to do when they cannot reach the daemon.

use prost::Message;

use crate::v1::UnreachablePolicy;

impl UnreachablePolicy {
    /// The file's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        let whole = UnreachablePolicy {
            complete: true,
            ..self.clone()
        };
        whole.encode_to_vec()
    }

    /// Reads the file's content. `None`: it is damaged or was cut off.
    pub fn from_bytes(bytes: &[u8]) -> Option<UnreachablePolicy> {
        let policy = UnreachablePolicy::decode(bytes).ok()?;
        policy.complete.then_some(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::Budget;

    #[test]
    fn no_part_of_it_is_taken_for_the_whole() {
        let policy = UnreachablePolicy {
            user: "me".to_owned(),
            deny: vec![Budget {
                name: "hard".to_owned(),
                limit_tokens: 1,
                ..Budget::default()
            }],
            complete: true,
        };
        let bytes = policy.to_bytes();
        assert_eq!(UnreachablePolicy::from_bytes(&bytes), Some(policy));
        for end in 0..bytes.len() {
            assert_eq!(UnreachablePolicy::from_bytes(&bytes[..end]), None, "{end} bytes");
        }
        assert_eq!(UnreachablePolicy::from_bytes(b"not ours at all"), None);
    }
}
