//! Where exactly a call was made: the finer attribution beside agent, session and project.
//!
//! Few calls of a quarter of an hour differ in it, so a place as a whole is one name of the ledger's dictionary and
//! one dimension of its sums: five more dimensions would cost five more ids in every row, a place costs one.

use crate::Name;

/// Where exactly a call was made. What the source does not know is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// The git branch at that time.
    pub branch: Name,
    /// The git commit at that time, in hexadecimal.
    pub commit: Name,
    /// The kind of subagent that made it.
    pub subagent: Name,
    /// The skill or slash command that it served.
    pub skill: Name,
    /// The MCP server whose tool the tokens are attributed to.
    pub mcp_server: Name,
}

/// One part of a [`Place`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// [`Place::branch`].
    Branch,
    /// [`Place::commit`].
    Commit,
    /// [`Place::subagent`].
    Subagent,
    /// [`Place::skill`].
    Skill,
    /// [`Place::mcp_server`].
    Mcp,
}

/// Stands between the parts of a place that is written as one name.
const BETWEEN: char = '\u{1f}';

impl Part {
    /// Every part, in the order in which a place is written.
    pub const ALL: [Part; 5] = [Part::Branch, Part::Commit, Part::Subagent, Part::Skill, Part::Mcp];

    /// The part's name.
    pub fn name(self) -> &'static str {
        match self {
            Part::Branch => "branch",
            Part::Commit => "commit",
            Part::Subagent => "subagent",
            Part::Skill => "skill",
            Part::Mcp => "mcp",
        }
    }

    /// This part of a place that is written as one name.
    pub fn of_text(self, text: &str) -> &str {
        text.split(BETWEEN).nth(self as usize).unwrap_or_default()
    }
}

impl Place {
    /// A part.
    pub fn part(&self, part: Part) -> &Name {
        match part {
            Part::Branch => &self.branch,
            Part::Commit => &self.commit,
            Part::Subagent => &self.subagent,
            Part::Skill => &self.skill,
            Part::Mcp => &self.mcp_server,
        }
    }

    fn part_mut(&mut self, part: Part) -> &mut Name {
        match part {
            Part::Branch => &mut self.branch,
            Part::Commit => &mut self.commit,
            Part::Subagent => &mut self.subagent,
            Part::Skill => &mut self.skill,
            Part::Mcp => &mut self.mcp_server,
        }
    }

    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        Part::ALL.iter().all(|&part| self.part(part).is_empty())
    }

    /// The place as one name: its parts in order, without the empty ones at the end. Nothing known is the empty name.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for part in Part::ALL {
            if part != Part::Branch {
                text.push(BETWEEN);
            }
            text.push_str(self.part(part));
        }
        text.truncate(text.trim_end_matches(BETWEEN).len());
        text
    }

    /// The inverse of [`Place::text`]; what is missing is empty.
    pub fn of_text(text: &str) -> Place {
        let mut place = Place::default();
        for (part, value) in Part::ALL.into_iter().zip(text.split(BETWEEN)) {
            *place.part_mut(part) = value.into();
        }
        place
    }

    /// Nothing in it would tear the written form apart.
    pub(crate) fn is_clean(&self) -> bool {
        Part::ALL.iter().all(|&part| !self.part(part).contains(BETWEEN))
    }

    /// Takes out what would tear the written form apart.
    pub(crate) fn clean(&mut self) {
        for part in Part::ALL {
            *self.part_mut(part) = self.part(part).replace(BETWEEN, " ").into();
        }
    }

    /// Both together: of each part what `self` says, or else what the other says.
    pub fn or(&self, other: &Place) -> Place {
        let mut place = self.clone();
        for part in Part::ALL {
            if place.part(part).is_empty() {
                *place.part_mut(part) = other.part(part).clone();
            }
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_place_comes_back_from_its_name(parts in prop::array::uniform5("[^\u{1f}]{0,8}")) {
            let [branch, commit, subagent, skill, mcp_server] = parts.map(Name::from);
            let place = Place { branch, commit, subagent, skill, mcp_server };
            let text = place.text();
            prop_assert_eq!(&Place::of_text(&text), &place);
            prop_assert_eq!(text.is_empty(), place.is_empty());
            for part in Part::ALL {
                prop_assert_eq!(part.of_text(&text), &**place.part(part));
            }
        }

        #[test]
        fn any_text_is_some_place(text: String) {
            let place = Place::of_text(&text);
            prop_assert_eq!(Place::of_text(&place.text()), place);
        }
    }

    #[test]
    fn what_was_said_first_stays_and_gaps_are_filled() {
        let first = Place {
            branch: "main".into(),
            ..Place::default()
        };
        let second = Place {
            branch: "other".into(),
            skill: "review".into(),
            ..Place::default()
        };
        let both = first.or(&second);
        assert_eq!((&*both.branch, &*both.skill), ("main", "review"));
    }

    #[test]
    fn a_separator_inside_a_part_is_taken_out() {
        let mut place = Place {
            branch: "a\u{1f}b".into(),
            ..Place::default()
        };
        place.clean();
        assert_eq!(Place::of_text(&place.text()), place);
        assert_eq!(&*place.branch, "a b");
    }
}
