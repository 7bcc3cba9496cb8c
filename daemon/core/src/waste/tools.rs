//! Which tools read and which search, as agents and MCP servers name them.

/// Tools that read one thing at a time.
pub(super) const READ: [&str; 14] = [
    "Read",
    "read_file",
    "read_text_file",
    "read_media_file",
    "read_many_files",
    "read_multiple_files",
    "view",
    "view_file",
    "open_file",
    "get_file_contents",
    "cat",
    "NotebookRead",
    "fetch",
    "read_resource",
];

/// Tools that search.
pub(super) const SEARCH: [&str; 16] = [
    "semantic_search",
    "codebase_search",
    "search",
    "search_files",
    "search_code",
    "search_file_content",
    "file_search",
    "grep_search",
    "Grep",
    "rg",
    "ripgrep",
    "Glob",
    "glob_file_search",
    "find",
    "search_nodes",
    "list_directory",
];

/// The tool is in the list: by its whole name, or without the prefix of its MCP server. Case does not count.
pub(super) fn listed(tools: &[String], tool: &str) -> bool {
    let among = |name: &str| tools.iter().any(|known| known.eq_ignore_ascii_case(name));
    if tool.is_empty() {
        return false;
    }
    // Every call asks: what has no prefix is not looked for twice.
    let plain = tool.as_bytes().windows(2).rposition(|pair| pair == b"__");
    among(tool) || plain.and_then(|at| tool.get(at + 2..)).is_some_and(among)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_known_by_name_and_behind_a_server() {
        let list = READ.map(str::to_owned);
        for (tool, known) in [
            ("Read", true),
            ("read", true),
            ("READ_FILE", true),
            ("mcp__files__read_file", true),
            ("Write", false),
            ("", false),
            ("mcp__", false),
            ("ReadX", false),
        ] {
            assert_eq!(listed(&list, tool), known, "{tool:?}");
        }
    }
}
