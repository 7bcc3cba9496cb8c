//! What a conversation grew by between two calls, and what the provider billed for it: from transcripts, to learn how
//! many tokens a model makes of a text.
//!
//! Apart from `agents`, which reads every line of every file and only what tells of a call: this reads the texts
//! too, of little, and keeps nothing of them.

mod claude;
mod codex;
mod hidden;
#[cfg(test)]
mod tests;

pub use hidden::Hidden;

/// What a reminder says around the tasks, in counted tokens: some 110 were billed for most of nineteen without a task,
/// by two models that make 1.5 of one and 15 of a block.
const REMINDER: u64 = 64;
/// Tokens around a thinking, beside those of its text, that are left out with it.
const AROUND_THINKING: u64 = 12;

/// A step from one call to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Growth {
    /// The model that answered the later call, as the agent names it.
    pub model: String,
    /// When the later call was answered, milliseconds since the epoch.
    pub at_ms: i64,
    /// What the earlier call's prompt was billed as, in tokens.
    pub before: u64,
    /// What the later call's prompt was billed as.
    pub billed: u64,
    /// What the earlier call's answer was billed as.
    pub answer: u64,
    /// The texts of that answer, as far as the transcript shows them.
    pub said: Vec<String>,
    /// The texts that were appended after it.
    pub added: Vec<String>,
    /// Those among them that are reminders of open tasks, the text of which no transcript holds.
    pub reminders: u64,
    /// Thinking of earlier answers that the provider leaves out from now on.
    pub dropped: Vec<String>,
    /// Tokens of the same, where the provider says how many.
    pub forgotten: u64,
    /// Texts of earlier calls that the agent itself leaves out from now on, with what is around them.
    pub lost: Vec<String>,
    /// Images that were appended, in base64.
    pub images: Vec<String>,
    /// Why the texts do not tell what the next prompt will be. It is known before that prompt is sent.
    pub hidden: Option<Hidden>,
    /// The later call's own bill is of more than its prompt, which nobody knew before. Nothing is learned from it.
    pub inflated: bool,
}

/// A step in figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    /// What is known to be billed again: the prompt before, and the answer where its bill is to be believed, without
    /// the thinking that is left out.
    pub known: u64,
    /// Tokens that were counted of what else was appended.
    pub counted: u64,
    /// Its blocks.
    pub blocks: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Tokens that were counted of what the agent leaves out from now on, and its blocks.
    pub lost: (u64, u64),
}

impl Growth {
    /// Whether the bill of this step is a bill of its texts: only then there is something to learn from it.
    pub fn teaches(&self) -> bool {
        self.hidden.is_none() && !self.inflated && self.images.is_empty()
    }

    /// The texts do not tell all; the first reason stays.
    fn hide(&mut self, why: Hidden) {
        self.hidden.get_or_insert(why);
    }

    /// Counts the texts. `slope` is what the model is believed to make of a thousand counted tokens.
    pub fn measure(&self, slope: u32, count: impl Fn(&str) -> u64) -> Measured {
        let sum = |texts: &[String]| texts.iter().map(|text| count(text)).sum::<u64>();
        let bytes = |texts: &[String]| texts.iter().map(|text| text.len() as u64).sum::<u64>();
        let said = sum(&self.said);
        let mut measured = Measured {
            known: self.before,
            counted: sum(&self.added).saturating_add(self.reminders.saturating_mul(REMINDER)),
            blocks: self.added.len() as u64,
            bytes: bytes(&self.added),
            lost: (sum(&self.lost), self.lost.len() as u64),
        };
        if is_whole(self.answer, said) {
            measured.known = measured.known.saturating_add(self.answer);
        } else {
            measured.counted += said;
            measured.blocks += self.said.len() as u64;
            measured.bytes += bytes(&self.said);
        }
        let thoughts = self.dropped.iter().filter(|text| !text.is_empty()).count() as u64;
        let dropped = sum(&self.dropped).saturating_mul(slope.into()) / 1000 + thoughts * AROUND_THINKING;
        let left_out = dropped.saturating_add(self.forgotten);
        measured.known = measured.known.saturating_sub(left_out);
        measured
    }
}

/// Whether the bill of an answer is that of all of it: agents write down the figures of its beginning too.
fn is_whole(billed: u64, visible: u64) -> bool {
    billed > 0 && billed * 5 >= visible * 3 && (billed > 25 || visible < 25)
}

/// Reads the lines of one transcript in their order.
#[derive(Debug)]
pub struct Reader(Inner);

#[derive(Debug)]
enum Inner {
    Claude(claude::Reader),
    Codex(Box<codex::Reader>),
}

impl Reader {
    /// At the beginning of a transcript, or anywhere in it: then the first calls say nothing. `kind` is the kind of
    /// source in a record's provenance; `None`: its texts are not known.
    pub fn new(kind: &str) -> Option<Reader> {
        Some(Reader(match kind {
            "claude-code-transcript" => Inner::Claude(claude::Reader::default()),
            "codex-rollout" => Inner::Codex(Box::default()),
            _ => return None,
        }))
    }

    /// What the conversation grew by since its last call, as it stands: what the next prompt will have besides.
    /// `model` is the one that is asked next, if it is known; `at_ms` the present, where nothing tells when it was
    /// appended. Its bill is 0. `None`: no call was read.
    pub fn next(&self, model: Option<&str>, at_ms: i64) -> Option<Growth> {
        match &self.0 {
            Inner::Claude(reader) => reader.next(model, at_ms),
            Inner::Codex(reader) => reader.next(model, at_ms),
        }
    }

    /// Reads a line. What it cannot use it passes over.
    pub fn line(&mut self, line: &[u8], found: &mut Vec<Growth>) {
        let Ok(line) = serde_json::from_slice::<serde_json::Value>(line) else {
            return;
        };
        match &mut self.0 {
            Inner::Claude(reader) => reader.line(&line, found),
            Inner::Codex(reader) => reader.line(&line, found),
        }
    }
}
