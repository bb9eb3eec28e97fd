use std::fmt;

use super::{Principal, Role};
use crate::error::{Error, ErrorKind};

/// One action on one kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Permission {
    /// Reads the tenant's name and settings.
    TenantRead,
    /// Changes the tenant's name and settings.
    TenantUpdate,
    /// Deletes the tenant with all its data.
    TenantDelete,
    /// Lists the members.
    MemberRead,
    /// Invites and removes members and changes their roles.
    MemberManage,
    /// Reads definitions.
    WorkflowRead,
    /// Deploys a version of a definition.
    WorkflowDeploy,
    /// Deletes a workflow.
    WorkflowDelete,
    /// Reads executions, their history and the live stream.
    ExecutionRead,
    /// Starts an execution.
    ExecutionStart,
    /// Cancels an execution.
    ExecutionCancel,
    /// Suspends, resumes, retries, forks and migrates executions and skips their tasks.
    ExecutionRepair,
    /// Reads schedules and their ticks.
    ScheduleRead,
    /// Pauses, resumes, triggers and backfills schedules.
    ScheduleControl,
    /// Makes, changes and deletes schedules.
    ScheduleManage,
    /// Reads human tasks and their answers.
    HumanTaskRead,
    /// Takes and answers the human tasks that are for oneself.
    HumanTaskAnswer,
    /// Hands on and releases human tasks of others.
    HumanTaskManage,
    /// Sends a CloudEvent.
    EventPublish,
}

const ALL: &[Role] = &Role::ALL;
const OPERATORS: &[Role] = &[Role::Owner, Role::Admin, Role::Editor, Role::Operator];
const EDITORS: &[Role] = &[Role::Owner, Role::Admin, Role::Editor];
const ADMINS: &[Role] = &[Role::Owner, Role::Admin];
const OWNERS: &[Role] = &[Role::Owner];

impl Permission {
    /// All permissions, by resource.
    pub const ALL: [Self; 19] = [
        Self::TenantRead,
        Self::TenantUpdate,
        Self::TenantDelete,
        Self::MemberRead,
        Self::MemberManage,
        Self::WorkflowRead,
        Self::WorkflowDeploy,
        Self::WorkflowDelete,
        Self::ExecutionRead,
        Self::ExecutionStart,
        Self::ExecutionCancel,
        Self::ExecutionRepair,
        Self::ScheduleRead,
        Self::ScheduleControl,
        Self::ScheduleManage,
        Self::HumanTaskRead,
        Self::HumanTaskAnswer,
        Self::HumanTaskManage,
        Self::EventPublish,
    ];

    // The whole policy: a permission's name and the roles that have it.
    fn row(self) -> (&'static str, &'static [Role]) {
        match self {
            Self::TenantRead => ("tenant:read", ALL),
            Self::TenantUpdate => ("tenant:update", ADMINS),
            Self::TenantDelete => ("tenant:delete", OWNERS),
            Self::MemberRead => ("member:read", ALL),
            Self::MemberManage => ("member:manage", ADMINS),
            Self::WorkflowRead => ("workflow:read", ALL),
            Self::WorkflowDeploy => ("workflow:deploy", EDITORS),
            Self::WorkflowDelete => ("workflow:delete", EDITORS),
            Self::ExecutionRead => ("execution:read", ALL),
            Self::ExecutionStart => ("execution:start", OPERATORS),
            Self::ExecutionCancel => ("execution:cancel", OPERATORS),
            Self::ExecutionRepair => ("execution:repair", OPERATORS),
            Self::ScheduleRead => ("schedule:read", ALL),
            Self::ScheduleControl => ("schedule:control", OPERATORS),
            Self::ScheduleManage => ("schedule:manage", EDITORS),
            Self::HumanTaskRead => ("human_task:read", ALL),
            Self::HumanTaskAnswer => ("human_task:answer", OPERATORS),
            Self::HumanTaskManage => ("human_task:manage", ADMINS),
            Self::EventPublish => ("event:publish", OPERATORS),
        }
    }

    /// Gives the name, `resource:action`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Tells whether a role has this permission.
    #[must_use]
    pub fn is_granted_to(self, role: Role) -> bool {
        self.row().1.contains(&role)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Refuses a principal whose role does not have the permission.
///
/// # Errors
/// `Forbidden`.
pub fn check(principal: &Principal, permission: Permission) -> Result<(), Error> {
    let role = principal.role();
    if permission.is_granted_to(role) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Forbidden,
        format!("the role {role} may not do {permission}; ask an administrator of the tenant"),
    ))
}
