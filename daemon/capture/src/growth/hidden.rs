//! Why a transcript does not tell what the next prompt of its conversation will be.

/// See the module. Each is seen before the prompt is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// The session was taken up again: the agent makes its prompt anew from what it saved.
    Resumed,
    /// An answer was broken off; what there was of it is in no transcript.
    Interrupted,
    /// A prompt names a file that is read into it.
    File,
    /// The conversation was replaced by a summary.
    Compacted,
    /// The user went back to an earlier point of the conversation.
    Rewound,
    /// Something is attached that has no text, or of which the text is not there.
    Attached,
    /// Definitions of tools were loaded.
    Tools,
    /// Another model is asked, which makes more or fewer tokens of the same texts.
    Model,
    /// The provider searched the web in the last call, and billed what it found with that.
    Searched,
    /// The model answers, or did, and nothing says yet what that was billed as.
    Unbilled,
}

impl Hidden {
    /// All of them.
    pub const ALL: [Hidden; 10] = [
        Hidden::Resumed,
        Hidden::Interrupted,
        Hidden::File,
        Hidden::Compacted,
        Hidden::Rewound,
        Hidden::Attached,
        Hidden::Tools,
        Hidden::Model,
        Hidden::Searched,
        Hidden::Unbilled,
    ];

    /// For programs.
    pub fn name(self) -> &'static str {
        match self {
            Hidden::Resumed => "resumed",
            Hidden::Interrupted => "interrupted",
            Hidden::File => "file",
            Hidden::Compacted => "compacted",
            Hidden::Rewound => "rewound",
            Hidden::Attached => "attached",
            Hidden::Tools => "tools",
            Hidden::Model => "model",
            Hidden::Searched => "searched",
            Hidden::Unbilled => "unbilled",
        }
    }

    /// For people.
    pub fn reason(self) -> &'static str {
        match self {
            Hidden::Resumed => "the session was taken up again, and its prompt is made anew",
            Hidden::Interrupted => "an answer was broken off, and nobody knows how much of it is kept",
            Hidden::File => "a prompt names a file that its transcript does not hold",
            Hidden::Compacted => "the conversation was compacted since its last call",
            Hidden::Rewound => "the user went back to an earlier point of the conversation",
            Hidden::Attached => "something is attached that its transcript does not tell",
            Hidden::Tools => "definitions of tools were loaded that its transcript does not hold",
            Hidden::Model => "another model billed the last call",
            Hidden::Searched => "the last call was billed with what it found in the web",
            Hidden::Unbilled => "the bill of the last call is not written down yet",
        }
    }
}
