//! Flags that restrict a question to some agents, models, projects and so on. Each may be repeated.

use tokmon_client::v1::Filter;

/// Restrictions. Within one flag any value fits; all flags must fit.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Only {
    /// Only this agent, e.g. claude-code or codex; may be repeated
    #[arg(long, value_name = "NAME")]
    agent: Vec<String>,
    /// Only this model; may be repeated
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    /// Only this project directory; may be repeated
    #[arg(long, value_name = "DIR")]
    project: Vec<String>,
    /// Only this session; may be repeated
    #[arg(long, value_name = "ID")]
    session: Vec<String>,
    /// Only this tool; may be repeated
    #[arg(long, value_name = "NAME")]
    tool: Vec<String>,
    /// Only this user; may be repeated
    #[arg(long, value_name = "NAME")]
    user: Vec<String>,
    /// Only this provider; may be repeated
    #[arg(long, value_name = "NAME")]
    provider: Vec<String>,
    /// Only this git branch; may be repeated
    #[arg(long, value_name = "NAME")]
    branch: Vec<String>,
    /// Only this git commit, whole or its first 7 characters or more; may be repeated
    #[arg(long, value_name = "HASH")]
    commit: Vec<String>,
    /// Only this kind of subagent; may be repeated
    #[arg(long, value_name = "NAME")]
    subagent: Vec<String>,
    /// Only this skill; may be repeated
    #[arg(long, value_name = "NAME")]
    skill: Vec<String>,
    /// Only this MCP server; may be repeated
    #[arg(long, value_name = "NAME")]
    mcp: Vec<String>,
}

impl Only {
    /// For a request; nothing when nothing is restricted.
    pub(crate) fn filter(&self) -> Option<Filter> {
        let filter = Filter {
            agents: self.agent.clone(),
            models: self.model.clone(),
            projects: self.project.clone(),
            sessions: self.session.clone(),
            tools: self.tool.clone(),
            users: self.user.clone(),
            providers: self.provider.clone(),
            branches: self.branch.clone(),
            commits: self.commit.clone(),
            subagents: self.subagent.clone(),
            skills: self.skill.clone(),
            mcp_servers: self.mcp.clone(),
        };
        (filter != Filter::default()).then_some(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flag_means_no_filter() {
        assert_eq!(Only::default().filter(), None);
        let only = Only {
            model: vec!["m".into()],
            ..Only::default()
        };
        assert_eq!(only.filter().map(|f| f.models), Some(vec!["m".to_owned()]));
    }
}
