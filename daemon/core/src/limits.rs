//! Every bound in one place, each with its reason. Whatever comes from outside is measured against these.

/// Quarters of an hour whose calls the writer keeps at hand to join the accounts of several witnesses: those around
/// now, and those that an import goes through.
pub const MAX_SLICES: usize = 8;

/// Calls of one of them; about 4 MB. What is beyond is not joined by its figures or its request id.
pub const MAX_PER_SLICE: usize = 32_768;

/// Longest name (agent, model, project, session, tool, user) in bytes: paths fit, abuse does not.
pub const MAX_NAME_BYTES: usize = 1024;
/// Longest note kept with a record, in characters: enough to recognise a call, too little to hold a prompt.
pub const MAX_CONTEXT_CHARS: usize = 200;
/// Most tokens in one bucket of one call: a thousand times the largest context window there is.
pub const MAX_TOKENS_PER_CALL: u64 = 1_000_000_000;
/// Largest cost that an agent may report for one call, in whole dollars.
pub const MAX_REPORTED_USD: i128 = 1_000_000;
/// How far ahead of our clock a record may lie, in milliseconds: clocks differ, a day means it is wrong.
pub const MAX_AHEAD_MS: i64 = 24 * 60 * 60 * 1000;
/// Earliest instant of a record, 2015-01-01: nothing before it can have called a language model.
pub const MIN_AT_MS: i64 = 1_420_070_400_000;
/// Most commands that wait for the writer: beyond it callers get `busy`.
pub const WRITER_QUEUE: usize = 4_096;
/// Most observations in one call: keeps a transaction in the low milliseconds.
pub const MAX_BATCH: usize = 2_000;
/// Most observations in one chunk of an import, whose lines are fewer calls: bounds its memory, and how long those who
/// ask meanwhile wait for its transaction.
pub const MAX_CHUNK: usize = 4_000;
/// Most rows in one page of a list.
pub const MAX_PAGE: usize = 1_000;
/// Largest gRPC message in bytes: holds a price file and a long text to count.
pub const MAX_MESSAGE_BYTES: usize = 80 * 1024 * 1024;
/// Largest text to count, in bytes.
pub const MAX_TEXT_BYTES: usize = 64 * 1024 * 1024;
/// Most texts in one `CountMany`.
pub const MAX_TEXTS: usize = 10_000;
/// Largest price file, in bytes: the public one has 3 MB.
pub const MAX_PRICE_FILE_BYTES: usize = 32 * 1024 * 1024;
/// Longest transcript line that is read, in bytes: real ones reach some ten megabytes.
pub const MAX_LINE_BYTES: usize = 256 * 1024 * 1024;
/// Largest document that is read as a whole, in bytes: long threads with everything that was read in them have tens of
/// megabytes.
pub const MAX_DOCUMENT_BYTES: u64 = 128 * 1024 * 1024;
/// Most that is read of a file beside a transcript, in bytes: a configuration, or a conversation's beginning.
pub const MAX_BESIDE_BYTES: usize = 8 * 1024 * 1024;
/// Longest row of another program's database that is read, in bytes, up to its last wanted column: a conversation kept as
/// one row has some ten megabytes.
pub const MAX_DATABASE_VALUE: usize = 128 * 1024 * 1024;
/// Most logs that the configuration may describe: each is walked.
pub const MAX_LOGS: usize = 64;
/// Most files under one source: beyond it the rest is reported, not read.
pub const MAX_FILES: usize = 200_000;
/// Deepest directory under a source: agents nest four deep.
pub const MAX_DEPTH: usize = 12;
/// Parse failures that are kept by name for status; the rest is only counted.
pub const MAX_FAILURES_SHOWN: usize = 10;
/// Unknown names of token counts that are remembered for each source: a new version of an agent brings one or two.
pub const MAX_UNKNOWN_FIELDS: usize = 20;
/// Most bytes of a parser's own state in a read position.
pub const MAX_PARSER_STATE: usize = 64 * 1024;
/// Most budgets: every record is checked against each.
pub const MAX_BUDGETS: usize = 1_000;
/// Most connections at once: far above any number of editors, far below the descriptor limit.
pub const MAX_CONNECTIONS: usize = 1_024;
/// Most agents whose current session is remembered: one person runs a handful.
pub const MAX_AGENTS: usize = 1_024;
/// Most sessions that one budget with a window per session counts at once. A session that may come back is not forgotten
/// by a budget that denies: beyond this number it denies new ones. Nobody starts as many in a week.
pub const MAX_BUDGET_SESSIONS: usize = 32_768;
/// How long such a budget remembers a session that is silent, in milliseconds: a week, then it may make room.
pub const BUDGET_SESSION_LIFE_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Highest price of one token in pico-dollars, i.e. one dollar: a thousand times the dearest model.
pub const MAX_PICO_PER_TOKEN: i64 = 1_000_000_000_000;
/// Largest price multiplier: the dearest fast mode asks 6.
pub const MAX_PRICE_FACTOR: i128 = 1_000;
/// Most long-context tiers of one price: real ones have three.
pub const MAX_PRICE_TIERS: usize = 8;
/// Most price rows that the user sets or imports: ten times the public file.
pub const MAX_PRICE_ROWS: usize = 50_000;
/// Most (provider, model) pairs whose price is remembered; beyond it the memory starts anew.
pub const MAX_PRICE_MEMO: usize = 4_096;
/// Most notes that an import of prices returns.
pub const MAX_IMPORT_NOTES: usize = 20;
/// Most observations that wait for the writer in all its callers' commands: bounds the memory of the queue.
pub const WRITER_QUEUE_CALLS: usize = 65_536;
/// Pieces of bulk work that wait for the writer: one is written while the next is parsed.
pub const BULK_QUEUE: usize = 2;
/// Entries after which the rules' state is saved again: bounds the replay after a crash.
pub const CHECKPOINT_ENTRIES: u64 = 20_000;
/// Records that one step of a purge removes: a step takes some ten milliseconds and others come in between.
pub const PURGE_CHUNK: usize = 20_000;
/// Entries that a follower is handed at once.
pub const FOLLOW_PAGE: usize = 1_000;
/// Most reservations that are open at once: a thousand agents with a handful each; each is held in every budget.
pub const MAX_RESERVATIONS: usize = 4_096;
/// Ended reservations that are remembered, so that asking again gets the same answer. What one was settled with never
/// counts twice, also when it is forgotten here.
pub const MAX_RESOLVED_RESERVATIONS: usize = 8_192;
/// Longest life of a reservation, in milliseconds: no call takes a day.
pub const MAX_RESERVATION_MS: i64 = 24 * 60 * 60 * 1000;
/// Life of a reservation that names none, in milliseconds: longer than the longest answers.
pub const DEFAULT_RESERVATION_MS: i64 = 10 * 60 * 1000;
/// Most tokens in one reservation: a thousand of the largest calls.
pub const MAX_RESERVED_TOKENS: u64 = 1_000 * MAX_TOKENS_PER_CALL;
/// Most reservations, settlements or releases in one call.
pub const MAX_RESERVATION_BATCH: usize = 1_000;
/// Pairs of agent and model whose answers are remembered to estimate the next one.
pub const MAX_HABITS: usize = 64;
/// Sessions whose last call is remembered to tell what the provider's cache holds.
pub const MAX_WARM_SESSIONS: usize = 256;
/// Pairs of agent and model whose bills are learned from: more than anybody uses in a year.
pub const MAX_CALIBRATIONS: usize = 64;
/// Budgets' limits that are raised for a while at once, per budget.
pub const MAX_LIFTS: usize = 64;
/// Events of agents' hooks that are remembered by when they fired: ten agents with thirty events each.
pub const MAX_HOOK_EVENTS: usize = 300;
/// Longest time that a hook's answer waits for the agent's transcript, in milliseconds.
pub const MAX_HOOK_PATIENCE_MS: u32 = 60_000;
/// Sessions whose denials in a row are counted.
pub const MAX_HOOK_SESSIONS: usize = 256;
/// Largest body of a telemetry request as it is sent, in bytes: exporters send some hundred records at once, a
/// kilobyte each.
pub const MAX_OTLP_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Largest such body unpacked: what repeats itself packs well, and a bomb ends here.
pub const MAX_OTLP_UNPACKED_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of all such bodies that are in memory at once; beyond it senders are told to come again.
pub const MAX_OTLP_MEMORY_BYTES: usize = 48 * 1024 * 1024;
/// Most calls in one telemetry request: twenty times what an exporter sends at once.
pub const MAX_OTLP_CALLS: usize = 10_000;
/// Most connections of telemetry at once: some dozen agents with one for each signal.
pub const MAX_OTLP_CONNECTIONS: usize = 128;
/// Most telemetry requests in a second, and at once after a quiet time: each agent sends one every five seconds.
pub const MAX_OTLP_REQUESTS_PER_SECOND: u32 = 200;
/// Senders of telemetry that are kept by name for status.
pub const MAX_OTLP_SENDERS_SHOWN: usize = 32;
/// Addresses that telemetry is taken at: the two usual ports, in both kinds of IP.
pub const MAX_OTLP_LISTENERS: usize = 4;
/// Longest name of a user or a program beside an entry, in characters: it stands in every entry that he makes.
pub const MAX_ACTOR_CHARS: usize = 80;
/// Sessions of which what their agents' meters say is kept as a cross-check: one person's last few days.
pub const MAX_OTLP_SESSIONS: usize = 256;
/// Series of one session's meters: a handful of models with five kinds of tokens each.
pub const MAX_OTLP_SERIES: usize = 64;
/// Most tasks that a share is kept for at once: a thousand sessions with a handful each.
pub const MAX_TASKS: usize = 4_096;
/// Completed tasks that are remembered, so that completing again gets the same answer.
pub const MAX_COMPLETED_TASKS: usize = 1_024;
/// Highest priority of a task: ten levels are more than anybody tells apart.
pub const MAX_TASK_PRIORITY: u32 = 9;
/// Runs of denials that are counted apart; those of more sessions are counted together, by budget.
pub const MAX_DENIAL_RUNS: usize = 512;
/// Telemetry requests that are decoded and recorded at once: each may hold [`MAX_OTLP_CALLS`] calls, five megabytes.
pub const MAX_OTLP_TURNS: usize = 16;
/// Limits of subscriptions whose last reading is remembered: a few per agent and account.
pub const MAX_QUOTAS: usize = 256;
/// Sessions whose statusline is remembered: far more than anybody has open.
pub const MAX_STATUSLINES: usize = 256;
/// Sessions whose cost by their agents' own reckoning is held against the ledger's: twice as many as are shown.
pub const MAX_OFFICIALS: usize = 512;
/// Bookings of one session for what only its agent's total shows: beyond it the last one grows.
pub const MAX_UNLOGGED_PARTS: usize = 32;
/// Sessions that one budget has stopped at once; those that were let on make room first.
pub const MAX_STOPS: usize = 256;
/// Most past windows that a limit is suggested from: a year of days.
pub const MAX_SUGGEST_WINDOWS: usize = 366;
/// APIs whose limits are set: ten providers with a handful of models each, five times over.
pub const MAX_APIS: usize = 256;
/// APIs whose last minute is remembered, set or not; the one silent longest makes room.
pub const MAX_METERED_APIS: usize = 1_024;
/// APIs to go to instead of one.
pub const MAX_API_FALLBACKS: usize = 16;
/// Highest rate of an API, calls or tokens a minute: far above the largest contracts.
pub const MAX_API_RATE: u64 = 1_000_000_000;
/// Headers in one report, and the longest of them in bytes: an answer has some thirty.
pub const MAX_API_HEADERS: usize = 200;
